"""Spaces: every observation as one vector of numbers, every action as one vector or one index.

Observations are laid out as `gymnasium.spaces.flatten` lays them out, in float32, all copies at once: boxes and
binaries as they are, discrete ones one-hot, tuples and dictionaries one part after the other. The one exception are
pictures, uint8 boxes from 0 to 255: their numbers become multiples of 1/255, since no network learns from 0 .. 255.
Bytes with other bounds are symbols, and 1/255 apart no network would tell them apart: they stay as they are.

    Box            u = clip(mid + half · c a, low, high)    where both bounds are finite: [−1, 1] spans the range
                   u = c a                                  where both are missing
                   u = log(exp(low) + exp(c a))             where there is one, low ≤ 0: c a, bent above the bound
                   u = low + max(1, low) log(1 + exp(c a))  where there is one, low > 0; upper bounds are mirrored
    Discrete       u = start + a
    MultiDiscrete  one index for each combination of values, the last one changes fastest; so MultiBinary
"""

import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from drml.core.errors import InputError
from drml.core.types import ActionSpec

MAX_COMBINATIONS = 1024
LARGEST = float(np.finfo(np.float32).max)  # what some environments write for "no bound"
LARGEST_BYTE = 255
PICTURE, SYMBOLS = "picture", "symbols"
TREATED = {PICTURE: "pictures (0 to 255) divided by 255", SYMBOLS: "symbols (other bounds) as they are"}
WRAP = "wrap the environment (gymnasium.wrappers.{wrapper})"

# A number beyond float32 is written as infinity and told as a fault; NumPy's own line would stand beside that.
warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning, re.escape(__name__))

AnySpace = gym.Space[Any]
Layout = tuple[tuple[str, int], ...]
"""Kind and length of each part of an observation."""
Write = Callable[[Any, np.ndarray], None]
"""Writes an observation with any leading axes `[..., *shape]` into rows `[..., O]`."""


@final
@dataclass(frozen=True)
class Observations:
    """Translation of one space's observations to vectors."""

    layout: Layout
    """Environments whose layouts are equal can be batched."""
    write: Write

    @property
    def size(self) -> int:
        """Return O."""
        return sum(size for _, size in self.layout)


def bytes_note(layout: Layout) -> str:
    """Return what is done with the bytes in an observation; "" where there are none."""
    kinds = {kind for kind, _ in layout}
    return ", ".join(treated for kind, treated in TREATED.items() if kind in kinds)


def observations(space: AnySpace, key: str = "") -> Observations:
    """Return how the observations of a space become vectors.

    Args:
        space: the observation space of one environment, or a part of it.
        key: where the part lies in a Dict or a Tuple, such as `['mission']`.

    Raises:
        InputError: if they have no fixed length.
    """
    if isinstance(space, spaces.Dict):
        return _joined(dict(space.spaces), key)
    if isinstance(space, spaces.Tuple):
        return _joined(dict(enumerate(space.spaces)), key)
    if isinstance(space, spaces.Box):
        kind = _kind_of_box(space)
        write = _write_vector if len(space.shape) == 1 else partial(_write, space.shape)
        write = partial(_write_bytes, space.shape) if kind == PICTURE else write
        return Observations(((kind, math.prod(space.shape)),), write)
    if isinstance(space, spaces.MultiBinary):
        return Observations((("box", math.prod(space.shape)),), partial(_write, space.shape))
    if isinstance(space, spaces.Discrete):
        values = int(space.start) + np.arange(space.n)
        return Observations(((f"one-hot from {space.start}", int(space.n)),), partial(_write_one_hot, values))
    if isinstance(space, spaces.MultiDiscrete):
        return _several_one_hot(space)
    leave_out = " or leave it out (gymnasium.wrappers.FilterObservation)" if key else ""
    raise InputError(
        f"observation space{key} {space} is no Box, Discrete, MultiDiscrete or MultiBinary, nor a Dict or Tuple of "
        f"them, so it has no fixed number of entries; {WRAP.format(wrapper='TransformObservation')} so that it is a "
        f"Box{leave_out}"
    )


def _kind_of_box(space: spaces.Box) -> str:
    if space.dtype != np.uint8:
        return "box"
    return PICTURE if (space.low == 0).all() and (space.high == LARGEST_BYTE).all() else SYMBOLS


