"""Conjugate gradient: solves A x = b knowing only the products A v."""

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, num_iters: int = 10, tolerance: float = 1e-10
) -> Tensor:
    """Return x with A x ≈ b for a symmetric positive definite A.

    Source: Hestenes & Stiefel 1952; as used by Schulman et al. 2015, "Trust region policy optimization", appendix C.

    Args:
        product: v `[P]` ↦ A v `[P]`.
        b: `[P]`.
        num_iters: products at most; P iterations are exact but for rounding.
        tolerance: stop when the squared residual falls below this share of that of b.
    """
    x = torch.zeros_like(b)
    residual, direction = b.clone(), b.clone()
    residual_sq = residual @ residual
    stop = tolerance * residual_sq
    for _ in range(num_iters):
        if bool(residual_sq <= stop):
            break
        curved = product(direction)
        step = residual_sq / (direction @ curved)
        x = x + step * direction
        residual = residual - step * curved
        previous_sq, residual_sq = residual_sq, residual @ residual
        direction = residual + (residual_sq / previous_sq) * direction
    return x
