"""Numbered parameters: one of N things that are made from their number, each as likely.

Things that are too many to list, or costly to make, are counted instead: number i of N is made when it is asked for.
The numbering is one-to-one, so that what is cut apart by number is cut apart by value: a layout or a set of rules is in
one split only, however it is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from drml.core.errors import InputError
from drml.tasks.given import Shape

MAX_COUNT = 2**48  # each number then has 32 coordinates of float64 or more: as likely as any other, but for 3 %


@final
@dataclass(frozen=True)
class Numbered:
    """One of `count` arrays, each as likely: x = make(⌊u count⌋).

    Raises:
        InputError: unless count is 1 to 2^48.
    """

    label: str
    """Description of the things, such as `layouts of 5 x 5 cells with 5 holes`."""
    count: int
    """N, how many there are."""
    shape: Shape
    """Shape of one of them."""
    make: Callable[[np.ndarray], np.ndarray]
    """Maps numbers `[n]` int64 from 0 to N − 1 to values `[n, *shape]`, no two of them alike."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise InputError(f"Numbered: count is {self.count}, expected 1 to 2^48")

    @property
    def size(self) -> int:
        """Return 1: one coordinate is the number."""
        return 1

    @property
    def num_values(self) -> int:
        """Return N."""
        return self.count

    def quantile(self, unit: np.ndarray) -> np.ndarray:
        """Return make(⌊u N⌋), `[n, *shape]`."""
        number = np.minimum((unit[:, 0] * self.count).astype(np.int64), self.count - 1)
        return self.make(number).astype(np.float64)

    def out_of_distribution(self) -> None:
        """Return None: all of them are in distribution."""
        return None

    def describe(self) -> str:
        """Return `one of N` and what they are."""
        return f"one of {self.count:,} {self.label}"
