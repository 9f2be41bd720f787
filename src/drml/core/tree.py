"""Functions on trees: nested dictionaries whose leaves are tensors (parameters, carries, optimiser states)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

Tree = dict[str, "Tensor | Tree"]
Params = dict[str, Tensor]
Bounds = Mapping[str, tuple[float, float]]
"""The lowest and the highest value of the parameters that have any, by name."""


def tree_map(fn: Callable[..., Tensor], tree: Tree, *others: Tree) -> Tree:
    """Return `fn` applied leaf by leaf to trees of one structure.

    Raises:
        KeyError: if the trees differ in structure.
    """
    mapped: Tree = {}
    for key, value in tree.items():
        rest = [other[key] for other in others]
        branches = [branch for branch in rest if isinstance(branch, dict)]
        if len(branches) != (len(rest) if isinstance(value, dict) else 0):
            raise KeyError(f"'{key}' is a leaf in one tree and a branch in another")
        mapped[key] = tree_map(fn, value, *branches) if isinstance(value, dict) else fn(value, *rest)
    for other in others:
        if other.keys() != tree.keys():
            raise KeyError(f"{sorted(other.keys() - tree.keys())} are in one tree and not in another")
    return mapped


def tree_leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield `(path, tensor)` of each leaf in order; path elements are joined by '/'."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from tree_leaves(value, f"{path}/")
        else:
            yield path, value


def params_map(fn: Callable[..., Tensor], params: Params, *others: Params) -> Params:
    """Return `fn` applied to each parameter of flat dictionaries with the same names."""
    return {name: fn(value, *(other[name] for other in others)) for name, value in params.items()}


def held_within(params: Params, bounds: Bounds) -> Params:
    """Return the parameters moved to the nearest ones within their bounds; derivatives pass as if none were moved.

    A parameter beyond a bound would have no gradient to come back by. At the bound it has one, and lets it pass to what
    it was computed from.
    """
    return params | {name: _held(params[name], *ends) for name, ends in bounds.items()}


def _held(value: Tensor, low: float, high: float) -> Tensor:
    plain = value.detach()
    inside = plain.clamp(low, high)
    return inside + (value - plain) if value.requires_grad else inside


def stack_shared(params: Params, num_tasks: int) -> Params:
    """Return shared parameters viewed as K sets `[K, ...]` without copying them."""
    return params_map(lambda value: value.expand(num_tasks, *value.shape), params)


def join_stacked(parts: Sequence[Params]) -> Params:
    """Return the stacked parameters `[K, ...]` of all tasks from those of consecutive slices of them."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def flatten(params: Params) -> Tensor:
    """Return all parameters as one vector `[P]`, in the dictionary's order."""
    return torch.cat([value.reshape(-1) for value in params.values()])


def flatten_stacked(tensors: Iterable[Tensor]) -> Tensor:
    """Return stacked parameters `[K, ...]` as one row per task, `[K, P]`."""
    return torch.cat([value.flatten(1) if value.dim() > 1 else value.unsqueeze(1) for value in tensors], 1)


def unflatten(vector: Tensor, like: Params) -> Params:
    """Return the parameters that `flatten` turned into `vector`, with the shapes of `like`."""
    parts = vector.split([value.numel() for value in like.values()])
    return {name: part.view(value.shape) for (name, value), part in zip(like.items(), parts, strict=True)}


def unflatten_stacked(rows: Tensor, like: Params) -> Params:
    """Return the stacked parameters `[K, ...]` that `flatten_stacked` turned into `rows` `[K, P]`.

    Args:
        rows: one row per task.
        like: stacked parameters of these names and shapes, of any number of tasks.
    """
    parts = rows.split([value[0].numel() for value in like.values()], 1)
    return {name: part.view(-1, *value.shape[1:]) for (name, value), part in zip(like.items(), parts, strict=True)}


def tree_where(chosen: Tensor, first: Tree, second: Tree) -> Tree:
    """Return the first tree for the `chosen [K, B]` copies, the second for the others; leaves `[K, B, ...]`."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(chosen.view(*chosen.shape, *(1,) * (b.dim() - 2)), a, b)

    return tree_map(pick, first, second)
