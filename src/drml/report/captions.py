"""Captions below the pictures of a film: what is shown, and what was earned so far."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drml.report.film import Frames, pillow

BAR, MARGIN, LETTERS = 30, 10, 16  # pixels
PAPER, INK, GOOD = (240, 238, 233), (28, 32, 38), (20, 122, 66)


@dataclass(frozen=True)
class Caption:
    """Words below one picture, at its left and at its right edge."""

    left: str
    right: str
    is_good: bool = False
    """True where the words at the right are those of a success, and green."""


def captioned(frames: Frames, captions: Sequence[Caption]) -> Frames:
    """Return pictures `[T, height + BAR, width, 3]` of a film `[T, height, width, 3]` with a caption below each.

    Raises:
        InputError: if Pillow is not installed.
    """
    bars = {caption: _bar(caption, frames.shape[2]) for caption in dict.fromkeys(captions)}
    return np.concatenate([frames, np.stack([bars[caption] for caption in captions])], 1)


def _bar(caption: Caption, width: int) -> Frames:
    """Return the bar `[BAR, width, 3]` of a caption, in letters that fit."""
    image = pillow("Image").new("RGB", (width, BAR), PAPER)
    draw, letters = pillow("ImageDraw").Draw(image), pillow("ImageFont")
    font = letters.load_default(LETTERS)
    needed = font.getlength(caption.left) + font.getlength(caption.right) + 3 * MARGIN
    if needed > width:
        font = letters.load_default(LETTERS * width / needed)
    draw.text((MARGIN, BAR / 2), caption.left, INK, font, anchor="lm")
    draw.text((width - MARGIN, BAR / 2), caption.right, GOOD if caption.is_good else INK, font, anchor="rm")
    return np.asarray(image)
