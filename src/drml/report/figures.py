"""The figures of a report. Each is drawn three times from the same numbers: wide and narrow for the page, once as PNG.

On the page a figure is inline SVG whose colours are the page's own variables, so that it follows light and dark, and
whose letters are text in the page's font. As a file it is `figures/NAME.png`, with its numbers in `figures/NAME.json`.
"""

import io
import math
import re
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from drml.report.markup import count, plain, share
from drml.report.record import Evaluation, RunRecord, TrainPoint, ValidationPoint
from drml.run.durable import make_directories, replace_file, write_json

# Light values of the page's colours; told apart by people with any kind of colour vision, and in grey.
COLORS = {
    "--ink": "#1c2026",
    "--soft": "#626a75",
    "--line": "#e4e1db",
    "--pre": "#868c96",
    "--post": "#1f5fc4",
    "--mark": "#c45508",
}
INK, SOFT, LINE, PRE, POST, MARK = COLORS.values()
Quantity = Literal["return", "success_any"]
QUANTITIES: dict[Quantity, str] = {"return": "return", "success_any": "share of episodes with success"}
Size = tuple[float, float]
WIDE, NARROW, POSTER = (9.6, 3.9), (4.2, 3.5), (8.0, 4.2)  # inches: on the page, on a phone, as a file
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 10,
    "svg.fonttype": "none",
    "path.simplify": True,
    "axes.unicode_minus": True,
    "agg.path.chunksize": 10_000,
}


@dataclass(frozen=True)
class Drawing:
    """A figure: SVG markup for wide and narrow screens, and what lies in files beside the page."""

    wide: str
    narrow: str
    poster: bytes
    """PNG."""
    data: Mapping[str, Any]
    """The numbers that are drawn."""


Paint = Callable[[Axes], None]


def draw_figures(run: RunRecord) -> dict[str, Drawing]:
    """Return the figures that the run has numbers for, by name."""
    drawings: dict[str, Drawing] = {}
    if run.evaluation is not None:
        data = adaptation_data(run.evaluation)
        drawings["adaptation"] = _draw("adaptation", data, lambda axes: paint_adaptation(axes, data))
    if run.train or run.validation:
        curve = learning_data(run.train, run.validation)
        drawings["learning"] = _draw("learning", curve, lambda axes: paint_learning(axes, curve))
    if any(math.isfinite(point.post_success_any) for point in run.train):
        shares = learning_data(run.train, run.validation, "success_any")
        drawings["success"] = _draw("success", shares, lambda axes: paint_learning(axes, shares, "success_any"))
    if run.evaluation is not None and run.evaluation.phases:
        phases = run.evaluation.phases
        height = 0.5 + 0.42 * len(phases)
        sizes = ((5.4, height), (4.2, height), (5.4, height))
        drawings["phases"] = _draw("phases", {"seconds": phases}, lambda axes: paint_phases(axes, phases), sizes)
    return drawings


def write_figures(drawings: Mapping[str, Drawing], folder: Path) -> None:
    """Write figures and their numbers to a folder.

    Raises:
        ResourceError: if they cannot be written.
    """
    make_directories(folder)
    for name, drawing in drawings.items():
        write_json(folder / f"{name}.json", drawing.data)
        replace_file(folder / f"{name}.png", drawing.poster)


def adaptation_data(evaluation: Evaluation) -> dict[str, Any]:
    """Return the numbers of the adaptation figure, as they stand in test.json."""
    names = ("step", "mean", "low", "high", "iqm", "episodes", "env_steps")
    data: dict[str, Any] = {name: [getattr(row, name) for row in evaluation.return_by_step] for name in names}
    data["estimand"] = evaluation.estimand
    return data | {"tasks": [{"params": t.params, "return_by_step": t.return_by_step} for t in evaluation.tasks]}


def adaptation_picture(data: Mapping[str, Any]) -> bytes:
    """Return the adaptation figure of such numbers as PNG."""
    with _styled():
        return _png(lambda axes: paint_adaptation(axes, data), POSTER)


def learning_data(
    train: Sequence[TrainPoint], validation: Sequence[ValidationPoint], quantity: Quantity = "return"
) -> dict[str, Any]:
    """Return the numbers of a learning figure, as they stand in metrics.jsonl."""
    before, after, by_step = f"pre_{quantity}", f"post_{quantity}", f"{quantity}_by_step"
    names = ("meta_iter", "env_steps", before, after, "adapt_episodes", "adapt_env_steps")
    known = [point for point in validation if getattr(point, by_step)]  # earlier ones may not tell of successes
    points = [
        {"meta_iter": point.meta_iter, "env_steps": point.env_steps, after: getattr(point, by_step)[-1]}
        for point in known
    ]
    best = [i for i, point in enumerate(known) if point.is_best][-1:]
    return {
        "train": {name: [getattr(point, name) for point in train] for name in names},
        "validation": {name: [point[name] for point in points] for name in ("meta_iter", "env_steps", after)},
        "best": [points[i] for i in best],
    }


