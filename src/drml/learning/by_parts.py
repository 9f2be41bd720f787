"""Gradients of sums over tasks, a few tasks at a time, each part on a thread of its own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from drml.core.check import check_finite
from drml.core.parallel import parallel_map
from drml.core.tree import (
    Params,
    flatten,
    flatten_stacked,
    unflatten,
)


def chunks(num_tasks: int, tasks_per_chunk: int) -> list[slice]:
    """Return slices that cut K tasks into chunks; a chunk's activations should fit the processor's caches."""
    return [slice(start, min(start + tasks_per_chunk, num_tasks)) for start in range(0, num_tasks, tasks_per_chunk)]


def value_and_gradient(
    objective: Callable[[Params, slice], Tensor], params: Params, parts: Sequence[slice]
) -> tuple[float, Params]:
    """Return Σ objective over all parts and its gradient, accumulated part by part in a fixed order.

    Args:
        objective: (θ, slice of tasks) ↦ scalar.
        params: θ, shared.
        parts: from `chunks`.

    Raises:
        NumericError: if the gradient is not finite.
    """

    def differentiate(part: slice) -> tuple[float, Tensor]:
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        value = objective(leaves, part)
        return value.item(), flatten(dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True)))

    values, gradients = zip(*parallel_map(differentiate, parts), strict=True)
    gradient = torch.stack(gradients).sum(0)
    check_finite("meta-gradient", gradient)
    return sum(values), unflatten(gradient, params)


def hessian_product(grads: Params, params: Params) -> Callable[[Tensor], Tensor]:
    """Return V ↦ ∇²L V `[K, P]`, P numbers per task; the graph of the gradient is kept for all products.

    Args:
        grads: ∇L `[K, ...]`, with its graph; the tasks' losses share nothing, so row i of V meets task i's own Hessian.
        params: the stacked leaves `[K, ...]` that it was computed from.
    """
    gradient = flatten_stacked(grads.values())

    def product(v: Tensor) -> Tensor:
        return flatten_stacked(
            torch.autograd.grad(gradient, list(params.values()), v, retain_graph=True, materialize_grads=True)
        )

    return product
