"""Views from above: T pictures at a time of a piece of ground, on which rectangles lie in any direction."""

from typing import final

import numpy as np

from drml.envs.pictures.board import Frames
from drml.envs.pictures.tiles import BLUE, GREY, INK, PAPER, RED, Colour

SHOULDER: Colour = (226, 231, 220)
TAR: Colour = (208, 210, 213)
GLASS = 0.45  # of a car's colour that its windscreen keeps
LENGTH, WIDTH = 5.0, 2.0  # of a car, m


@final
class Aerial:
    """T pictures of the ground around points that are looked at; x to the right and y down, both in m."""

    def __init__(self, x: np.ndarray, y: np.ndarray, length: float, width: float, scale: float) -> None:
        """Begin with bare ground.

        Args:
            x: `[T]` m, in the middle of each picture.
            y: `[T]` m.
            length: m from left to right.
            width: m from top to bottom.
            scale: pixels per m.
        """
        self._left, self._top = x - length / 2.0, y - width / 2.0
        self._scale = scale
        self.frames: Frames = np.empty((len(x), round(width * scale), round(length * scale), 3), np.uint8)
        """`[T, height, width, 3]`."""
        self.frames[:] = SHOULDER

    def box(self, t: int, middle: tuple[float, float], turn: float, size: tuple[float, float], colour: Colour) -> None:
        """Draw a rectangle on picture t; a pixel's opacity falls from 1 to 0 within the pixel at the edge.

        Args:
            t: which picture.
            middle: x and y, m.
            turn: angle of its length, rad.
            size: length and width, m.
            colour: its colour.
        """
        picture, cos, sin = self.frames[t], np.cos(turn), np.sin(turn)
        x, y = (middle[0] - self._left[t]) * self._scale, (middle[1] - self._top[t]) * self._scale
        half = np.array(size) * self._scale / 2.0
        reach = np.array([abs(cos) * half[0] + abs(sin) * half[1], abs(sin) * half[0] + abs(cos) * half[1]]) + 1.0
        height, width = picture.shape[:2]
        low, high = np.clip([x - reach[0], x + reach[0] + 1.0], 0, width).astype(int)
        top, bottom = np.clip([y - reach[1], y + reach[1] + 1.0], 0, height).astype(int)
        if low >= high or top >= bottom:
            return
        aside, along = np.arange(top, bottom)[:, None] + 0.5 - y, np.arange(low, high) + 0.5 - x
        beyond = np.maximum(np.abs(along * cos + aside * sin) - half[0], np.abs(aside * cos - along * sin) - half[1])
        opacity = np.clip(0.5 - beyond, 0.0, 1.0)[..., None]
        part = picture[top:bottom, low:high]
        part[:] = np.rint(part * (1.0 - opacity) + np.array(colour) * opacity)

    def car(self, t: int, middle: tuple[float, float], turn: float, *, is_driven: bool, is_wreck: bool) -> None:
        """Draw a car on picture t: blue if it is the one that is driven, red and crossed out if it is a wreck."""
        colour = RED if is_wreck else BLUE if is_driven else GREY
        self.box(t, middle, turn, (LENGTH, WIDTH), colour)
        glass = (middle[0] + 0.9 * np.cos(turn), middle[1] + 0.9 * np.sin(turn))
        red, green, blue = (round(GLASS * part) for part in colour)
        self.box(t, glass, turn, (0.9, 0.8 * WIDTH), (red, green, blue))
        if is_wreck:
            for slope in (-0.9, 0.9):
                self.box(t, middle, turn + slope, (1.2 * LENGTH, 0.35), INK)

    def straight(self, t: int, lanes: int, lane_width: float) -> None:
        """Draw a straight road on picture t, whose lane i is around y = i · width, with dashes between lanes."""
        length = self.frames.shape[2] / self._scale
        middle_x, last = self._left[t] + length / 2.0, (lanes - 0.5) * lane_width
        self.box(t, (middle_x, (last - 0.5 * lane_width) / 2.0), 0.0, (length + 2.0, lanes * lane_width), TAR)
        for y in (-0.5 * lane_width, last):
            self.box(t, (middle_x, y), 0.0, (length + 2.0, 0.3), INK)
        first = np.floor(self._left[t] / DASHES_EVERY)
        for number in range(int(length / DASHES_EVERY) + 2):
            for lane in range(1, lanes):
                place = (float(first + number) * DASHES_EVERY, (lane - 0.5) * lane_width)
                self.box(t, place, 0.0, (DASH, 0.25), PAPER)


DASH, DASHES_EVERY = 4.0, 12.0  # m