def _joined(parts: Mapping[Any, AnySpace], at: str) -> Observations:
    inner = {key: observations(part, f"{at}[{key!r}]") for key, part in parts.items()}
    ends = np.cumsum([part.size for part in inner.values()])
    columns = [slice(end - part.size, end) for part, end in zip(inner.values(), ends, strict=True)]
    writes = [(key, column, part.write) for (key, part), column in zip(inner.items(), columns, strict=True)]

    def write(value: Any, rows: np.ndarray) -> None:  # noqa: ANN401 — a dictionary or a tuple of observations
        key = None
        try:
            for key, column, write_part in writes:
                write_part(value[key], rows[..., column])
        except LookupError:
            raise ValueError(f"in the observation's [{key!r}]: it is missing") from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"in the observation's [{key!r}]: {error}") from error

    return Observations(sum((part.layout for part in inner.values()), ()), write)


def _several_one_hot(space: spaces.MultiDiscrete) -> Observations:
    counts = np.asarray(space.nvec).reshape(-1)
    part = np.repeat(np.arange(len(counts)), counts)  # [O] which entry a column is about
    value = np.concatenate([np.arange(n) for n in counts]) + np.asarray(space.start).reshape(-1)[part]  # [O]

    def write(entries: Any, rows: np.ndarray) -> None:  # noqa: ANN401 — anything like an array
        array = _shaped(entries, space.shape).reshape(*rows.shape[:-1], len(counts))
        rows[...] = array[..., part] == value
        if np.count_nonzero(rows) != array.size:
            raise ValueError(f"an observation is {entries}, outside of {space}")

    starts = np.asarray(space.start).reshape(-1)
    kinds = tuple((f"one-hot from {start}", int(n)) for n, start in zip(counts, starts, strict=True))
    return Observations(kinds, write)


