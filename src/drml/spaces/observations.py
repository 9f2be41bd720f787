"""Observation spaces: every observation as one vector of numbers.

Observations are laid out as `gymnasium.spaces.flatten` lays them out, all copies at once: boxes and binaries as they
are, discrete ones one-hot, tuples and dictionaries one part after the other. They are rows of float32, but where
something in them is looked at, pictures (uint8 boxes from 0 to 255), symbols (bytes with other bounds) or planes of
bits: there they are rows of bytes, with `parts` that say what lies where, and become numbers in the policy's encoder.
"""

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, chain
from typing import Any, final

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from drml.core.errors import InputError
from drml.core.observation import LARGEST_BYTE, Part, Parts, width_of

PICTURE, SYMBOLS = "picture", "symbols"
LOOKED_AT = {PICTURE, SYMBOLS}
"""Parts for which an observation is kept as bytes."""
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
    parts: Parts = ()
    """Parts of a row of bytes; none where rows are float32."""
    flags: tuple[int, ...] = ()
    """Columns of a float32 row that are 0 or 1: one-hot entries and binaries."""

    @property
    def size(self) -> int:
        """Return O."""
        return width_of(self.parts) if self.parts else sum(size for _, size in self.layout)

    @property
    def dtype(self) -> type[np.generic]:
        """Return the dtype of rows."""
        return np.uint8 if self.parts else np.float32


def bytes_note(layout: Layout) -> str:
    """Return what is done with the bytes in an observation; "" where there are none."""
    kinds = {kind for kind, _ in layout}
    return ", ".join(treated for kind, treated in TREATED.items() if kind in kinds)


def observations(space: AnySpace) -> Observations:
    """Return how the observations of one environment's space become vectors.

    Raises:
        InputError: if they have no fixed length.
    """
    found = _observations(space, "")
    if any(part.kind in LOOKED_AT or (part.kind == "bits" and len(part.shape) > 2) for part in found.parts):
        return found
    columns = zip(found.parts, _columns([part.size for part in found.parts]), strict=True)
    bits = [range(column.start, column.stop) for part, column in columns if part.kind == "bits"]
    return replace(found, parts=(), flags=tuple(chain.from_iterable(bits)))


def _observations(space: AnySpace, key: str) -> Observations:
    """Return how observations become rows, with all of their parts.

    Args:
        space: the observation space of one environment, or a part of it.
        key: where the part lies in a Dict or a Tuple, such as `['mission']`.
    """
    if isinstance(space, spaces.Dict):
        return _joined(dict(space.spaces), key)
    if isinstance(space, spaces.Tuple):
        return _joined(dict(enumerate(space.spaces)), key)
    if isinstance(space, spaces.Box):
        return _box(space)
    if isinstance(space, spaces.MultiBinary):
        return _bits(space.shape, "box", partial(_write_bits, space.shape))
    if isinstance(space, spaces.Discrete):
        values = int(space.start) + np.arange(space.n)
        return _bits((int(space.n),), f"one-hot from {space.start}", partial(_write_one_hot, values))
    if isinstance(space, spaces.MultiDiscrete):
        return _several_one_hot(space)
    leave_out = " or leave it out (gymnasium.wrappers.FilterObservation)" if key else ""
    raise InputError(
        f"observation space{key} {space} is no Box, Discrete, MultiDiscrete or MultiBinary, nor a Dict or Tuple of "
        f"them, so it has no fixed number of entries; {WRAP.format(wrapper='TransformObservation')} so that it is a "
        f"Box{leave_out}"
    )


def _box(space: spaces.Box) -> Observations:
    shape = space.shape
    if space.dtype == np.bool_:
        return _bits(shape, "box", partial(_write_bits, shape))
    if space.dtype != np.uint8:
        write = _write_vector if len(shape) == 1 else partial(_write, shape)
        return Observations((("box", math.prod(shape)),), write, (Part("numbers", shape),))
    is_picture = bool((space.low == 0).all() and (space.high == LARGEST_BYTE).all())
    low, high = (0, LARGEST_BYTE) if is_picture else (int(space.low.min()), int(space.high.max()))
    part = Part("picture" if is_picture else "symbols", shape, low, high)
    return Observations(((part.kind, part.size),), partial(_write_bytes, shape), (part,))


def _bits(shape: tuple[int, ...], kind: str, write: Write) -> Observations:
    part = Part("bits", shape)
    return Observations(((kind, part.size),), write, (part,))


def _joined(parts: Mapping[Any, AnySpace], at: str) -> Observations:
    inner = {key: _observations(part, f"{at}[{key!r}]") for key, part in parts.items()}
    numbers = _columns([sum(size for _, size in part.layout) for part in inner.values()])
    in_bytes = _columns([part.size for part in inner.values()])
    writes = {
        np.dtype(dtype): [(key, column, part.write) for (key, part), column in zip(inner.items(), columns, strict=True)]
        for dtype, columns in ((np.float32, numbers), (np.uint8, in_bytes))
    }

    def write(value: Any, rows: np.ndarray) -> None:  # noqa: ANN401 — a dictionary or a tuple of observations
        key = None
        try:
            for key, column, write_part in writes[rows.dtype]:
                write_part(value[key], rows[..., column])
        except LookupError:
            raise ValueError(f"in the observation's [{key!r}]: it is missing") from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"in the observation's [{key!r}]: {error}") from error

    layouts, kept = [part.layout for part in inner.values()], [part.parts for part in inner.values()]
    return Observations(sum(layouts, ()), write, sum(kept, ()))


def _columns(sizes: Sequence[int]) -> list[slice]:
    """Return where parts of so many entries lie, one after the other."""
    return [slice(end - size, end) for size, end in zip(sizes, accumulate(sizes), strict=True)]


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
    return Observations(kinds, write, (Part("bits", (len(part),)),))


def _write_vector(value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    rows = _as_numbers(rows)
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.shape != rows.shape:  # one number would spread
        raise ValueError(f"an observation has shape {list(array.shape)}, expected {list(rows.shape)}")
    rows[...] = _real(array)


def _write(shape: tuple[int, ...], value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    rows = _as_numbers(rows)
    rows[...] = _shaped(value, shape).reshape(rows.shape)


def _as_numbers(rows: np.ndarray) -> np.ndarray:
    """Return rows that numbers are written into: those of bytes as float32."""
    return rows if rows.dtype == np.float32 else rows.view(np.float32)


def _write_bits(shape: tuple[int, ...], value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    rows[...] = _shaped(value, shape).reshape(rows.shape)


def _write_bytes(shape: tuple[int, ...], value: Any, rows: np.ndarray) -> None:  # noqa: ANN401
    array = _shaped(value, shape).reshape(rows.shape)
    rows[...] = array if array.dtype == np.uint8 else _as_bytes(array)


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """Return bytes that came in another dtype than their space's; a number that is no byte would wrap around."""
    with np.errstate(invalid="ignore"):  # what is not finite is no byte either
        found = array.clip(0, LARGEST_BYTE).astype(np.uint8)
    if (found != array).any():
        raise ValueError(f"an observation of bytes holds {array[found != array].reshape(-1)[0]}, expected 0 to 255")
    return found


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
