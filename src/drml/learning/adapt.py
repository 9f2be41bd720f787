"""Gradient adaptation: from shared parameters θ to one set of parameters θ′ᵢ per task, as a differentiable function.

    θ′ᵢ⁰ = θ,   θ′ᵢʲ⁺¹ = θ′ᵢʲ − αⱼ ∇ L(τᵢʲ; θ′ᵢʲ)        j = 0 … k−1, each step on the rollout τᵢʲ that θ′ᵢʲ collected

Source: Finn et al. 2017, "Model-agnostic meta-learning", eq. 1 and section 4.3.

The losses of all tasks are summed and differentiated once with respect to the stacked parameters: the losses share
nothing, so row i of that gradient is task i's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from drml.core.check import check_ranges
from drml.core.distribution import Distribution
from drml.core.parallel import parallel_map
from drml.core.rng import Streams
from drml.core.tree import (
    Params,
    held_within,
    join_stacked,
    params_map,
    stack_shared,
)
from drml.core.types import AdaptsOn, Advantages, Agent, EnvSpec, Rollout, Tasks
from drml.learning.advantages import estimate_advantages
from drml.learning.by_parts import chunks, hessian_product
from drml.learning.linear_baseline import LinearFeatureBaseline
from drml.learning.losses import dice_loss, likelihood_ratio_loss, log_likelihood_loss
from drml.learning.optim.first_order import sgd_step
from drml.policies.api import Policy

InnerLoss = Literal["log_likelihood", "likelihood_ratio", "dice"]
Loss = Callable[[Distribution, Rollout, Advantages], Tensor]
INNER_LOSSES: dict[InnerLoss, Loss] = {
    "log_likelihood": log_likelihood_loss,
    "likelihood_ratio": likelihood_ratio_loss,
    "dice": dice_loss,
}


@dataclass(frozen=True)
class InnerConfig:
    """Hyper-parameters of the inner loop, which adapts to one task."""

    lr: float = 0.1
    """α, step size of the first inner step (MAML, ProMP: 0.1; 2-D navigation in MAML's code: 0.5)."""
    later_lr: float = 0.1
    """Step size of all further inner steps (MAML's tests: half of the first)."""
    num_steps: int = 1
    """k, inner steps in meta-training, each on a fresh rollout (MAML: 1; ProMP: 1 to 3)."""
    gamma: float = 0.99
    """Discount per step (rllab, ProMP: 0.99)."""
    gae_lambda: float = 1.0
    """λ of the advantage estimates (rllab, ProMP: 1)."""
    adapts_on: AdaptsOn = "steps"
    """Share of each copy in an inner step where episodes end early: one episode (MAML, ProMP: episodes), or a
    horizon of steps, of however many episodes that takes (steps; the papers' code takes whole episodes until there are
    copies x horizon steps). The two are the same where no episode ends before the horizon."""

    def __post_init__(self) -> None:
        check_ranges(
            "inner ",
            self,
            at_least_1=("num_steps",),
            at_least_0=("lr", "later_lr"),
            between_0_and_1=("gamma", "gae_lambda"),
        )

    def lr_at(self, adapt_step: int) -> float:
        """Return the step size of an inner step; steps count from 0."""
        return self.lr if adapt_step == 0 else self.later_lr

    def baseline(self, spec: EnvSpec) -> LinearFeatureBaseline:
        """Return the baseline of the rollouts that are adapted to."""
        whole = self.adapts_on == "episodes"
        return LinearFeatureBaseline(spec.horizon, self.gamma, whole_episodes=whole, parts=spec.parts)


@dataclass(frozen=True)
class GradientAdaptation:
    """The inner loop of a gradient learner: a policy, a loss, step sizes, and the order of differentiation."""

    policy: Policy
    loss: Loss
    config: InnerConfig
    order: Literal[1, 2]
    """2 differentiates through the inner gradient; 1 takes it as a constant."""

    def step(self, params: Params, rollout: Rollout, advantages: Advantages, adapt_step: int) -> Params:
        """Return the parameters `[K, ...]` after one inner step, differentiable in the stacked `params` `[K, ...]`."""
        with torch.enable_grad():
            leaves = params if self.order == 2 else {n: p.detach().requires_grad_() for n, p in params.items()}
            grads = self.gradient(leaves, self.policy.unroll(leaves, rollout), rollout, advantages)
            return self.descend(params, grads, adapt_step)

    def descend(self, params: Params, grads: Params, adapt_step: int) -> Params:
        """Return θ′ − α ∇L `[K, ...]`, held within the policy's bounds; derivatives pass through those."""
        return held_within(sgd_step(params, grads, self.config.lr_at(adapt_step)), self.policy.bounds)

    def gradient(self, params: Params, new: Distribution, rollout: Rollout, advantages: Advantages) -> Params:
        """Return ∇ L `[K, ...]`, given the distributions `new` that the stacked `params` make of the rollout.

        An objective that reads `new` too shares one forward pass with the inner loss.
        """
        grads = torch.autograd.grad(
            self.loss(new, rollout, advantages).sum(), list(params.values()), create_graph=self.order == 2
        )
        return dict(zip(params, grads, strict=True))

    def unroll(self, params: Params, rollouts: Sequence[Rollout], advantages: Sequence[Advantages]) -> Params:
        """Return the adapted parameters `[K, ...]` after one step per given rollout, differentiable in `params`."""
        adapted = stack_shared(params, len(rollouts[0].reward))
        for j, (rollout, advantage) in enumerate(zip(rollouts, advantages, strict=True)):
            adapted = self.step(adapted, rollout, advantage, j)
        return adapted

    def linearise(
        self, params: Params, rollout: Rollout, advantages: Advantages, adapt_step: int
    ) -> tuple[Params, Callable[[Tensor], Tensor]]:
        """Return the parameters `[K, ...]` after one inner step as plain values, and V ↦ J V `[K, P]` with J = ∂θ′/∂θ.

        J = I − α ∇²L is symmetric, so the same function is the product with its transpose; with order 1 it is I.
        """
        lr = self.config.lr_at(adapt_step)
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        with torch.enable_grad():
            grads = self.gradient(leaves, self.policy.unroll(leaves, rollout), rollout, advantages)
        adapted = params_map(torch.detach, self.descend(params, grads, adapt_step))
        if self.order == 1:
            return adapted, lambda v: v
        hessian = hessian_product(grads, leaves)
        return adapted, lambda v: v - lr * hessian(v)

    def apply(self, params: Params, rollout: Rollout, advantages: Advantages, adapt_step: int) -> Params:
        """Return the parameters `[K, ...]` after one inner step from stacked ones, as plain values."""
        return replace(self, order=1).linearise(params, rollout, advantages, adapt_step)[0]


@dataclass(frozen=True)
class InnerLoop:
    """Inner loop of gradient learners: who begins, what advantages are, how agents adapt, a few tasks at a time."""

    adaptation: GradientAdaptation
    baseline: LinearFeatureBaseline
    tasks_per_chunk: int

    @staticmethod
    def of(
        policy: Policy, spec: EnvSpec, config: InnerConfig, loss: InnerLoss, order: Literal[1, 2], tasks_per_chunk: int
    ) -> "InnerLoop":
        """Return the inner loop of a learner's configuration."""
        adaptation = GradientAdaptation(policy, INNER_LOSSES[loss], config, order)
        return InnerLoop(adaptation, config.baseline(spec), tasks_per_chunk)

    def prior(self, shared: Params, tasks: Tasks, copies: int, rng: Streams) -> Agent:
        """Return the agents that begin with the shared parameters."""
        return Agent(shared)

    def advantages(self, rollout: Rollout) -> Advantages:
        """Return normalised advantages over the baseline, fitted to this rollout."""

        def estimate(part: slice) -> Advantages:
            return estimate_advantages(rollout.select_tasks(part), self.baseline, self.adaptation.config.gae_lambda)

        found = parallel_map(estimate, self.chunks(rollout))
        return Advantages(torch.cat([a.advantage for a in found]), torch.cat([a.weight for a in found]))

    def adapt(self, agent: Agent, rollout: Rollout, adapt_step: int, rng: Streams) -> Agent:
        """Return the agents after one inner step, each on its own rollout."""
        stacked = agent.params if agent.stacked else stack_shared(agent.params, len(rollout.reward))

        def step(part: slice) -> Params:
            params = params_map(lambda value: value[part], stacked)
            mine = rollout.select_tasks(part)
            advantages = estimate_advantages(mine, self.baseline, self.adaptation.config.gae_lambda)
            return self.adaptation.apply(params, mine, advantages, adapt_step)

        adapted = join_stacked(parallel_map(step, self.chunks(rollout)))
        return replace(agent, params=adapted, stacked=True)

    def chunks(self, rollout: Rollout) -> list[slice]:
        """Return slices that cut the tasks of a rollout into chunks."""
        return chunks(len(rollout.reward), self.tasks_per_chunk)
