"""Observation spaces: every observation as one vector of numbers.

Observations are laid out as `gymnasium.spaces.flatten` lays them out, in float32, all copies at once: boxes and
binaries as they are, discrete ones one-hot, tuples and dictionaries one part after the other. The one exception are
pictures, uint8 boxes from 0 to 255: their numbers become multiples of 1/255, since no network learns from 0 .. 255.
Bytes with other bounds are symbols, and 1/255 apart no network would tell them apart: they stay as they are.
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
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.shape != rows.shape:  # one number would spread
        raise ValueError(f"an observation has shape {list(array.shape)}, expected {list(rows.shape)}")
    rows[...] = _real(array)


def _write(shape: tuple[int, ...], value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    rows[...] = _shaped(value, shape).reshape(rows.shape)


def _write_bytes(shape: tuple[int, ...], value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    np.multiply(_shaped(value, shape).reshape(rows.shape), np.float32(1.0 / 255.0), out=rows)


def _shaped(value: Any, shape: tuple[int, ...]) -> np.ndarray:  # noqa: ANN401
    array = np.asarray(value)
    if array.shape[array.ndim - len(shape) :] != shape:  # as many numbers in another order would pass
        raise ValueError(f"an observation has shape {list(array.shape)}, expected {list(shape)}")
    return _real(array)


def _real(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "c":  # NumPy would drop the imaginary part, with a warning
        raise ValueError("an observation holds complex numbers, expected real ones")
    return array


def _write_one_hot(values: np.ndarray, value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    rows[...] = np.asarray(value)[..., None] == values
    if np.count_nonzero(rows) * len(values) != rows.size:
        raise ValueError(f"an observation is {value}, expected {values[0]} to {values[-1]}")
