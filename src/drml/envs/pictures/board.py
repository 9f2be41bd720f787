"""Boards: T pictures at a time of a grid of cells, on which tiles are laid."""

from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from drml.envs.pictures.tiles import BLUE, LINE, PAPER, WHOLE, Colour, Shape, tile

Frames = NDArray[np.uint8]
SIDE = 360  # pixels of the longer side, about
SMALLEST, LARGEST = 8, 90  # pixels of a cell
TRAIL_OPACITY = 0.16


@final
class Board:
    """T pictures of `height` x `width` cells; a cell is (x, y), x to the right and y up, both from 0."""

    def __init__(self, num: int, width: int, height: int, ground: Colour = PAPER, size: int = 0) -> None:
        """Begin with empty cells.

        Args:
            num: T.
            width: cells from left to right.
            height: cells from bottom to top.
            ground: colour of an empty cell.
            size: P, pixels of a cell's side; 0 chooses one.
        """
        self.size = size or min(max(SIDE // max(width, height), SMALLEST), LARGEST)
        cell = np.empty((self.size, self.size, 3), np.uint8)
        cell[:], cell[-1], cell[:, -1] = ground, LINE, LINE
        shape = (num, height, self.size, width, self.size, 3)
        self._pixels = np.broadcast_to(cell[:, None], shape).copy()

    @property
    def frames(self) -> Frames:
        """Return the pictures `[T, height · P, width · P, 3]`."""
        num, height, size, width = self._pixels.shape[:4]
        return self._pixels.reshape(num, height * size, width * size, 3)

    def put(
        self,
        shape: Shape,
        colour: Colour,
        x: Tensor | np.ndarray | float,
        y: Tensor | np.ndarray | float,
        when: Tensor | np.ndarray | bool = True,
        opacity: float = 1.0,
    ) -> None:
        """Draw a shape in one cell (x, y) of each picture, the same or `[T]`, where `when`, one or `[T]`."""
        num = len(self._pixels)
        columns, up, shown = (np.broadcast_to(np.asarray(value), num) for value in (x, y, when))
        at = np.flatnonzero(shown)
        rows = self._pixels.shape[1] - 1 - up[at].astype(np.intp)
        self._blend(tile(shape, colour, self.size, opacity), at, rows, columns[at].astype(np.intp))

    def lay(self, shape: Shape, colour: Colour, where: Tensor | np.ndarray, opacity: float = 1.0) -> None:
        """Draw a shape in all cells of a map `[width, height]`, or of one for each picture, `[T, width, height]`."""
        given = np.asarray(where, np.bool_)
        num, height, _, width = self._pixels.shape[:4]
        at, columns, up = np.broadcast_to(given, (num, width, height)).nonzero()
        self._blend(tile(shape, colour, self.size, opacity), at, height - 1 - up, columns)

    def trail(self, x: Tensor, y: Tensor) -> None:
        """Tint the cells that were walked on up to each picture, in which one stands on (x, y), both `[T]`."""
        num, height, _, width = self._pixels.shape[:4]
        walked = np.zeros((num, width, height), np.bool_)
        walked[np.arange(num), np.asarray(x, np.intp), np.asarray(y, np.intp)] = True
        self.lay(WHOLE, BLUE, np.logical_or.accumulate(walked), TRAIL_OPACITY)

    def _blend(self, pixels: np.ndarray, at: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
        """Lay a tile over cells of pictures, all of them different."""
        opacity = pixels[..., 3:].astype(np.uint16)
        below = self._pixels[at, rows, :, columns]  # [n, P, P, 3]
        mixed = below * (255 - opacity) + pixels[..., :3] * opacity + 127
        self._pixels[at, rows, :, columns] = (mixed // 255).astype(np.uint8)
