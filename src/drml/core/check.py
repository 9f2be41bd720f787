"""Checks at public entrances: shapes by axis name, finiteness, the ranges of settings, and what can fit."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from drml.core.errors import InputError, NumericError, ResourceError
from drml.core.tree import Tree, tree_leaves

SMALLEST, LARGEST = torch.finfo(torch.float32).smallest_normal, torch.finfo(torch.float32).max


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
    if found := _not_finite(what, tensor):
        raise NumericError(f"{found}; lower the step sizes")


def check_ranges(
    what: str,
    config: object,
    *,
    at_least_1: Sequence[str] = (),
    at_least_0: Sequence[str] = (),
    above_0: Sequence[str] = (),
    between_0_and_1: Sequence[str] = (),
) -> None:
    """Check that the named fields of a configuration lie in their ranges; NaN lies in none.

    They meet tensors of float32, so what such a number cannot hold is out of range too: it would overflow, or be 0.

    Raises:
        InputError: names the first field that does not, what it is and what it must be.
    """
    for names, low, high, rule in (
        (at_least_1, 1.0, math.inf, "1 or more"),
        (at_least_0, 0.0, math.inf, "0 or more"),
        (above_0, math.ulp(0.0), math.inf, "above 0"),
        (between_0_and_1, 0.0, 1.0, "between 0 and 1"),
    ):
        for name in names:
            value = getattr(config, name)
            if not low <= value <= high:
                raise InputError(f"{what}{name} is {value}, must be {rule}")
            if value and math.isfinite(value) and not SMALLEST <= abs(value) <= LARGEST:
                raise InputError(f"{what}{name} is {value}, must be 0 or between 1.2e-38 and 3.4e38 in size")


def check_tree(what: str, tree: Tree) -> None:
    """Raise NumericError unless every number of a tree is finite; names the first leaf where one is not."""
    if found := not_finite(tree):
        raise NumericError(f"{what} {found}; lower the step sizes")


def not_finite(tree: Tree) -> str:
    """Return what to say of the first leaf of a tree that is not finite; "" where all are."""
    return next((found for path, leaf in tree_leaves(tree) if (found := _not_finite(path, leaf))), "")


def _not_finite(name: str, tensor: Tensor) -> str:
    is_finite = tensor.isfinite()
    if bool(is_finite.all()):
        return ""
    return f"{name}: {int((~is_finite).sum())} of {tensor.numel()} numbers are not finite"


def machine_memory() -> int:
    """Return the bytes of memory that the machine has, or that its control groups leave to this process."""
    has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([has, *_group_limits()])


def _group_limits(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Yield the memory limits of the control groups that this process is in; none where the system has none."""
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.exists() else []:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        top = root / controllers
        for folder in (top / group.strip("/"), *(top / group.strip("/")).parents):
            with suppress(OSError, ValueError):  # there is no such file, or it says "max"
                yield int((folder / name).read_text(encoding="ascii"))
            if folder == top:
                break


def check_memory(what: str, num_numbers: int, more: str = "") -> None:
    """Refuse what can never fit, because where memory runs out the system kills without a word.

    Raises:
        ResourceError: if that many float32 numbers take more than all memory; `more` ends its line.
    """
    need, has = 4 * num_numbers, machine_memory()
    if need > has:
        raise ResourceError(
            f"{what} takes {need // 10**9:,} GB of memory or more, the machine has {has // 10**9:,} GB{more}"
        )
