"""MAML and FOMAML: model-agnostic meta-learning with a trust-region outer step.

Finn, Abbeel & Levine 2017, "Model-agnostic meta-learning for fast adaptation of deep networks", algorithm 3.

    θ′ᵢ = θ − α ∇θ L(τᵢ; θ)                                            inner step (eq. 1), policy gradient (eq. 4)
    minimise  J(θ) = 1/K Σᵢ −E_τ′ᵢ[ π_θ′ᵢ(θ)(a|s)/π_acting(a|s) Â ]       subject to  1/K Σᵢ KL(π_acting ‖ π_θ′ᵢ(θ)) ≤ δ

solved by one natural-gradient step with a line search (TRPO, section 5.3 of the paper). `order=2` differentiates
through the inner gradient; `order=1` takes it as a constant and is the paper's first-order approximation (FOMAML).

Differs from the paper: the curvature ∇²KL may be taken on a share of the episodes (`curvature_episodes`), because it
only shapes the direction: gradient, step length and line search see all data. As in the paper's code, the sampling
distribution of τᵢ is not differentiated (no score term); docs/estimators.md says what that bias is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from drml.adapt import (
    INNER_LOSSES,
    GradientAdaptation,
    InnerConfig,
    InnerLoss,
    chunks,
    estimate_advantages,
    hessian_product,
    value_and_gradient,
)
from drml.algos.api import LearnerState
from drml.baselines import LinearFeatureBaseline
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Params, flatten, unflatten
from drml.core.types import Advantages, Agent, EnvSpec, Rollout, Tasks
from drml.losses import likelihood_ratio_loss, mean_kl
from drml.optim.trust_region import TrustRegionConfig, trust_region_step
from drml.policies.api import Policy


@dataclass(frozen=True)
class MAMLConfig:
    """Hyper-parameters of MAML; defaults are those of the paper's experiments where they are known."""

    inner: InnerConfig = field(default_factory=InnerConfig)
    """The inner loop."""
    inner_loss: InnerLoss = "log_likelihood"
    """Inner objective (MAML: log likelihood times advantage)."""
    order: Literal[1, 2] = 2
    """2 is MAML, 1 is FOMAML."""
    trust_region: TrustRegionConfig = field(default_factory=TrustRegionConfig)
    """The outer step."""
    curvature_episodes: int = 4
    """Episodes per task (copies) on which the curvature is taken; 0 takes all of them (the paper: all)."""
    tasks_per_chunk: int = 5
    """Tasks per backward pass; changes the speed and the order of rounding, nothing else."""

    def __post_init__(self) -> None:
        if self.curvature_episodes < 0 or self.tasks_per_chunk < 1:
            raise InputError("MAML needs curvature_episodes >= 0 and tasks_per_chunk >= 1")


