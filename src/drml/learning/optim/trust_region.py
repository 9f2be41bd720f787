"""The trust-region step: the natural-gradient direction, scaled to the region's edge, then a backtracking line search.

    d = −A⁻¹ g,   s = √(2δ / dᵀ A d) d,   θ ← θ + βʲ s  for the first j that lowers the loss within the region

Source: Schulman et al. 2015, "Trust region policy optimization", appendix C.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from drml.core.check import check_ranges
from drml.core.errors import InputError
from drml.learning.optim.conjugate_gradient import conjugate_gradient


@dataclass(frozen=True)
class TrustRegionConfig:
    """The size of the region and the effort spent on finding the step.

    Raises:
        InputError: if a field is out of its range.
    """

    max_kl: float = 0.01
    """δ, nats per step of the policy (MAML: 0.01)."""
    cg_iters: int = 10
    """Conjugate-gradient iterations (TRPO, MAML: 10)."""
    cg_damping: float = 1e-5
    """Added to the curvature's diagonal (maml-rl: 1e-5)."""
    backtrack_ratio: float = 0.8
    """β, shrinkage of each further try (maml-rl: 0.8)."""
    max_backtracks: int = 15
    """Tries before the step is given up (maml-rl: 15)."""

    def __post_init__(self) -> None:
        check_ranges(
            "trust region ",
            self,
            at_least_1=("cg_iters", "max_backtracks"),
            at_least_0=("cg_damping",),
            above_0=("max_kl", "backtrack_ratio"),
        )
        if not self.backtrack_ratio < 1.0:
            raise InputError(f"trust region backtrack_ratio is {self.backtrack_ratio}, must be below 1")


@dataclass(frozen=True)
class TrustRegionStep:
    """The parameters after the step, and how it went."""

    params: Tensor
    """θ `[P]`, as it was where no step was accepted."""
    loss_before: float
    loss_after: float
    kl: float
    """Mean KL that was gone, in nats per step of the policy."""
    num_tries: int
    """Step lengths that were tried; 0 where there was no direction."""
    accepted: bool


def line_search(
    evaluate: Callable[[Tensor], tuple[float, float]],
    params: Tensor,
    full_step: Tensor,
    loss_before: float,
    config: TrustRegionConfig,
) -> TrustRegionStep:
    """Return the first of θ + s, θ + βs, θ + β²s, … that lowers the loss within the region, else θ itself.

    Args:
        evaluate: θ `[P]` ↦ (loss, mean KL); a value that is not finite is refused like a loss that did not fall.
        params: θ `[P]`.
        full_step: s `[P]`.
        loss_before: the loss at θ.
        config: region and effort.
    """
    for tries in range(config.max_backtracks):
        candidate = params + config.backtrack_ratio**tries * full_step
        loss, kl = evaluate(candidate)
        if -math.inf < loss < loss_before and kl <= config.max_kl:  # both false for NaN
            return TrustRegionStep(candidate, loss_before, loss, kl, tries + 1, accepted=True)
    return TrustRegionStep(params, loss_before, loss_before, 0.0, config.max_backtracks, accepted=False)


def trust_region_step(
    evaluate: Callable[[Tensor], tuple[float, float]],
    curvature: Callable[[Tensor], Tensor],
    params: Tensor,
    gradient: Tensor,
    loss_before: float,
    config: TrustRegionConfig,
) -> TrustRegionStep:
    """Return parameters that lower the loss within the trust region, by the equations above with A damped.

    Args:
        evaluate: θ `[P]` ↦ (loss, mean KL in nats per step).
        curvature: v `[P]` ↦ A v `[P]`, the Hessian of the mean KL at θ.
        params: θ `[P]`.
        gradient: ∇ loss at θ, `[P]`.
        loss_before: the loss at θ.
        config: region and effort.
    """

    def damped(v: Tensor) -> Tensor:
        return curvature(v) + config.cg_damping * v

    direction = -conjugate_gradient(damped, gradient, config.cg_iters)
    curved = direction @ damped(direction)
    if not bool(curved > 0.0):  # zero gradient, or curvature lost to rounding
        return TrustRegionStep(params, loss_before, loss_before, 0.0, 0, accepted=False)
    full_step = torch.sqrt(2.0 * config.max_kl / curved) * direction
    return line_search(evaluate, params, full_step, loss_before, config)
