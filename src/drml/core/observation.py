"""Observations kept as bytes: pictures, symbols, bits and numbers side by side in one row of uint8.

An observation is one row `[..., O]`, whatever its space. Where nothing in it is a picture or a symbol it is a row of
float32 numbers, and has no parts. Otherwise it is a row of bytes, and its parts say what lies where: a pixel takes the
one byte that it has, a float32 number its four. So a rollout of pictures is no larger than the pictures, and one
tensor of one dtype goes through collecting, selecting and joining, whatever the agent sees. Bytes become numbers where
they enter a network, and nowhere else.

    picture    x/255                   a number from 0 to 255
    symbols    x                       small whole numbers that stand for things
    bits       x                       0 or 1: flags, one-hot rows, planes
    numbers    float32, as it is       four bytes each
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

PartKind = Literal["picture", "symbols", "bits", "numbers"]
LARGEST_BYTE = 255
BYTES_OF_A_NUMBER = 4


@final
@dataclass(frozen=True)
class Part:
    """One part of an observation that is kept as bytes."""

    kind: PartKind
    shape: tuple[int, ...]
    """Shape in the observation's space; its numbers lie in C order."""
    low: int = 0
    """Smallest value of symbols."""
    high: int = LARGEST_BYTE
    """Largest value of symbols."""

    @property
    def size(self) -> int:
        """Return how many numbers the part holds."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Return how many bytes the part takes."""
        return self.size * (BYTES_OF_A_NUMBER if self.kind == "numbers" else 1)


Parts = tuple[Part, ...]
"""Parts of an observation in the order in which they lie; none where it is a row of float32 numbers."""


def width_of(parts: Parts) -> int:
    """Return O of an observation in parts: its bytes."""
    return sum(part.width for part in parts)


def size_of(parts: Parts) -> int:
    """Return how many numbers an observation in parts stands for."""
    return sum(part.size for part in parts)


def split(parts: Parts, obs: Tensor) -> Iterator[Tensor]:
    """Yield the values `[..., size]` of each part of `obs` `[..., O]`: uint8, and float32 where they are numbers.

    What has no bytes, as a graph in another runtime, hands over the same values as a row of numbers, in float32.
    """
    if obs.is_floating_point():
        yield from obs.split([part.size for part in parts], -1)
        return
    for part, values in zip(parts, obs.split([part.width for part in parts], -1), strict=True):
        if part.kind == "numbers":  # where they lie in the row they may be out of step with a number's four bytes
            yield values.clone(memory_format=torch.contiguous_format).view(torch.float32)
        else:
            yield values


def as_numbers(parts: Parts, obs: Tensor) -> Tensor:
    """Return the float32 numbers `[..., size]` that observations `[..., O]` stand for; without parts they are these."""
    if not parts:
        return obs
    found = [scaled(part, values) for part, values in zip(parts, split(parts, obs), strict=True)]
    return found[0] if len(found) == 1 else torch.cat(found, -1)


def scaled(part: Part, values: Tensor) -> Tensor:
    """Return the values of a part as float32 numbers, pictures as multiples of 1/255."""
    numbers = values.to(torch.float32)
    return numbers * (1.0 / LARGEST_BYTE) if part.kind == "picture" else numbers


def are_finite(parts: Parts, obs: Tensor) -> Tensor:
    """Return which observations `[..., O]` hold finite numbers only, `[...]` bool; bytes are."""
    if not parts:
        return obs.isfinite().all(-1)
    finite = torch.ones(obs.shape[:-1], dtype=torch.bool, device=obs.device)
    for part, values in zip(parts, split(parts, obs), strict=True):
        if part.kind == "numbers":
            finite &= values.isfinite().all(-1)
    return finite