class MAML:
    """The learner: a prior that is good to adapt from, improved within a trust region."""

    def __init__(self, spec: EnvSpec, policy: Policy, config: MAMLConfig) -> None:
        self.policy = policy
        self.config = config
        self.adapt_steps = config.inner.num_steps
        self._adaptation = GradientAdaptation(policy, INNER_LOSSES[config.inner_loss], config.inner, config.order)
        self._baseline = LinearFeatureBaseline(spec.horizon, config.inner.gamma)

    def init(self, rng: Streams) -> LearnerState:
        """Return fresh parameters; the trust region keeps no memory."""
        return LearnerState(self.policy.init(rng))

    def prior(self, state: LearnerState, tasks: Tasks, rng: Streams) -> Agent:
        """Return the agent with the shared parameters."""
        return Agent(state.params, carry={})

    def adapt(self, agent: Agent, rollout: Rollout, adapt_step: int) -> Agent:
        """Return the agent after one inner step on its own rollout."""
        advantages = self._advantages(rollout)
        return Agent(self._adaptation.apply(agent.params, rollout, advantages, adapt_step), agent.carry)

    def update(self, state: LearnerState, history: Sequence[Rollout]) -> tuple[LearnerState, Mapping[str, float]]:
        """Return the state after one trust-region step on the post-adaptation surrogate."""
        num_tasks = len(history[0].reward)
        advantages = [self._advantages(rollout) for rollout in history]
        parts = chunks(num_tasks, self.config.tasks_per_chunk)
        whole = _Batch(self._adaptation, history, advantages)
        share = _first_copies(whole, self.config.curvature_episodes)

        loss_before, gradient = value_and_gradient(lambda p, part: whole.loss(p, part) / num_tasks, state.params, parts)

        def evaluate(vector: Tensor) -> tuple[float, float]:
            params = unflatten(vector, state.params)
            losses, kls = zip(*(whole.loss_and_kl(params, part) for part in parts), strict=True)
            return sum(losses) / num_tasks, sum(kls) / num_tasks

        step = trust_region_step(
            evaluate,
            hessian_product(lambda p, part: share.kl(p, part) / num_tasks, state.params, parts),
            flatten(state.params),
            flatten(gradient),
            loss_before,
            self.config.trust_region,
        )
        metrics = {
            "outer_loss_first": step.loss_before,
            "outer_loss_last": step.loss_after,
            "outer_kl": step.kl,
            "line_search_tries": float(step.num_tries),
            "step_accepted": float(step.accepted),
        }
        return LearnerState(unflatten(step.params, state.params)), metrics

    def _advantages(self, rollout: Rollout) -> Advantages:
        return estimate_advantages(rollout, self._baseline, self.config.inner.gae_lambda)


@dataclass(frozen=True)
class _Batch:
    """The outer objective's terms on a meta-episode's rollouts, for a slice of its tasks."""

    adaptation: GradientAdaptation
    history: Sequence[Rollout]
    advantages: Sequence[Advantages]

    def loss(self, params: Params, part: slice) -> Tensor:
        """Return the surrogate loss of the adapted policies, summed over tasks."""
        return self._terms(params, part, self.adaptation)[0].sum()

    def kl(self, params: Params, part: slice) -> Tensor:
        """Return the KL from the acting to the adapted policies, summed over tasks."""
        return self._terms(params, part, self.adaptation)[1].sum()

    def loss_and_kl(self, params: Params, part: slice) -> tuple[float, float]:
        """Return both as numbers, without the graph that a gradient would need."""
        loss, kl = self._terms(params, part, replace(self.adaptation, order=1))
        return loss.sum().item(), kl.sum().item()

    def _terms(self, params: Params, part: slice, adaptation: GradientAdaptation) -> tuple[Tensor, Tensor]:
        rollouts = [rollout.select_tasks(part) for rollout in self.history]
        advantages = [advantage.select_tasks(part) for advantage in self.advantages]
        adapted = adaptation.unroll(params, rollouts[:-1], advantages[:-1])
        with torch.set_grad_enabled(any(p.requires_grad for p in params.values())):
            new = adaptation.policy.unroll(adapted, rollouts[-1])
            return likelihood_ratio_loss(new, rollouts[-1], advantages[-1]), mean_kl(new, rollouts[-1], advantages[-1])


def _first_copies(batch: _Batch, copies: int) -> _Batch:
    """Return the batch restricted to the first copies of each task; 0 keeps all."""
    if copies == 0 or copies >= batch.history[0].reward.shape[2]:
        return batch
    history = [rollout.map(lambda x: x[:, :, :copies] if x.shape[2] > 1 else x) for rollout in batch.history]
    advantages: list[Advantages] = []
    for advantage in batch.advantages:
        weight = advantage.weight[:, :, :copies]
        total = weight.sum((1, 2), keepdim=True)
        weight = torch.where(total > 0.0, weight / total, weight)
        advantages.append(Advantages(advantage.advantage[:, :, :copies], weight))
    return _Batch(batch.adaptation, history, advantages)
