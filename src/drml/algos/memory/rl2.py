"""RL²: the update rule is what a memory does between episodes; PPO trains the memory over whole trials.

Duan, Schulman, Chen, Bartlett, Sutskever & Abbeel 2016, "RL²: Fast reinforcement learning via slow reinforcement
learning"; Wang et al. 2016, "Learning to reinforcement learn".

    trial     n episodes of one task in a row, the memory h kept across them and cleared between tasks
    maximise  E[Σₜ γᵗ rₜ] over the whole trial, by PPO (Schulman et al. 2017, eq. 7) on whole sequences

An adaptation step is an episode: the return after j steps is that of episode j + 1 of a trial. A copy whose episode
ends early waits for the others; of that nothing is remembered or learned. Advantages run over the trial, through the
ends of its episodes, because what an episode teaches pays in the next.

Differs from the paper: PPO in place of TRPO; the time in the trial is an input; the critic learns returns that are
normalised to mean 0 and standard deviation 1 (as in Yu et al. 2022, "The surprising effectiveness of PPO in cooperative
multi-agent games", section 5.1), without which the value loss of long trials leaves nothing of a gradient of norm ½ to
the policy.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from drml.algos.api import LearnerState, Metrics
from drml.core.check import check_ranges
from drml.core.parallel import parallel_map
from drml.core.rng import Streams
from drml.core.tree import Params, Tree, flatten, held_within, params_map, tree_where
from drml.core.types import AdaptsOn, Advantages, Agent, EnvSpec, MetaEpisode, Rollout, Tasks, join_rollouts
from drml.learning.by_parts import chunks, value_and_gradient
from drml.learning.losses import clipped_surrogate_loss, expectation
from drml.learning.optim.first_order import AdamState, adam_init, adam_step
from drml.learning.returns import differs_at_equal_times, gae, next_values, returns_to_go, rounding_of, standardised
from drml.learning.running_scale import RunningScale
from drml.policies.actor_critic import MemoryPolicy


@dataclass(frozen=True)
class RL2Config:
    """Hyper-parameters of RL² with PPO."""

    episodes: int = 2
    """Episodes per trial in meta-training."""
    gamma: float = 0.99
    """Discount per step of the trial (RL²: 0.99)."""
    gae_lambda: float = 0.3
    """λ of the advantage estimates (RL²: 0.3)."""
    clip_eps: float = 0.2
    """ε of the clipped surrogate (PPO: 0.2)."""
    epochs: int = 4
    """Passes over a meta-iteration's trials."""
    minibatches: int = 4
    """Minibatches of whole trials per pass; each makes one Adam step."""
    meta_lr: float = 1e-3
    """Adam's step size at the start."""
    decay_iters: int = 0
    """Meta-iterations over which step size and entropy weight fall to zero, linearly; 0 keeps them."""
    entropy_coef: float = 0.01
    """Weight of the entropy bonus at the start."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    bptt_steps: int = 0
    """Steps of a trial through which gradients flow back before they are cut; 0 takes whole trials."""
    trials_per_chunk: int = 50
    """Trials per backward pass; changes the speed and the order of rounding, nothing else."""

    def __post_init__(self) -> None:
        check_ranges(
            "RL² ",
            self,
            at_least_1=("episodes", "epochs", "minibatches", "trials_per_chunk"),
            at_least_0=("decay_iters", "entropy_coef", "value_coef", "bptt_steps"),
            above_0=("clip_eps", "meta_lr", "max_grad_norm"),
            between_0_and_1=("gamma", "gae_lambda"),
        )


class RL2:
    """The learner: a memory that is trained to learn within a trial."""

    def __init__(self, spec: EnvSpec, policy: MemoryPolicy, config: RL2Config) -> None:
        self.policy = policy
        self.config = config
        self.adapt_steps = config.episodes - 1
        self.adapts_on: AdaptsOn = "episodes"

    def init(self, rng: Streams) -> LearnerState:
        """Return fresh parameters, a fresh Adam and a count of meta-iterations."""
        params = self.policy.init(rng)
        optimiser: Tree = {
            "adam": adam_init(params).tree(),
            "num_updates": torch.zeros(()),
            "returns": RunningScale.initial().tree(),
        }
        return LearnerState(params, optimiser)

    def prior(self, shared: Params, tasks: Tasks, copies: int, rng: Streams) -> Agent:
        """Return the agents with nothing in memory."""
        return Agent(shared)

    def adapt(self, agent: Agent, rollout: Rollout, adapt_step: int, rng: Streams) -> Agent:
        """Return the agent with the episode in memory; after an unsound one the memory is as it was before it."""
        return replace(agent, carry=tree_where(~rollout.unsound.any(1), rollout.last_carry, rollout.first_carry))

    def update(self, state: LearnerState, episode: MetaEpisode, rng: Streams) -> tuple[LearnerState, Metrics]:
        """Return the state after `epochs` x `minibatches` Adam steps on the trials that the episodes form.

        Where no trial is sound, or in no task one trial earned anything else than another, there is nothing to learn:
        parameters and optimiser stay as they were, because Adam would make a step of any gradient, of rounding too.
        """
        joined = join_rollouts(episode.history)
        trials = packed(one_by_one(joined))
        sound = ~trials.unsound.any(1)
        differs = trials_differ(joined, self.config.gamma)
        metrics = {"sound_trials": float(sound.float().mean()), "tasks_without_difference": float(not differs)}
        num_updates = int(cast(Tensor, state.training["num_updates"]))
        left = max(0.0, 1.0 - num_updates / self.config.decay_iters) if self.config.decay_iters else 1.0
        if not differs:
            counted: Tree = {**state.training, "num_updates": torch.tensor(float(num_updates + 1))}
            return replace(state, training=counted), metrics
        whole, scale = self._targets(state.shared, trials, RunningScale(**cast(Params, state.training["returns"])))
        params, adam = state.shared, AdamState.from_tree(cast(Tree, state.training["adam"]))
        losses: list[float] = []
        norms: list[float] = []
        for _ in range(self.config.epochs):
            for batch in interleaved(len(trials.reward), self.config.minibatches):
                loss = replace(whole.select(batch), entropy_coef=left * self.config.entropy_coef)
                parts = chunks(len(loss.target), self.config.trials_per_chunk)
                value, gradient = value_and_gradient(loss, params, parts)
                norms.append(float(flatten(gradient).norm()))
                shrink = min(1.0, self.config.max_grad_norm / (norms[-1] + 1e-12))
                step = params_map(partial(torch.mul, shrink), gradient)
                params, adam = adam_step(params, step, adam, left * self.config.meta_lr)
                params = held_within(params, self.policy.bounds)
                losses.append(value)
        metrics |= {
            "outer_loss_first": losses[0],
            "outer_loss_last": losses[-1],
            "grad_norm": sum(norms) / len(norms),
        }
        optimiser: Tree = {
            "adam": adam.tree(),
            "num_updates": torch.tensor(float(num_updates + 1)),
            "returns": scale.tree(),
        }
        return LearnerState(params, optimiser), metrics

    @torch.no_grad()
    def _targets(self, params: Params, trials: Rollout, scale: RunningScale) -> tuple["_Loss", RunningScale]:
        """Return the loss on whole trials, with advantages and value targets by the parameters that acted.

        The scale of the returns moves on with these trials, and the targets are by the scale after it.
        """
        parts = chunks(len(trials.reward), self.config.trials_per_chunk)
        evaluated = parallel_map(lambda part: self.policy.evaluate(params, trials.select_tasks(part))[1], parts)
        reward, dtype = trials.reward.double(), trials.reward.dtype
        sound = ~trials.unsound.any(1, keepdim=True)  # of a trial with an unsound episode nothing is learned from
        valid = (sound & trials.taken).to(dtype)
        value = scale.restore(torch.cat(evaluated).double())
        last = last_taken(trials.taken)  # the trial is all there is: beyond it nothing is earned
        follows = next_values(value, torch.zeros_like(value), last, torch.zeros_like(last))
        gain = gae(reward, value, follows, last, self.config.gamma, self.config.gae_lambda)
        weight = valid / (valid.sum() / sound.sum())  # by the mean trial's steps: a step of any trial counts the same
        advantages = Advantages(
            standardised(gain, valid.double(), (0, 1, 2), rounding_of(reward).max()).to(dtype), weight
        )
        scale = scale.observe(value + gain, valid)
        return _Loss(self.policy, self.config, trials, advantages, scale.normalise(value + gain).to(dtype)), scale


@dataclass(frozen=True)
class _Loss:
    """PPO's loss on trials `[N, T, 1]`, as a function of the parameters and a slice of the trials.

    The value target is normalised, as the critic's output is.
    """

    policy: MemoryPolicy
    config: RL2Config
    trials: Rollout
    advantages: Advantages
    target: Tensor
    entropy_coef: float = 0.0

    def select(self, batch: slice) -> "_Loss":
        """Return the loss on a slice of the trials."""
        trials, advantages = self.trials.select_tasks(batch), self.advantages.select_tasks(batch)
        return replace(self, trials=trials, advantages=advantages, target=self.target[batch])

    def __call__(self, params: Params, part: slice) -> Tensor:
        """Return 1/N Σ [ L^clip + c_v ½(v − target)² − c_e H ] over a slice of the N trials."""
        trials, advantages = self.trials.select_tasks(part), self.advantages.select_tasks(part)
        new, value = self.policy.evaluate(params, trials, self.config.bptt_steps)
        surrogate = clipped_surrogate_loss(new, trials, advantages, self.config.clip_eps)
        value_loss = expectation(0.5 * (value - self.target[part]).square(), advantages.weight)
        entropy = expectation(new.entropy(), advantages.weight)
        loss = surrogate + self.config.value_coef * value_loss - self.entropy_coef * entropy
        return loss.sum() / len(self.target)


def trials_differ(joined: Rollout, gamma: float) -> bool:
    """Return whether in some task a sound trial earned, from some step on, something else than another one.

    Args:
        joined: trials `[K, T, B]`; with one of each task they are compared between tasks, one alone with itself.
        gamma: discount per step.
    """
    trials = (joined.reward.double(), ~joined.unsound.any(1, keepdim=True) & joined.taken)
    reward, sound = (x.permute(2, 1, 0) for x in trials) if joined.reward.shape[2] == 1 else trials
    step = torch.arange(reward.shape[1], device=reward.device).view(1, -1, 1).expand_as(reward)
    is_alone = reward.shape[2] == 1
    earned, time = (reward, 0 * step) if is_alone else (returns_to_go(reward, gamma), step)
    return bool(differs_at_equal_times(earned, time, sound, rounding_of(reward)).any())


def one_by_one(rollout: Rollout) -> Rollout:
    """Return a rollout `[K, T, B]` as K·B sequences `[K·B, T, 1]`."""
    apart = rollout.map(lambda x: x.transpose(1, 2).flatten(0, 1).unsqueeze(2))
    return apart.map_carries(lambda x: x.flatten(0, 1).unsqueeze(1))


def packed(trials: Rollout) -> Rollout:
    """Return trials `[N, T, 1]` with the steps that each has taken in a row, in front of those at which it waited."""
    if bool(trials.taken.all()):
        return trials
    order = torch.argsort(~trials.taken, dim=1, stable=True)[:, : int(trials.taken.sum(1).max())]
    trial = torch.arange(len(order), device=order.device).view(-1, 1, 1)
    return trials.map(lambda x: x[trial, order, 0])


def last_taken(taken: Tensor) -> Tensor:
    """Return the last step that each trial has taken, `[N, T, 1]` bool, from the steps that are, in a row."""
    return torch.zeros_like(taken).scatter_(1, taken.sum(1, keepdim=True) - 1, True)


def interleaved(length: int, parts: int) -> list[slice]:
    """Return slices that deal `length` items out to `parts` hands, so that each hand holds copies of every task."""
    parts = min(parts, length)
    return [slice(start, None, parts) for start in range(parts)]
