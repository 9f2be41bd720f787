"""Pictures of foreign environments, as they render themselves."""

import numpy as np

from drml.core.errors import InputError
from drml.envs.foreign.copies import Copies

FPS = 25.0
WIDEST = 400  # pixels; wider pictures are made smaller, since a film is held as pictures


def picture_of(name: str, copies: Copies, copy: int) -> np.ndarray:
    """Return the picture `[height, width, 3]` uint8 of one copy, at most `WIDEST` wide.

    Raises:
        InputError: if the environment renders none, or fails at it.
    """
    try:
        found = copies.picture(copy)
    except Exception as error:  # foreign code raises what it likes
        raise InputError(f"{name} cannot be filmed: its render failed: {error}") from error
    if not (isinstance(found, np.ndarray) and found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3):
        raise InputError(
            f"{name} has no pictures: its tasks cannot be filmed; make its environments with render_mode='rgb_array'"
        )
    return smaller(found)


def smaller(picture: np.ndarray) -> np.ndarray:
    """Return a picture of which each pixel is the mean of n x n, with the least n by which it is narrow enough."""
    n = -(-picture.shape[1] // WIDEST)
    height, width = picture.shape[0] // n, picture.shape[1] // n
    if n == 1 or not height:
        return picture.copy()
    blocks = picture[: height * n, : width * n].reshape(height, n, width, n, 3)
    return np.rint(blocks.mean((1, 3))).astype(np.uint8)
