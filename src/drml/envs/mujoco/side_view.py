"""A plain picture of a robot that moves in the x-z plane, for machines without OpenGL.

The robot is a set of capsules, seen from the side by a camera that follows it; tick marks on the ground pass by.
"""

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

SKY: Colour = (226, 236, 245)
GROUND: Colour = (198, 207, 216)
HORIZON: Colour = (140, 152, 164)
TEXT: Colour = (70, 80, 92)
OUTLINE = 0.6  # how bright a limb's outline is, against the limb
METRES_ACROSS = 3.2  # of the scene that a picture shows
GROUND_AT = 0.78  # of the picture's height, from its top
SMOOTHING = 2  # drawn this many times larger, then averaged


@dataclass(frozen=True)
class Capsules:
    """G capsules at T moments, projected on the x-z plane."""

    ends: np.ndarray
    """`[T, G, 2, 2]` x and z of both ends of each capsule's axis, in metres."""
    radius: np.ndarray
    """`[G]` in metres."""
    colours: tuple[Colour, ...]
    """G colours."""


def draw(capsules: Capsules, centre_x: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return pictures `[T, height, width, 3]` uint8, centred on `centre_x [T]`."""
    frames = zip(capsules.ends, centre_x.tolist(), strict=True)
    return np.stack([_draw_one(ends, capsules, centre, width, height) for ends, centre in frames])


def _draw_one(ends: np.ndarray, capsules: Capsules, centre: float, width: int, height: int) -> np.ndarray:
    from PIL import Image, ImageDraw

    wide, high = width * SMOOTHING, height * SMOOTHING
    scale = wide / METRES_ACROSS  # pixels per metre
    ground = GROUND_AT * high
    image = Image.new("RGB", (wide, high), SKY)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, ground, wide, high), fill=GROUND)
    pen.line((0, ground, wide, ground), fill=HORIZON, width=SMOOTHING)
    half_view = METRES_ACROSS / 2
    for tick in range(int(np.floor((centre - half_view) * 2)), int(np.ceil((centre + half_view) * 2)) + 1):
        x = (tick / 2 - centre) * scale + wide / 2  # a tick every half metre, a number at every metre
        pen.line((x, ground, x, ground + (0.06 if tick % 2 else 0.12) * scale), fill=HORIZON, width=SMOOTHING)
        if tick % 2 == 0:
            pen.text((x, ground + 0.16 * scale), f"{tick // 2} m", fill=TEXT, anchor="mt", font_size=0.1 * scale)
    pixels = np.stack([(ends[..., 0] - centre) * scale + wide / 2, ground - ends[..., 1] * scale], axis=-1)  # [G, 2, 2]
    limbs = list(zip(pixels, capsules.radius.tolist(), capsules.colours, strict=True))
    for (start, end), radius, colour in limbs:
        dark = tuple(int(OUTLINE * channel) for channel in colour)
        _draw_capsule(pen, start, end, radius * scale, dark)
        _draw_capsule(pen, start, end, radius * scale - 1.5 * SMOOTHING, colour)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _draw_capsule(pen: "ImageDraw", start: np.ndarray, end: np.ndarray, radius: float, colour: Colour) -> None:
    pen.line((*start, *end), fill=colour, width=round(2 * radius))
    for x, z in (start, end):
        pen.ellipse((x - radius, z - radius, x + radius, z + radius), fill=colour)
