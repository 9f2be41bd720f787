"""Tiles: squares of pixels with one thing on them, of which pictures of grids are laid.

A shape says which points of the unit square it covers, x to the right and y up; a tile's opacity is the share of each
pixel that is covered, from FINER² points of it.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Tile = NDArray[np.uint8]
"""`[P, P, 4]`: red, green, blue, opacity."""
Points = NDArray[np.float64]

FINER = 4
PAPER: Colour = (250, 249, 246)
LINE: Colour = (222, 219, 212)
ICE: Colour = (226, 238, 246)
WATER: Colour = (52, 72, 96)
WALL: Colour = (98, 106, 117)
INK: Colour = (28, 32, 38)
GREY: Colour = (134, 140, 150)
BLUE: Colour = (31, 95, 196)
ORANGE: Colour = (196, 85, 8)
RED: Colour = (205, 62, 52)
GREEN: Colour = (46, 158, 91)
YELLOW: Colour = (226, 176, 42)


class Shape(Protocol):
    """Area in the unit square."""

    def covers(self, x: Points, y: Points) -> NDArray[np.bool_]:
        """Return which points lie in it."""
        ...


@final
@dataclass(frozen=True)
class Disc:
    """Disc in the middle."""

    radius: float

    def covers(self, x: Points, y: Points) -> NDArray[np.bool_]:
        """Return which points lie in it."""
        return (x - 0.5) ** 2 + (y - 0.5) ** 2 < self.radius**2


@final
@dataclass(frozen=True)
class Polygon:
    """Polygon with straight sides, which may cross: a point lies in it where a ray from it meets them an odd time."""

    corners: tuple[tuple[float, float], ...]

    def covers(self, x: Points, y: Points) -> NDArray[np.bool_]:
        """Return which points lie in it."""
        inside = np.zeros(x.shape, np.bool_)
        for (x0, y0), (x1, y1) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if y0 != y1:
                inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        return inside

    def scaled(self, factor: float) -> "Polygon":
        """Return it, made larger or smaller about the middle."""
        return Polygon(tuple((0.5 + factor * (x - 0.5), 0.5 + factor * (y - 0.5)) for x, y in self.corners))

    def turned(self, quarters: int) -> "Polygon":
        """Return it, turned about the middle by quarters to the right."""
        corners = self.corners
        for _ in range(quarters % 4):
            corners = tuple((y, 1.0 - x) for x, y in corners)
        return Polygon(corners)


def rectangle(left: float, bottom: float, right: float, top: float) -> Polygon:
    """Return a rectangle."""
    return Polygon(((left, bottom), (right, bottom), (right, top), (left, top)))


def _regular(points: int, radius: float, inner: float | None = None) -> Polygon:
    """Return a polygon with a corner at the top; of a star, each second corner lies at the inner radius."""
    radii = (radius,) if inner is None else (radius, inner)
    corners = points * len(radii)
    angles = [2.0 * math.pi * i / corners for i in range(corners)]
    return Polygon(
        tuple(
            (0.5 + radii[i % len(radii)] * math.sin(a), 0.5 + radii[i % len(radii)] * math.cos(a))
            for i, a in enumerate(angles)
        )
    )


WHOLE = rectangle(0.0, 0.0, 1.0, 1.0)
SQUARE = rectangle(0.2, 0.2, 0.8, 0.8)
BALL = Disc(0.32)
PYRAMID = Polygon(((0.5, 0.84), (0.16, 0.2), (0.84, 0.2)))
DIAMOND = _regular(4, 0.4)
STAR = _regular(5, 0.44, 0.18)
HEXAGON = _regular(6, 0.36)
ARROW = Polygon(((0.5, 0.86), (0.2, 0.16), (0.5, 0.32), (0.8, 0.16)))
"""Points up."""
DOOR = rectangle(0.24, 0.06, 0.76, 0.94)
_BIT, _BOW = ((0.86, 0.46), (0.86, 0.3), (0.76, 0.3), (0.76, 0.4), (0.68, 0.4)), ((0.46, 0.66), (0.2, 0.66))
KEY = Polygon(
    ((0.2, 0.36), (0.46, 0.36), (0.46, 0.46), *_BIT, (0.68, 0.3), (0.58, 0.3), (0.58, 0.56), (0.46, 0.56), *_BOW)
)


@cache
def tile(shape: Shape, colour: Colour, size: int, opacity: float = 1.0) -> Tile:
    """Return the tile `[size, size, 4]` of a shape in one colour; nobody writes into it."""
    points = (np.arange(size * FINER) + 0.5) / (size * FINER)
    y, x = np.meshgrid(points[::-1], points, indexing="ij")  # the first row is the highest
    share = shape.covers(x, y).reshape(size, FINER, size, FINER).mean((1, 3))
    pixels = np.empty((size, size, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = colour, np.rint(255.0 * opacity * share)
    pixels.setflags(write=False)
    return pixels
