"""MAML and FOMAML: model-agnostic meta-learning with a trust-region outer step.

Finn, Abbeel & Levine 2017, "Model-agnostic meta-learning for fast adaptation of deep networks", algorithm 3.

    θ′ᵢ = θ − α ∇θ L(τᵢ; θ)                                            inner step (eq. 1), policy gradient (eq. 4)
    minimise  J(θ) = 1/K Σᵢ −E_τ′ᵢ[ π_θ′ᵢ(θ)(a|s)/π_acting(a|s) Â ]       subject to  1/K Σᵢ KL(π_acting ‖ π_θ′ᵢ(θ)) ≤ δ

solved by one natural-gradient step with a line search (TRPO, section 5.3 of the paper). `order=2` differentiates
through the inner gradient; `order=1` takes it as a constant and is the paper's first-order approximation (FOMAML).

The constraint's Hessian at θ is A = 1/K Σᵢ Jᵢᵀ Fᵢ Jᵢ with Jᵢ = ∂θ′ᵢ/∂θ and the Fisher matrix Fᵢ of π_θ′ᵢ; products
with it are taken factor by factor.

Differs from the paper: A may be taken on a share of the data (`curvature_episodes`), which then decides the direction
and, by √(2δ / dᵀ A d), the length of the first try; gradient, adapted parameters and line search see all data. The
share is a few steps of every episode, which say more than a few episodes do (benchmarks/README.md shows what it does to
learning). As in the paper's code, the sampling distribution of τᵢ is not differentiated (no score term);
docs/estimators.md says what that bias is.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from drml.algos.api import LearnerState, Metrics
from drml.core.check import check_finite, check_ranges
from drml.core.parallel import parallel_map
from drml.core.rng import Streams
from drml.core.tree import (
    Params,
    flatten,
    flatten_stacked,
    held_within,
    join_stacked,
    params_map,
    stack_shared,
    unflatten,
)
from drml.core.types import AdaptsOn, Advantages, EnvSpec, MetaEpisode, Rollout
from drml.learning.adapt import GradientAdaptation, InnerConfig, InnerLoop, InnerLoss
from drml.learning.advantages import share_without_difference
from drml.learning.by_parts import chunks, hessian_product
from drml.learning.losses import expectation, likelihood_ratio_loss, mean_kl
from drml.learning.optim.trust_region import TrustRegionConfig, trust_region_step
from drml.policies.api import Policy

CURVATURE_PIECES = 2  # a product with the curvature is short: more pieces cost more than they give


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
    curvature_episodes: int = 2
    """Data for the curvature: as many steps as so many episodes per task have, a few from each of all its
    episodes; 0 takes everything (the paper: everything)."""
    tasks_per_chunk: int = 5
    """Tasks per backward pass; changes the speed and the order of rounding, nothing else."""

    def __post_init__(self) -> None:
        check_ranges("MAML ", self, at_least_1=("tasks_per_chunk",), at_least_0=("curvature_episodes",))


class MAML:
    """The learner: a prior that is good to adapt from, improved within a trust region."""

    def __init__(self, spec: EnvSpec, policy: Policy, config: MAMLConfig) -> None:
        self.policy = policy
        self.config = config
        self.adapt_steps = config.inner.num_steps
        self.adapts_on: AdaptsOn = config.inner.adapts_on
        self.inner = InnerLoop.of(policy, spec, config.inner, config.inner_loss, config.order, config.tasks_per_chunk)
        self.prior, self.adapt = self.inner.prior, self.inner.adapt

    def init(self, rng: Streams) -> LearnerState:
        """Return fresh parameters; the trust region keeps no memory."""
        return LearnerState(self.policy.init(rng))

    def update(self, state: LearnerState, episode: MetaEpisode, rng: Streams) -> tuple[LearnerState, Metrics]:
        """Return the state after one trust-region step on the post-adaptation surrogate."""
        history = episode.history
        num_tasks, _, copies = history[0].reward.shape
        batch = _Batch(self.inner.adaptation, history, [self.inner.advantages(rollout) for rollout in history])
        parts = [batch.select_tasks(part) for part in self.inner.chunks(history[0])]
        losses, gradients, paths = zip(*parallel_map(lambda part: part.differentiate(state.shared), parts), strict=True)
        gradient = torch.stack(gradients).sum(0) / num_tasks
        check_finite("meta-gradient", gradient)

        path = [join_stacked(at_step) for at_step in zip(*paths, strict=True)]
        share = batch.share(self.config.curvature_episodes or copies, self.config.inner_loss == "dice")
        products = parallel_map(
            lambda part: share.select_tasks(part).curvature([params_map(lambda x: x[part], p) for p in path]),
            chunks(num_tasks, math.ceil(num_tasks / CURVATURE_PIECES)),
        )

        def curvature(v: Tensor) -> Tensor:
            return torch.stack(parallel_map(lambda product: product(v), products)).sum(0) / num_tasks

        def evaluate(vector: Tensor) -> tuple[float, float]:
            params = unflatten(vector, state.shared)
            losses, kls = zip(*parallel_map(lambda part: part.loss_and_kl(params), parts), strict=True)
            return sum(losses) / num_tasks, sum(kls) / num_tasks

        step = trust_region_step(
            evaluate, curvature, flatten(state.shared), gradient, sum(losses) / num_tasks, self.config.trust_region
        )
        metrics = {
            "outer_loss_first": step.loss_before,
            "outer_loss_last": step.loss_after,
            "outer_kl": step.kl,
            "line_search_tries": float(step.num_tries),
            "step_accepted": float(step.accepted),
            "tasks_without_difference": share_without_difference(batch.advantages),
        }
        return LearnerState(held_within(unflatten(step.params, state.shared), self.policy.bounds)), metrics


@dataclass(frozen=True)
class _Batch:
    """The rollouts of a meta-episode, and the outer objective's terms on them, summed over tasks."""

    adaptation: GradientAdaptation
    history: Sequence[Rollout]
    advantages: Sequence[Advantages]

    def differentiate(self, params: Params) -> tuple[float, Tensor, list[Params]]:
        """Return the surrogate loss J, ∇θ J `[P]`, and the path θ = θ′⁰, θ′¹, … θ′ᵏ of the adaptation, `[K, ...]`."""
        path, steps = [stack_shared(params, len(self.history[0].reward))], []
        for j, (rollout, advantage) in enumerate(zip(self.history[:-1], self.advantages[:-1], strict=True)):
            adapted, step = self.adaptation.linearise(path[-1], rollout, advantage, j)
            path.append(adapted)
            steps.append(step)
        adapted = {name: value.detach().requires_grad_() for name, value in path[-1].items()}
        new = self.adaptation.policy.unroll(adapted, self.history[-1])
        loss = likelihood_ratio_loss(new, self.history[-1], self.advantages[-1]).sum()
        gradient = flatten_stacked(torch.autograd.grad(loss, list(adapted.values())))
        for step in reversed(steps):
            gradient = step(gradient)
        return loss.item(), gradient.sum(0), path

    def curvature(self, path: Sequence[Params]) -> Callable[[Tensor], Tensor]:
        """Return v ↦ Σᵢ Jᵢᵀ Fᵢ Jᵢ v at the parameters of a path; positive semidefinite whatever data it is taken from.

        Fᵢ is the Hessian of KL(π_θ′ᵢ ‖ ·) at θ′ᵢ.
        """
        steps = [
            self.adaptation.linearise(params, rollout, advantage, j)[1]
            for j, (params, rollout, advantage) in enumerate(
                zip(path[:-1], self.history[:-1], self.advantages[:-1], strict=True)
            )
        ]
        adapted = {name: value.detach().requires_grad_() for name, value in path[-1].items()}
        new = self.adaptation.policy.unroll(adapted, self.history[-1])
        here = new.replace({name: value.detach() for name, value in new.tensors().items()})
        kl = expectation(here.kl(new), self.advantages[-1].weight).sum()
        grads = torch.autograd.grad(kl, list(adapted.values()), create_graph=True)
        fisher = hessian_product(dict(zip(adapted, grads, strict=True)), adapted)
        num_tasks = len(self.history[0].reward)

        def product(v: Tensor) -> Tensor:
            rows = v.expand(num_tasks, -1)
            for step in (*steps, fisher, *reversed(steps)):
                rows = step(rows)
            return rows.sum(0)

        return product

    def loss_and_kl(self, params: Params) -> tuple[float, float]:
        """Return the surrogate loss and the KL from the acting to the adapted policies."""
        plain = replace(self.adaptation, order=1)
        with torch.no_grad():
            adapted = plain.unroll(params, self.history[:-1], self.advantages[:-1])
            new = plain.policy.unroll(adapted, self.history[-1])
            loss = likelihood_ratio_loss(new, self.history[-1], self.advantages[-1])
            return loss.sum().item(), mean_kl(new, self.history[-1], self.advantages[-1]).sum().item()

    def select_tasks(self, part: slice) -> "_Batch":
        """Return the part of a slice of the tasks."""
        history = [rollout.select_tasks(part) for rollout in self.history]
        return _Batch(self.adaptation, history, [advantage.select_tasks(part) for advantage in self.advantages])

    def share(self, episodes: int, whole: bool) -> "_Batch":
        """Return the part with as many steps as so many episodes have, a few from each of a task's episodes.

        Steps of one episode resemble each other, so that a few whole ones say far less of the curvature. Inner losses
        that run along episodes need them `whole`; the KL is a mean over steps whatever the loss.
        """
        if episodes >= self.history[0].reward.shape[2]:
            return self
        parts = [
            thinned(rollout, advantage, episodes, whole and rollout is not self.history[-1])
            for rollout, advantage in zip(self.history, self.advantages, strict=True)
        ]
        return _Batch(self.adaptation, *zip(*parts, strict=True))


def thinned(rollout: Rollout, advantages: Advantages, copies: int, whole: bool) -> tuple[Rollout, Advantages]:
    """Return the steps of so many copies at a time, evenly spread: the same ones throughout, or others at each step."""
    _, num_steps, num_copies = rollout.reward.shape
    first = torch.arange(copies, device=rollout.reward.device) * num_copies // copies
    time = torch.arange(num_steps, device=rollout.reward.device).unsqueeze(1)
    copy = (first if whole else first + time) % num_copies  # [T, copies]

    def thin(x: Tensor) -> Tensor:
        return x[:, time, copy].contiguous() if x.shape[2] > 1 else x  # what all copies share is stored once

    return rollout.map(thin), advantages.map(thin)