def _write_vector(value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    if (value.shape if isinstance(value, np.ndarray) else np.shape(value)) != rows.shape:  # one number would spread
        raise ValueError(f"an observation has shape {list(np.shape(value))}, expected {list(rows.shape)}")
    rows[...] = value


def _write(shape: tuple[int, ...], value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    rows[...] = _shaped(value, shape).reshape(rows.shape)


def _write_bytes(shape: tuple[int, ...], value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    np.multiply(_shaped(value, shape).reshape(rows.shape), np.float32(1.0 / 255.0), out=rows)


def _shaped(value: Any, shape: tuple[int, ...]) -> np.ndarray:  # noqa: ANN401
    array = np.asarray(value)
    if array.shape[array.ndim - len(shape) :] != shape:  # as many numbers in another order would pass
        raise ValueError(f"an observation has shape {list(array.shape)}, expected {list(shape)}")
    return array


def _write_one_hot(values: np.ndarray, value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    rows[...] = np.asarray(value)[..., None] == values
    if np.count_nonzero(rows) * len(values) != rows.size:
        raise ValueError(f"an observation is {value}, expected {values[0]} to {values[-1]}")


@final
@dataclass(frozen=True)
class Actions:
    """Translation of a policy's actions to those of one action space."""

    spec: ActionSpec
    """Actions as the policy gives them."""
    decode: Callable[[np.ndarray], np.ndarray]
    """Maps `[K, B, A]` float32, or `[K, B]` int64, to actions `[K, B, *shape]` in the space's dtype."""


def actions(space: AnySpace, scale: float) -> Actions:
    """Return how a policy acts in a space.

    Args:
        space: the action space of one environment.
        scale: c, what a continuous policy's output is multiplied by first.

    Raises:
        InputError: if the space is of another kind, or there are more than 1024 combinations.
    """
    if isinstance(space, spaces.Box):
        return _box_actions(space, scale)
    if isinstance(space, spaces.Discrete):
        return _listed_actions(int(space.start) + np.arange(int(space.n), dtype=space.dtype))
    if isinstance(space, spaces.MultiDiscrete):
        return _combined_actions(np.asarray(space.nvec), np.asarray(space.start), space)
    if isinstance(space, spaces.MultiBinary):
        counts = np.full(space.shape, 2)
        return _combined_actions(counts, np.zeros_like(counts), space)
    raise InputError(
        f"action space {space} is not supported: {WRAP.format(wrapper='TransformAction')} so that it is a Box, a "
        "Discrete, a MultiDiscrete or a MultiBinary"
    )


def _box_actions(space: spaces.Box, scale: float) -> Actions:
    if not math.prod(space.shape):
        raise InputError(f"action space {space} holds no number, so there is nothing to decide")
    dtype = space.dtype if np.issubdtype(space.dtype, np.floating) else np.dtype(np.float64)
    low, high = (np.asarray(bound, np.float64).reshape(-1) for bound in (space.low, space.high))
    if space.dtype.kind in "iu":  # 2⁶³ − 1 has no float64: the next one above it would wrap around
        high = np.minimum(high, _largest_float(space.dtype))
    bounded = np.maximum(np.abs(low), np.abs(high)) < LARGEST
    bottom, top = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    if bool((low == math.inf).any() or (high == -math.inf).any()):
        raise InputError(f"action space {space} has a bound that no number reaches; give it finite bounds or none")
    one_sided = _OneSided.of(low, high, bounded)
    mid, gain = (bottom + (top - bottom) / 2.0).astype(dtype), ((top - bottom) / 2.0 * scale).astype(dtype)
    limits = np.finfo(dtype.name)
    low, high = (bound.clip(limits.min, limits.max).astype(dtype) for bound in (low, high))

    def decode(action: np.ndarray) -> np.ndarray:
        scaled = action * gain + mid
        if one_sided is not None:
            one_sided.bend(scaled)
        scaled = scaled.clip(low, high)
        if scaled.dtype != space.dtype:
            scaled = (np.rint(scaled) if space.dtype.kind in "iub" else scaled).astype(space.dtype)
        return scaled.reshape(*action.shape[:-1], *space.shape)

    bound = 1.0 / scale if bounded.all() else math.inf
    return Actions(ActionSpec("continuous", len(low), bound), decode)


@final
@dataclass(frozen=True)
class _OneSided:
    """The entries of a box with one bound, which each number is bent away from: clipped, half of them would be one."""

    columns: np.ndarray
    sign: np.ndarray
    """1 where the bound is a lower one, −1 where it is an upper one and all is mirrored."""
    bound: np.ndarray
    """The lower bounds, after mirroring."""

    @staticmethod
    def of(low: np.ndarray, high: np.ndarray, bounded: np.ndarray) -> "_OneSided | None":
        has_low, has_high = np.abs(low) < LARGEST, np.abs(high) < LARGEST
        columns = np.flatnonzero((has_low | has_high) & ~bounded)
        sign = np.where(has_low, 1.0, -1.0)[columns]
        return _OneSided(columns, sign, np.where(has_low, low, -high)[columns]) if len(columns) else None

    def bend(self, action: np.ndarray) -> None:
        """Replace the numbers `[..., A]` of these entries."""
        base = np.minimum(self.bound, 0.0)
        bent = np.logaddexp(base, self.sign * action[..., self.columns])
        action[..., self.columns] = self.sign * (self.bound - base + np.maximum(1.0, self.bound) * bent)


def _largest_float(dtype: np.dtype[Any]) -> float:
    """Return the largest float64 that an integer type holds."""
    largest = float(np.iinfo(dtype).max)
    return largest if int(largest) <= np.iinfo(dtype).max else float(np.nextafter(largest, 0.0))


def _listed_actions(table: np.ndarray) -> Actions:
    def decode(action: np.ndarray) -> np.ndarray:
        return table[action]

    return Actions(ActionSpec("discrete", len(table)), decode)


def _combined_actions(counts: np.ndarray, start: np.ndarray, space: AnySpace) -> Actions:
    combinations = math.prod(counts.reshape(-1).tolist())
    if combinations > MAX_COMBINATIONS:
        raise InputError(
            f"action space {space} has {combinations:,} combinations, more than {MAX_COMBINATIONS}: "
            f"{WRAP.format(wrapper='TransformAction')} so that it is a Box or has fewer"
        )
    digits = np.stack(
        np.unravel_index(np.arange(combinations), counts.reshape(-1)), axis=-1
    )  # the last changes fastest
    return _listed_actions((digits.reshape(combinations, *counts.shape) + start).astype(space.dtype))
