"""Evolution strategies: what a function's values at perturbed parameters say about where it grows.

For the Gaussian smoothing J(θ) = E f(θ + σε), ε ~ N(0, I):

    ∇J(θ) = 1/σ E f(θ + σε) ε ≈ 1/(nσ²) Σᵢ fᵢ pᵢ,   pᵢ = σεᵢ

Perturbations come in pairs p, −p, so that they sum to zero and a constant added to f changes nothing.

Source: Salimans et al. 2017, "Evolution strategies as a scalable alternative to reinforcement learning".
"""

import torch
from torch import Tensor

from drml.core.rng import Streams, task_noise
from drml.core.types import Rollout
from drml.learning.returns import episode_returns


def fitness(rollout: Rollout) -> Tensor:
    """Return the mean undiscounted return of a task's sound first episodes, `[K]` float64."""
    return episode_returns(rollout).nanmean(-1)


def antithetic(shape: tuple[int, int], std: float, rng: Streams) -> Tensor:
    """Return Gaussian perturbations `[n, P]`: row 2i + 1 is minus row 2i; the last of an odd n has no partner."""
    num, size = shape
    half = rng.normal(((num + 1) // 2, size)) * std
    return torch.stack([half, -half], 1).flatten(0, 1)[:num]


def es_gradient(perturbations: Tensor, values: Tensor, std: float) -> Tensor:
    """Return the estimate of ∇J `[P]`, in units of the values' standard deviation; zero where all values are equal.

    Args:
        perturbations: `[n, P]`.
        values: `[n]` f there.
        std: σ of the perturbations.
    """
    spread = values.std(correction=0)
    if not float(spread) > 0.0:
        return torch.zeros_like(perturbations[0])
    scaled = ((values - values.mean()) / spread).to(perturbations.dtype)
    return scaled @ perturbations / (len(values) * std**2)


def neighbours(params: Tensor, task_ids: Tensor, std: float, rng: Streams) -> Tensor:
    """Return parameters `[K, P]` with Gaussian noise added, each task's from a stream of its own."""
    return params + std * task_noise(rng, task_ids, "normal", params.shape[1:])


def better(values: Tensor, params: Tensor, best_values: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Return the better values `[K]`, and the parameters `[K, P]` that they are those of; equal ones stay the old."""
    is_better = values > best_values
    return torch.where(is_better, values, best_values), torch.where(is_better.unsqueeze(1), params, best)
