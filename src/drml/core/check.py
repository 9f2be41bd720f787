"""Checks at public entrances: shapes by axis name, and finiteness."""

from torch import Tensor

from drml.core.errors import InputError, NumericError


def check_shapes(**named: tuple[Tensor, str]) -> None:
    """Check that tensors agree on their named axes.

    `check_shapes(obs=(obs, "K T B O"), reward=(reward, "K T B"))` raises unless both tensors have these ranks and the
    same K, T and B. A trailing `...` allows further axes.

    Raises:
        InputError: names the tensor, the shape it has and the shape it should have.
    """
    sizes: dict[str, int] = {}
    for name, (tensor, axes) in named.items():
        names = axes.split()
        open_ended = names[-1] == "..."
        names = names[:-1] if open_ended else names
        shape = tuple(tensor.shape)
        rank_is_right = len(shape) >= len(names) if open_ended else len(shape) == len(names)
        agrees = rank_is_right and all(
            sizes.setdefault(axis, size) == size for axis, size in zip(names, shape, strict=False)
        )
        if not agrees:
            expected = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in names)
            raise InputError(f"{name} has shape {list(shape)}, expected [{expected}{', ...' if open_ended else ''}]")


def check_finite(what: str, tensor: Tensor) -> None:
    """Raise NumericError unless every number of `tensor` is finite."""
    if not bool(tensor.isfinite().all()):
        bad = int((~tensor.isfinite()).sum())
        raise NumericError(f"{what}: {bad} of {tensor.numel()} numbers are not finite")
