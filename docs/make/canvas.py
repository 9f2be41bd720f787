"""A canvas for pictures of the documentation: boxes, words and arrows, once for light pages and once for dark ones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

UNITS_PER_INCH = 10.0
DPI = 160
STYLE = {"font.family": "DejaVu Sans", "axes.unicode_minus": True}  # comes with matplotlib: the same on every machine

Part = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, in shares of its width and height."""
WHOLE: Part = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Theme:
    """Colours, told apart by people with any kind of colour vision."""

    ink: str
    soft: str
    line: str
    panel: str
    hues: tuple[str, str, str, str]
    """One for each verb: sample, adapt, meta-update, validate."""


THEMES = {
    "light": Theme("#1c2026", "#59616c", "#c9ced6", "#f6f8fa", ("#0f766e", "#1f5fc4", "#c45508", "#7a3fb0")),
    "dark": Theme("#e8ecf1", "#a3adba", "#414954", "#161b22", ("#4fd1c0", "#7db0ff", "#ff9d5c", "#c9a0f5")),
}


class Canvas:
    """A picture in the making; a unit is a tenth of an inch, and y goes up."""

    def __init__(self, axes: Axes, theme: Theme) -> None:
        self.axes, self.theme = axes, theme

    def box(self, x: float, y: float, width: float, height: float, edge: str = "", dashed: bool = False) -> None:
        """Draw a box with round corners."""
        shape = FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=1.2",
            facecolor="none" if dashed else self.theme.panel,
            edgecolor=edge or self.theme.line,
            linewidth=1.4,
            linestyle=(0, (4, 3)) if dashed else "-",
        )
        self.axes.add_patch(shape)

    def text(self, x: float, y: float, words: str, size: float = 10.0, **style: object) -> None:
        """Write words; `style` is matplotlib's."""
        self.axes.text(x, y, words, **{"color": self.theme.ink, "fontsize": size, "va": "center", **style})

    def arrow(self, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0, hue: str = "") -> None:
        """Draw an arrow, bent to its left by a share of its length."""
        shape = FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>,head_length=5,head_width=3",
            connectionstyle=f"arc3,rad={bend}",
            color=hue or self.theme.soft,
            linewidth=1.8,
            shrinkA=0,
            shrinkB=0,
        )
        self.axes.add_patch(shape)

    def path(self, points: list[tuple[float, float]], hue: str = "") -> None:
        """Draw straight lines through points, and an arrow's head at the last."""
        xs, ys = zip(*points[:-1], strict=True)
        self.axes.plot(xs, ys, color=hue or self.theme.soft, linewidth=1.8, solid_joinstyle="round")
        self.arrow(points[-2], points[-1], hue=hue)

    def image(self, x: float, y: float, width: float, height: float, file: Path, part: Part = WHOLE) -> None:
        """Show a part of a picture within a rectangle, cut to its shape from the middle, corners round."""
        picture = Image.open(file).convert("RGB")
        sides = zip(part, (picture.width, picture.height) * 2, strict=True)
        picture = picture.crop(tuple(round(share * size) for share, size in sides))
        shape = width / height
        wide, high = min(picture.width, picture.height * shape), min(picture.height, picture.width / shape)
        left, top = (picture.width - wide) / 2, (picture.height - high) / 2
        cut = np.asarray(picture.crop((round(left), round(top), round(left + wide), round(top + high))))
        shown = self.axes.imshow(cut, extent=(x, x + width, y, y + height), interpolation="lanczos", zorder=2)
        frame = FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.8", facecolor="none", edgecolor=self.theme.line
        )
        frame.set_zorder(3)
        self.axes.add_patch(frame)
        shown.set_clip_path(frame)


def save(draw: Callable[[Canvas], None], width: float, height: float, stem: Path, facts: str) -> list[Path]:
    """Draw a picture of so many units for each theme, and return the files `STEM-light.png` and `STEM-dark.png`.

    `facts` says what is drawn that may change, and stands in the file, so that a picture can be told to be old.
    """
    files: list[Path] = []
    for name, theme in THEMES.items():
        with rc_context(STYLE):
            figure = Figure((width / UNITS_PER_INCH, height / UNITS_PER_INCH))
            axes = figure.add_axes((0, 0, 1, 1))
            draw(Canvas(axes, theme))
            axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
            axes.axis("off")
            files.append(stem.with_name(f"{stem.name}-{name}.png"))
            figure.savefig(files[-1], dpi=DPI, transparent=True, metadata={"Software": None, "Description": facts})
    return files
