"""Films small enough to live inside a page: animated WebP, and the same film as a strip of pictures."""

import io
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from drml.core.errors import InputError
from drml.run.durable import make_directories, replace_file

Frames = NDArray[np.uint8]

FEW_COLOURS = 1500  # what is drawn has fewer, what is rendered or photographed more
QUALITY = 60  # of 100; 100 pictures of 320 x 240 stay below 250 kB
STRIP_GAP = 4  # pixels
STRIP_PICTURE_WIDTH = 240  # at most; six of them are sharp at twice the width of a column


def save_film(frames: Frames, path: Path, fps: float = 20, pause: float = 0.0) -> Path:
    """Write pictures as an animated WebP that repeats forever; return its path.

    Pictures of few colours are kept as they are, others lossy: each takes less room so.

    Args:
        frames: `[T, height, width, 3]` uint8.
        path: where to write it.
        fps: pictures per second.
        pause: seconds for which the last picture stays, beyond its share.

    Raises:
        InputError: if the pictures are not of that shape and type, or Pillow is not installed.
        ResourceError: if it cannot be written.
    """
    pictures = [pillow("Image").fromarray(frame) for frame in _checked(frames)]
    if not (fps > 0 and pause >= 0):
        raise InputError(f"fps is {fps} and pause {pause}, must be above 0, and 0 or more")
    durations = [round(1000 / fps)] * len(pictures)
    durations[-1] += round(1000 * pause)
    exact = pictures[len(pictures) // 2].getcolors(FEW_COLOURS) is not None
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        lossless=exact,
        quality=QUALITY,
        method=4,
    )
    return _write(path, stream)


def save_strip(frames: Frames, path: Path, count: int = 6) -> Path:
    """Write `count` pictures, evenly spaced from the first to the last, side by side as a PNG; return its path.

    Args:
        frames: `[T, height, width, 3]` uint8.
        path: where to write it.
        count: pictures in the strip; a shorter film shows each of its pictures once.

    Raises:
        InputError: if the pictures are not of that shape and type, or Pillow is not installed.
        ResourceError: if it cannot be written.
    """
    if count < 1:
        raise InputError(f"count is {count}, must be 1 or more")
    image, frames = pillow("Image"), _checked(frames)
    shown = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    pictures = [image.fromarray(frames[t]) for t in shown]
    scale = min(1.0, STRIP_PICTURE_WIDTH / pictures[0].width)
    size = (max(1, round(pictures[0].width * scale)), max(1, round(pictures[0].height * scale)))
    width = len(pictures) * (size[0] + STRIP_GAP) - STRIP_GAP
    strip = image.new("RGBA", (width, size[1]))  # gaps are transparent: they take the colour of the page
    for i, picture in enumerate(pictures):
        strip.paste(picture.resize(size, image.Resampling.LANCZOS), (i * (size[0] + STRIP_GAP), 0))
    stream = io.BytesIO()
    strip.save(stream, format="PNG", optimize=True)
    return _write(path, stream)


def pillow(module: str) -> ModuleType:
    """Return a module of Pillow, which belongs to the `report` extra."""
    try:
        import_module("PIL")
        return import_module(f"PIL.{module}")
    except ModuleNotFoundError as error:
        raise InputError('films need pillow: pip install "drml[report]"') from error


def _checked(frames: Frames) -> Frames:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or frames.size == 0:
        raise InputError(f"frames are {frames.dtype} {list(frames.shape)}, expected uint8 [T, height, width, 3]")
    return frames


def _write(path: Path, stream: io.BytesIO) -> Path:
    make_directories(path.parent)
    replace_file(path, stream.getvalue())
    return path
