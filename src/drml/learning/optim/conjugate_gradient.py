"""Conjugate gradient: solves A x = b knowing only the products A v.

The residuals rᵢ = b − A xᵢ are orthogonal to each other on paper. In rounded numbers they stop being so as soon as the
largest eigenvalues are solved for, within a few iterations where the spectrum is as wide as that of a policy's KL: what
has been solved comes back out of the rounding, and noise of 1e-7 in the products turns x by some percent. So each
residual is kept, and the next one is made orthogonal to all before it, which costs nothing beside a product; the same
noise then turns x by 1e-5 and less.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, num_iters: int = 10, tolerance: float = 1e-10
) -> Tensor:
    """Return x `[P]` with A x ≈ b for a symmetric positive definite A.

    Source: Hestenes & Stiefel 1952; as used by Schulman et al. 2015, "Trust region policy optimization", appendix C.
    Full reorthogonalisation: Golub & Van Loan, "Matrix computations", section 10.3.

    Args:
        product: v `[P]` ↦ A v `[P]`.
        b: `[P]`.
        num_iters: products at most; P iterations are exact but for rounding. So many vectors `[P]` are kept.
        tolerance: stop when the squared residual falls below this share of that of b.
    """
    x = torch.zeros_like(b)
    residual, direction = b.clone(), b.clone()
    residual_sq = residual @ residual
    stop = tolerance * residual_sq
    found: list[Tensor] = []  # residuals so far, at length 1
    for _ in range(num_iters):
        if bool(residual_sq <= stop):
            break
        curved = product(direction)
        step = residual_sq / (direction @ curved)
        x = x + step * direction
        found.append(residual / residual_sq.sqrt())
        residual = orthogonal_to(found, residual - step * curved)
        previous_sq, residual_sq = residual_sq, residual @ residual
        direction = residual + (residual_sq / previous_sq) * direction
    return x


def orthogonal_to(units: Sequence[Tensor], v: Tensor) -> Tensor:
    """Return v − U Uᵀ v `[P]`, the part of v `[P]` that is orthogonal to each of some orthonormal vectors U `[P]`."""
    basis = torch.stack(list(units))
    for _ in range(2):  # what cancels in the first pass leaves rounding that the second removes
        v = v - basis.T @ (basis @ v)
    return v