def paint_adaptation(axes: Axes, data: Mapping[str, Any]) -> None:
    """Draw return against adaptation steps: each task thin, their mean with its interval on top."""
    steps = data["step"]
    for i, task in enumerate(data["tasks"]):
        label = "single tasks" if i == 0 else None
        axes.plot(steps, task["return_by_step"], color=PRE, linewidth=0.8, alpha=0.45, label=label)
    if np.isfinite(data["low"]).any():
        over = f"95 % interval {data['estimand']}"
        axes.fill_between(steps, data["low"], data["high"], color=POST, alpha=0.16, linewidth=0, label=over)
    axes.plot(steps, data["mean"], color=POST, linewidth=2.4, marker="o", markersize=6.5, label="mean")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlim(min(steps) - 0.06 * max(1, len(steps) - 1), max(steps) + 0.06 * max(1, len(steps) - 1))
    _label(axes, "adaptation steps", "return")


def paint_learning(axes: Axes, data: Mapping[str, Any], quantity: Quantity = "return") -> None:
    """Draw a quantity in training, before and after adaptation, against environment steps, and the validations."""
    train, validation, best = data["train"], data["validation"], data["best"]
    before, after = f"pre_{quantity}", f"post_{quantity}"
    for key, color, label in ((before, PRE, "before adaptation"), (after, POST, "after adaptation")):
        x, y = np.asarray(train["env_steps"]), np.asarray(train[key])
        window = 1 + 2 * (len(y) // 80)
        if window > 1:
            axes.plot(x, y, color=color, linewidth=0.7, alpha=0.35)
        lone = "o" if len(y) == 1 else ""  # one point makes no line
        axes.plot(x, running_mean(y, window), color=color, linewidth=2, marker=lone, label=label)
    axes.plot(validation["env_steps"], validation[after], "o", color=MARK, markersize=3.4, label="validation tasks")
    for point in best:
        axes.axvline(point["env_steps"], color=MARK, linewidth=1, linestyle=(0, (2, 3)))
        axes.plot(
            point["env_steps"], point[after], "o", markersize=10, markeredgewidth=1.8,
            markerfacecolor="none", markeredgecolor=MARK, label="best policy",
        )  # fmt: skip
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5 if axes.bbox.width > 400 else 3, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    _label(axes, "environment steps, adaptation included", QUANTITIES[quantity])


def paint_phases(axes: Axes, phases: Mapping[str, float]) -> None:
    """Draw the seconds of each phase as a bar, the longest on top."""
    ordered = sorted(phases.items(), key=lambda item: -np.nan_to_num(item[1], nan=0.0))
    seconds = [float(np.nan_to_num(value)) for _, value in ordered]
    rows = range(len(ordered))
    axes.barh(rows, seconds, color=POST, height=0.56)
    axes.set_yticks(rows, [_short(name) for name, _ in ordered])
    for row, value in zip(rows, seconds, strict=True):
        axes.annotate(
            share(value, sum(seconds)), (value, row), (6, 0), textcoords="offset points", va="center", color=SOFT
        )
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlim(0, 1.18 * max(*seconds, 1e-9))  # room for the share beside the longest bar
    axes.xaxis.set_visible(False)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", labelcolor=INK)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean over a centred window (shorter at the ends, without the numbers that are not finite)."""
    kernel, is_finite = np.ones(window), np.isfinite(values)
    if window < 2:
        return values
    total = np.convolve(np.where(is_finite, values, 0.0), kernel, mode="same")
    held = np.convolve(is_finite.astype(float), kernel, mode="same")
    return np.where(held > 0, total / np.maximum(held, 1.0), np.nan)


def _draw(
    name: str, data: Mapping[str, Any], paint: Paint, sizes: tuple[Size, Size, Size] = (WIDE, NARROW, POSTER)
) -> Drawing:
    wide, narrow, poster = sizes
    with _styled():
        markup = _svg(_figure(paint, wide), f"{name}-w"), _svg(_figure(paint, narrow), f"{name}-n")
        return Drawing(*markup, _png(paint, poster), data)


@contextmanager
def _styled() -> Generator[None]:
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in a script it cannot write
        yield


def _png(paint: Paint, size: Size) -> bytes:
    stream = io.BytesIO()
    _figure(paint, size, is_alone=True).savefig(
        stream, format="png", dpi=200, facecolor="white", bbox_inches="tight", pad_inches=0.2
    )
    return stream.getvalue()


def _figure(paint: Paint, size: Size, is_alone: bool = False) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(length=0, pad=7, labelcolor=SOFT)
    axes.grid(axis="y", color=LINE, linewidth=0.9)
    axes.set_axisbelow(True)
    paint(axes)
    if is_alone and axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, labelcolor=SOFT, handlelength=1.4,
            columnspacing=1.6, fontsize=9,
        )  # fmt: skip
    return figure


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, color=SOFT, labelpad=8)
    axes.set_title(y, loc="left", color=SOFT, fontsize=10, pad=10)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))


def _short(name: str) -> str:
    words = plain(name)
    return words if len(words) <= 24 else f"{words[:23]}…"


def _svg(figure: Figure, prefix: str) -> str:
    """Return a figure as markup to stand in a page: no prolog, ids of its own, colours by variable."""
    stream = io.StringIO()
    with rc_context({"svg.hashsalt": prefix}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    markup = stream.getvalue()
    markup = markup[markup.index("<svg") :]
    markup = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", markup, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', markup)
    markup = re.sub(r"<svg[^>]*>", f'<svg {box.group() if box else ""} aria-hidden="true">', markup, count=1)
    markup = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", markup)
    for variable, color in COLORS.items():
        markup = markup.replace(color, f"var({variable})")
    return " ".join(markup.split())
