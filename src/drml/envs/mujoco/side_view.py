"""A plain picture of a robot that moves in the x-z plane, for machines without OpenGL.

The robot is a set of capsules, seen from the side by a camera that follows it; marks on the ground pass by.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

SKY: Colour = (226, 236, 245)
GROUND: Colour = (198, 207, 216)
MARKS: Colour = (120, 134, 148)
METRES_ACROSS = 3.0  # of the scene that a picture shows
METRES_BELOW = 0.45  # of ground below the horizon
METRES_PER_MARK = 0.5
SMOOTHING = 2  # drawn this many times larger, then averaged


@dataclass(frozen=True)
class Capsules:
    """G capsules at T moments, projected on the x-z plane."""

    ends: np.ndarray
    """`[T, G, 2, 2]` both ends of each capsule's axis, x and z in metres."""
    radius: np.ndarray
    """`[G]` in metres."""
    colours: list[Colour]
    """One per capsule, the nearest to the camera last."""


def draw(capsules: Capsules, centre_x: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return pictures `[T, height, width, 3]` uint8 with `centre_x [T]` in the middle."""
    moments = zip(capsules.ends, centre_x.tolist(), strict=True)
    return np.stack([_draw_one(ends, capsules, centre, width, height) for ends, centre in moments])


def _draw_one(ends: np.ndarray, capsules: Capsules, centre: float, width: int, height: int) -> np.ndarray:
    wide, high = width * SMOOTHING, height * SMOOTHING
    scale = wide / METRES_ACROSS  # pixels per metre
    horizon = high - METRES_BELOW * scale
    image = Image.new("RGB", (wide, high), SKY)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, horizon, wide, high), fill=GROUND)
    _draw_marks(pen, centre, horizon, scale, wide)
    pixels = ends * (scale, -scale) + (wide / 2 - centre * scale, horizon)  # [G, 2, 2]
    for capsule, radius, colour in zip(pixels, capsules.radius * scale, capsules.colours, strict=True):
        dark = (colour[0] // 2, colour[1] // 2, colour[2] // 2)
        _draw_capsule(pen, capsule, radius, dark)
        _draw_capsule(pen, capsule, radius - 1.2 * SMOOTHING, colour)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _draw_marks(pen: ImageDraw.ImageDraw, centre: float, horizon: float, scale: float, wide: int) -> None:
    """Draw the horizon and a mark every half metre, a long one with a number every metre."""
    pen.line((0, horizon, wide, horizon), fill=MARKS, width=SMOOTHING)
    first = int((centre - METRES_ACROSS / 2) // METRES_PER_MARK)
    for mark in range(first, first + int(METRES_ACROSS / METRES_PER_MARK) + 3):
        x = (mark * METRES_PER_MARK - centre) * scale + wide / 2
        length = (0.06 if mark % 2 else 0.13) * scale
        pen.line((x, horizon, x, horizon + length), fill=MARKS, width=SMOOTHING)
        if mark % 2 == 0:
            label = f"{mark * METRES_PER_MARK:.0f} m"
            pen.text((x, horizon + 0.18 * scale), label, fill=MARKS, anchor="mt", font_size=0.12 * scale)


def _draw_capsule(pen: ImageDraw.ImageDraw, ends: np.ndarray, radius: float, colour: Colour) -> None:
    (x0, z0), (x1, z1) = ends.tolist()
    pen.line((x0, z0, x1, z1), fill=colour, width=round(2 * radius))
    for x, z in ((x0, z0), (x1, z1)):
        pen.ellipse((x - radius, z - radius, x + radius, z + radius), fill=colour)
