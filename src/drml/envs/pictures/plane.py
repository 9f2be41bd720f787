"""Planes: T pictures at a time of a point that moves, with its trail and what lies about."""

from collections.abc import Sequence
from typing import final

import numpy as np

from drml.envs.pictures.board import SIDE, Frames
from drml.envs.pictures.tiles import BLUE, LINE, PAPER, Colour

POINT, TRAIL = 9.0, 2.5  # radius in pixels


@final
class Plane:
    """Pictures of the square around (0, 0) whose coordinates reach to ±`reach`, x to the right and y up."""

    def __init__(self, reach: float, size: int = SIDE) -> None:
        self._reach, self.size = reach, size
        """Pixels of a side."""
        self._ground = np.full((size, size, 3), PAPER, np.uint8)
        rows, columns = np.mgrid[:size, :size] + 0.5
        self._x, self._y = columns, size - rows  # of pixels' middles, in pixels

    def line(self, start: Sequence[float], end: Sequence[float], radius: float, colour: Colour) -> None:
        """Draw a line with round ends, `radius` pixels to each side; a dot where it starts where it ends."""
        self._draw(self._ground, np.asarray(start), np.asarray(end), radius, colour)

    def axes(self) -> None:
        """Draw the lines x = 0 and y = 0."""
        self.line((-self._reach, 0.0), (self._reach, 0.0), 0.5, LINE)
        self.line((0.0, -self._reach), (0.0, self._reach), 0.5, LINE)

    def frames(self, places: np.ndarray) -> Frames:
        """Return pictures `[T, size, size, 3]` of a point at places `[T, 2]`, each with the trail so far."""
        frames = np.empty((len(places), *self._ground.shape), np.uint8)
        ground = self._ground.copy()
        for t, place in enumerate(places):
            self._draw(ground, places[max(t - 1, 0)], place, TRAIL, BLUE)
            frames[t] = ground
            self._draw(frames[t], place, place, POINT, BLUE)
        return frames

    def _draw(self, picture: Frames, start: np.ndarray, end: np.ndarray, radius: float, colour: Colour) -> None:
        """Draw on one picture; a pixel's opacity falls from 1 to 0 within the pixel at the edge."""
        (x0, y0), (x1, y1) = (np.asarray([start, end], np.float64) / self._reach + 1.0) * (self.size / 2.0)
        low, high = np.clip([min(x0, x1) - radius - 1, max(x0, x1) + radius + 2], 0, self.size).astype(int)
        top, bottom = np.clip([min(y0, y1) - radius - 1, max(y0, y1) + radius + 2], 0, self.size).astype(int)
        part = (slice(self.size - bottom, self.size - top), slice(low, high))
        x, y = self._x[part] - x0, self._y[part] - y0
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = np.clip((x * (x1 - x0) + y * (y1 - y0)) / length, 0.0, 1.0) if length else 0.0
        distance = np.hypot(x - along * (x1 - x0), y - along * (y1 - y0))
        opacity = np.clip(radius + 0.5 - distance, 0.0, 1.0)[..., None]
        picture[part] = np.rint(picture[part] * (1.0 - opacity) + np.array(colour) * opacity)
