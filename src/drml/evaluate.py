"""Meta-testing: how return grows with adaptation, per task and per step, on tasks that were not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from drml.algos.api import Learner, LearnerState
from drml.collect import Collector
from drml.core.rng import Streams
from drml.core.types import Rollout, Tasks
from drml.returns import first_episode_returns
from drml.stats import Interval, stratified_bootstrap


def meta_episode(
    learner: Learner, state: LearnerState, tasks: Tasks, collect: Collector, rng: Streams, adapt_steps: int
) -> list[Rollout]:
    """Return the rollouts of one meta-episode, one per phase: before adaptation, after one step, after two, …

    Training and testing share this function.
    """
    agent = learner.prior(state, tasks, rng["prior"])
    history: list[Rollout] = []
    for phase in range(adapt_steps + 1):
        rollout = collect(learner.policy, agent, tasks, rng["collect", phase])
        history.append(rollout)
        if phase < adapt_steps:
            with collect.phases("adapt"):
                agent = learner.adapt(agent, rollout, phase)
    return history


def episode_returns(rollout: Rollout) -> Tensor:
    """Return each copy's undiscounted first-episode return, `[K, B]`; NaN where that episode was not sound."""
    returns = first_episode_returns(rollout.reward, rollout.terminated | rollout.truncated)
    return returns.masked_fill(~rollout.valid[:, 0], torch.nan)


@dataclass(frozen=True)
class AdaptationCurve:
    """Returns by task, adaptation step and episode."""

    returns: Tensor
    """`[K, S + 1, B]` undiscounted episode returns after 0 … S adaptation steps; NaN for unsound episodes."""

    def by_task(self) -> Tensor:
        """Return the mean over episodes, `[K, S + 1]`."""
        return self.returns.nanmean(-1)

    def std_by_task(self) -> Tensor:
        """Return the sample standard deviation over sound episodes, `[K, S + 1]`; NaN where fewer than two are."""
        squares = (self.returns - self.by_task()[..., None]).square()
        degrees = ((~squares.isnan()).sum(-1) - 1).clamp(min=0)
        return (squares.nansum(-1) / degrees).sqrt()

    def mean(self) -> list[float]:
        """Return the mean over tasks after each step."""
        return self.by_task().mean(0).tolist()

    def intervals(self, rng: Streams) -> list[Interval]:
        """Return the interquartile mean over tasks after each step with its 95 % bootstrap interval."""
        scores = self.by_task().to(torch.float64).numpy()
        return [
            stratified_bootstrap(scores[None, :, step], rng=rng["bootstrap", step]) for step in range(scores.shape[1])
        ]


def meta_test(
    learner: Learner, state: LearnerState, tasks: Tasks, collect: Collector, rng: Streams, adapt_steps: int
) -> AdaptationCurve:
    """Return the adaptation curve on given tasks; `adapt_steps` may exceed those of meta-training."""
    history: Sequence[Rollout] = meta_episode(learner, state, tasks, collect, rng, adapt_steps)
    return AdaptationCurve(torch.stack([episode_returns(rollout) for rollout in history], 1).cpu())
