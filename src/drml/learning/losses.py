"""Policy losses, written for one task `[T, B]`; leading axes batch, so K tasks `[K, T, B]` give a loss `[K]`.

Each expectation is a weighted sum with `Advantages.weight`, so steps of unsound episodes do not exist for a loss.
A loss is minimised. None of them knows of workers, devices, files or loggers.
"""

import torch
from torch import Tensor

from drml.core.distribution import Distribution
from drml.core.types import Advantages, Rollout


def expectation(x: Tensor, weight: Tensor) -> Tensor:
    """Return Σₜ Σ_b w x, `[...]`, over the last two axes of x and w `[..., T, B]`."""
    return (weight * x).sum((-2, -1))


def log_likelihood_ratio(new: Distribution, rollout: Rollout) -> Tensor:
    """Return log π(a|s)/π_acting(a|s), `[..., T, B]`; zero at unsound steps, which overflow would let in otherwise."""
    return (new.log_prob(rollout.action) - rollout.log_prob).masked_fill(~rollout.valid, 0.0)


def likelihood_ratio(new: Distribution, rollout: Rollout) -> Tensor:
    """Return π(a|s)/π_acting(a|s), `[..., T, B]`."""
    return log_likelihood_ratio(new, rollout).exp()


def likelihood_ratio_loss(new: Distribution, rollout: Rollout, advantages: Advantages) -> Tensor:
    """Return −E[π(a|s)/π_acting(a|s) Â], `[...]`.

    Differentiated twice it gives the low-variance-curvature estimate when π_acting is π: ∇²π/π = ∇² log π + (∇ log π)².
    Source: Rothfuss et al. 2019, "ProMP", eq. 9 (the inner objective J^LR).
    """
    return -expectation(likelihood_ratio(new, rollout) * advantages.advantage, advantages.weight)


def log_likelihood_loss(new: Distribution, rollout: Rollout, advantages: Advantages) -> Tensor:
    """Return −E[log π(a|s) Â], `[...]`, whose gradient is the policy gradient.

    Source: Williams 1992, "REINFORCE"; the inner objective of Finn et al. 2017, "MAML", eq. 4.
    """
    return -expectation(new.log_prob(rollout.action) * advantages.advantage, advantages.weight)


def dice_loss(new: Distribution, rollout: Rollout, advantages: Advantages) -> Tensor:
    """Return −E[(ρ₀ρ₁…ρₜ − ρ₀ρ₁…ρₜ₋₁) Âₜ], `[...]`, ρ = π(a|s)/π_acting(a|s), products running within an episode.

    Each action's gain carries the likelihood ratio of all that led to it, so every derivative is that of the expected
    return: unbiased to any order where the per-step losses are biased from the second on, at a higher variance. The
    subtracted product leaves no derivative of any order to a baseline, however wrong it is.
    Source: Farquhar et al. 2019, "Loaded DiCE", section 3 (with the ratio in place of the magic box, equal where
    π_acting is π).
    """
    log_ratio = log_likelihood_ratio(new, rollout)
    total = log_ratio.cumsum(-2)  # over T
    before = total - log_ratio
    starts = rollout.elapsed == 0
    # the running total at each episode's start, carried forward to its later steps
    time = torch.arange(total.shape[-2], device=total.device).unsqueeze(-1)
    start_at = torch.where(starts, time, 0).cummax(-2).values
    since_start = before.gather(-2, start_at)
    gain = ((total - since_start).exp() - (before - since_start).exp()) * advantages.advantage
    return -expectation(gain, advantages.weight)


def clipped_surrogate_loss(new: Distribution, rollout: Rollout, advantages: Advantages, clip_eps: float) -> Tensor:
    """Return −E[min(ρ Â, clip(ρ, 1−ε, 1+ε) Â)], `[...]`, with ρ = π(a|s)/π_acting(a|s).

    Source: Schulman et al. 2017, "Proximal policy optimization algorithms", eq. 7.

    Args:
        new: π at the steps of the rollout, `[..., T, B]`.
        rollout: its actions, and π_acting that took them.
        advantages: Â and the weights of the expectation.
        clip_eps: ε.
    """
    ratio = likelihood_ratio(new, rollout)
    clipped = ratio.clamp(1.0 - clip_eps, 1.0 + clip_eps)
    gain = torch.minimum(ratio * advantages.advantage, clipped * advantages.advantage)
    return -expectation(gain, advantages.weight)


def mean_kl(new: Distribution, rollout: Rollout, advantages: Advantages) -> Tensor:
    """Return E[KL(π_acting ‖ π)], `[...]`, in nats per step."""
    return expectation(rollout.acting.kl(new), advantages.weight)
