"""Joint actions: several choices and numbers at once, as a space of several parts takes them.

A policy's action is a row: the option of each choice, counted from 0, then all continuous numbers. Each part of the
space takes its own columns; what lies in a Dict or a Tuple comes as a dictionary or a tuple, with the same leading axes
in each part, as Gymnasium's vector environments take them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from gymnasium import spaces

from drml.core.errors import InputError
from drml.core.types import ActionSpec
from drml.spaces.box_actions import BoxActions, box_actions
from drml.spaces.observations import WRAP, AnySpace

Decoded = Any
"""Actions of a space: an array `[..., *shape]`, or a dictionary or a tuple of such."""


@final
@dataclass(frozen=True)
class Choices:
    """Choices of a Discrete, a MultiDiscrete or a MultiBinary."""

    at: slice
    """Columns among all choices."""
    start: np.ndarray
    """`[n]` int64, the value of each choice's first option."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __call__(self, options: np.ndarray) -> np.ndarray:
        """Return actions `[..., *shape]` of options `[..., n]`."""
        return (options.astype(np.int64) + self.start).astype(self.dtype).reshape(*options.shape[:-1], *self.shape)


@final
@dataclass(frozen=True)
class Numbers:
    """Numbers of a box."""

    at: slice
    """Columns among all numbers."""
    box: BoxActions


@final
@dataclass(frozen=True)
class Several:
    """Parts by their names in a Dict, or by their places in a Tuple."""

    parts: "Mapping[Any, Part]"
    is_tuple: bool


Part = Choices | Numbers | Several


@final
@dataclass(frozen=True)
class JointActions:
    """The actions of a space of several choices and numbers."""

    root: Part
    spec: ActionSpec

    def __call__(self, action: np.ndarray) -> Decoded:
        """Return actions `[..., *shape]` of rows `[..., n + m]`."""
        num = len(self.spec.counts)
        return _decoded(self.root, action[..., :num], action[..., num:])


def leaves_of(part: Part, path: str = "") -> Iterator[tuple[str, Choices | Numbers]]:
    """Yield the choices and numbers of a part by their paths in its space, such as `['arm'][0]`."""
    if not isinstance(part, Several):
        yield path, part
        return
    for name, inner in part.parts.items():
        yield from leaves_of(inner, f"{path}[{name!r}]")


def joint_actions(space: AnySpace, scale: float) -> JointActions:
    """Return how a policy acts in a space of several choices and numbers.

    Raises:
        InputError: if the space, or a part of it, is of another kind.
    """
    found = _Found(scale)
    root = found.part(space, "")
    size = sum(found.counts) + found.num_numbers
    if not size:
        raise InputError(f"action space {space} holds nothing to decide")
    kind = "joint" if found.counts else "continuous"
    return JointActions(root, ActionSpec(kind, size, found.bound if found.num_numbers else np.inf, tuple(found.counts)))


@final
@dataclass
class _Found:
    """Parts that were found so far."""

    scale: float
    counts: list[int] = field(default_factory=list[int])
    num_numbers: int = 0
    bound: float = 0.0

    def part(self, space: AnySpace, path: str) -> Part:
        """Return a part of the space, which lies at a path such as `['arm'][0]`."""
        if isinstance(space, spaces.Dict | spaces.Tuple) and not space.spaces:
            raise InputError(f"action space{path} {space} is empty; leave it out")
        if isinstance(space, spaces.Dict):
            return Several({name: self.part(one, f"{path}[{name!r}]") for name, one in space.spaces.items()}, False)
        if isinstance(space, spaces.Tuple):
            parts = {i: self.part(one, f"{path}[{i}]") for i, one in enumerate(space.spaces)}
            return Several(parts, True)
        if isinstance(space, spaces.Box):
            box = box_actions(space, self.scale)
            first, self.num_numbers = self.num_numbers, self.num_numbers + len(box.low)
            self.bound = max(self.bound, box.bound)
            return Numbers(slice(first, self.num_numbers), box)
        counts, start = _counts_of(space, path)
        first = len(self.counts)
        self.counts += counts.reshape(-1).tolist()
        return Choices(slice(first, len(self.counts)), start.reshape(-1), np.dtype(space.dtype), space.shape or ())


def _counts_of(space: AnySpace, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return how many options each choice of a space has, and the value of its first one."""
    if isinstance(space, spaces.Discrete):
        return np.asarray([space.n]), np.asarray([space.start], np.int64)
    if isinstance(space, spaces.MultiDiscrete):
        return np.asarray(space.nvec, np.int64), np.asarray(space.start, np.int64)
    if isinstance(space, spaces.MultiBinary):
        counts = np.full(space.shape, 2)
        return counts, np.zeros_like(counts)
    raise InputError(
        f"action space{path} {space} is not supported: {WRAP.format(wrapper='TransformAction')} so that it is a Box, a "
        "Discrete, a MultiDiscrete or a MultiBinary, or a Dict or Tuple of them"
    )


def _decoded(part: Part, options: np.ndarray, numbers: np.ndarray) -> Decoded:
    if isinstance(part, Choices):
        return part(options[..., part.at])
    if isinstance(part, Numbers):
        return part.box(numbers[..., part.at])
    found = {name: _decoded(one, options, numbers) for name, one in part.parts.items()}
    return tuple(found.values()) if part.is_tuple else found


def rows_of(decoded: Decoded) -> "Sequence[Any] | np.ndarray":
    """Return actions `[N, ...]` of a space one by one."""
    if isinstance(decoded, np.ndarray):
        return decoded
    if isinstance(decoded, Mapping):
        names = list(decoded)
        return [dict(zip(names, parts, strict=True)) for parts in zip(*map(rows_of, decoded.values()), strict=True)]
    return list(zip(*map(rows_of, decoded), strict=True))


def mapped(fn: Callable[[np.ndarray], Any], decoded: Decoded) -> Decoded:
    """Return actions of a space with `fn` applied to each array."""
    if isinstance(decoded, Mapping):
        return {name: mapped(fn, part) for name, part in decoded.items()}
    return tuple(mapped(fn, part) for part in decoded) if isinstance(decoded, tuple) else fn(decoded)
