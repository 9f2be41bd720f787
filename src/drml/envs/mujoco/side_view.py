"""A plain picture of a robot, for machines without OpenGL: capsules on a plane, without perspective.

Seen from the side, a camera follows the robot, and marks on the ground pass by; seen from above, squares lie under it.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

SKY: Colour = (226, 236, 245)
GROUND: Colour = (198, 207, 216)
MARKS: Colour = (120, 134, 148)
SQUARES: Colour = (181, 191, 201)
METRES_PER_MARK = 0.5
METRES_PER_SQUARE = 0.1
GROUND_SHARE = 0.15  # of the picture's width: the height of the ground below the horizon
SMOOTHING = 2  # drawn this many times larger, then averaged


@dataclass(frozen=True)
class Capsules:
    """G capsules at T moments, projected on the picture's plane."""

    ends: np.ndarray
    """`[T, G, 2, 2]` both ends of each capsule's axis, to the right and up, in metres; a ball's ends are one."""
    nearness: np.ndarray
    """`[T, G]` how near to the camera each of them is; the nearest are drawn last."""
    radius: np.ndarray
    """`[G]` in metres."""
    colours: list[Colour]
    """One per capsule."""


@dataclass(frozen=True)
class View:
    """Plane of the picture in the scene."""

    metres_across: float
    """Width of the scene that a picture shows, in m."""
    from_above: bool
    """True where up in the picture is y, not z."""


def draw(capsules: Capsules, view: View, centre_x: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return pictures `[T, height, width, 3]` uint8 with `centre_x [T]` in the middle."""
    return np.stack([_draw_one(capsules, t, view, centre, width, height) for t, centre in enumerate(centre_x.tolist())])


def _draw_one(capsules: Capsules, t: int, view: View, centre: float, width: int, height: int) -> np.ndarray:
    wide, high = width * SMOOTHING, height * SMOOTHING
    scale = wide / view.metres_across  # pixels per metre
    image = Image.new("RGB", (wide, high), GROUND if view.from_above else SKY)
    pen = ImageDraw.Draw(image)
    if view.from_above:
        zero = high / 2
        _draw_squares(pen, centre, scale, wide, high)
    else:
        zero = high - GROUND_SHARE * wide
        pen.rectangle((0, zero, wide, high), fill=GROUND)
        _draw_marks(pen, centre, zero, scale, wide)
    pixels = capsules.ends[t] * (scale, -scale) + (wide / 2 - centre * scale, zero)  # [G, 2, 2]
    for limb in np.argsort(capsules.nearness[t], kind="stable").tolist():
        colour, radius = capsules.colours[limb], float(capsules.radius[limb] * scale)
        dark = (colour[0] // 2, colour[1] // 2, colour[2] // 2)
        _draw_capsule(pen, pixels[limb], radius, dark)
        _draw_capsule(pen, pixels[limb], radius - 1.2 * SMOOTHING, colour)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _draw_marks(pen: ImageDraw.ImageDraw, centre: float, horizon: float, scale: float, wide: int) -> None:
    """Draw the horizon and a mark every half metre, a long one with a number every metre."""
    pen.line((0, horizon, wide, horizon), fill=MARKS, width=SMOOTHING)
    across = wide / scale
    first = int((centre - across / 2) // METRES_PER_MARK)
    for mark in range(first, first + int(across / METRES_PER_MARK) + 3):
        x = (mark * METRES_PER_MARK - centre) * scale + wide / 2
        length = (0.02 if mark % 2 else 0.043) * wide
        pen.line((x, horizon, x, horizon + length), fill=MARKS, width=SMOOTHING)
        if mark % 2 == 0:
            label = f"{mark * METRES_PER_MARK:.0f} m"
            pen.text((x, horizon + 0.06 * wide), label, fill=MARKS, anchor="mt", font_size=0.04 * wide)


def _draw_squares(pen: ImageDraw.ImageDraw, centre: float, scale: float, wide: int, high: int) -> None:
    """Draw the squares of a table."""
    count = int(max(wide, high) / scale / METRES_PER_SQUARE / 2) + 2
    origin = int(centre // METRES_PER_SQUARE)
    for line in range(-count, count + 1):
        x = ((origin + line) * METRES_PER_SQUARE - centre) * scale + wide / 2
        y = line * METRES_PER_SQUARE * scale + high / 2
        pen.line((x, 0, x, high), fill=SQUARES, width=SMOOTHING)
        pen.line((0, y, wide, y), fill=SQUARES, width=SMOOTHING)


def _draw_capsule(pen: ImageDraw.ImageDraw, ends: np.ndarray, radius: float, colour: Colour) -> None:
    (x0, z0), (x1, z1) = ends.tolist()
    radius = max(radius, 0.5)
    pen.line((x0, z0, x1, z1), fill=colour, width=max(1, round(2 * radius)))
    for x, z in ((x0, z0), (x1, z1)):
        pen.ellipse((x - radius, z - radius, x + radius, z + radius), fill=colour)
