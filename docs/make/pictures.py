"""Draws the pictures of README.md and docs/one-meta-iteration.md: python docs/make/pictures.py [FOLDER]."""

import json
import sys
from pathlib import Path

from canvas import WHOLE, Canvas, save
from episode import FACTS, one_meta_iteration, played

from drml.algos.registry import LEARNERS

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
RECIPE = "navigation-maml"  # whose test tasks nobody trained on
VERBS = (
    ("sample", "tasks $T_1$ … $T_K$ of a\nfamily; some of it is\nheld out for ever"),
    ("adapt", "act, and learn from\nwhat was seen of that\none task"),
    ("meta-update", "improve what tasks\nshare, from all the\nadapted results"),
    ("validate", "on tasks of their own;\nthe best is kept, to be\ntested on unseen ones"),
)
LEARNED = {  # the family of a learner, as algos/ has it, and what it learns
    "gradient": "a start for gradient steps",
    "evolution": "a start, without a gradient across tasks",
    "memory": "a memory that learns as it acts",
}
FAMILIES = (  # a name, its picture in the gallery, and which part of that
    ("navigation", "navigation", (0.18, 0.01, 0.82, 0.88)),
    ("bandits", "bandit", (0.19, 0.03, 0.98, 0.79)),
    ("MDPs", "tabular", (0.14, 0.22, 0.97, 0.78)),
    ("grids", "gridnavi", (0.14, 0.02, 0.86, 0.98)),
    ("control", "lunar-lander", WHOLE),
    ("half-cheetah", "half-cheetah", WHOLE),
    ("ant", "ant", WHOLE),
    ("humanoid", "humanoid", WHOLE),
)


def stored_curve() -> tuple[list[float], int]:
    """Return the mean returns after 0, 1, 2, … adaptation steps that are drawn, and of how many seeds they are."""
    stored = json.loads((ROOT / f"src/drml/recipes/results/{RECIPE}.json").read_text(encoding="utf-8"))
    return [point["mean"] for point in stored["return_by_step"]], len(stored["seeds"])


def overview_facts() -> str:
    """Return what the overview shows that may change: learners and returns."""
    means, num_seeds = stored_curve()
    return " ".join([*LEARNERS, *(f"{mean:.1f}" for mean in means), f"{num_seeds} seeds"])


def overview(canvas: Canvas) -> None:
    """Draw what the library is: the loop, what comes of it, the learners, the families."""
    _loop(canvas, 1.0, 36.4)
    _curve(canvas, 88.5, 34.4)
    _learners(canvas, 1.0, 21.2)
    _families(canvas, 1.0, 0.4)


def _loop(canvas: Canvas, left: float, bottom: float) -> None:
    theme, width, height, gap = canvas.theme, 18.6, 13.6, 2.8
    for i, (verb, words) in enumerate(VERBS):
        x, hue = left + i * (width + gap), theme.hues[i]
        canvas.box(x, bottom, width, height, edge=hue)
        canvas.text(x + 1.4, bottom + 11.0, verb, 15, color=hue, weight="bold")
        canvas.text(x + 1.4, bottom + 4.9, words, 9.4, linespacing=1.45)
        canvas.arrow((x + width + 0.3, bottom + height / 2), (x + width + gap - 0.3, bottom + height / 2))
    first, last = left + width / 2, left + 3 * (width + gap) + width / 2
    above = bottom + height + 2.6
    canvas.path([(last, bottom + height + 0.4), (last, above), (first, above), (first, bottom + height + 0.3)])
    words = "again, until the budget is spent"
    canvas.text((first + last) / 2, above + 1.6, words, 9.4, color=theme.soft, ha="center")


def _curve(canvas: Canvas, left: float, bottom: float) -> None:
    """Draw the adaptation curve of a stored result."""
    means, num_seeds = stored_curve()
    theme, hue, width, height = canvas.theme, canvas.theme.hues[1], 20.5, 15.6
    low, high = min(means), max(means)
    xs = [left + 2.2 + step * (width - 4.4) / (len(means) - 1) for step in range(len(means))]
    ys = [bottom + 4.0 + (mean - low) / (high - low) * (height - 8.0) for mean in means]
    canvas.axes.plot([left, left + width], [bottom, bottom], color=theme.line, linewidth=1.2)
    canvas.axes.plot(xs, ys, color=hue, linewidth=2.4, marker="o", markersize=7)
    for step, (x, y, mean) in enumerate(zip(xs, ys, means, strict=True)):
        above = -2.1 if step == 0 else 2.1  # the line leaves the first point upwards
        canvas.text(x, y + above, f"{mean:.1f}".replace("-", "−"), 10.5, ha="center", weight="bold", color=hue)
        canvas.text(x, bottom - 1.5, str(step), 9.4, ha="center", color=theme.soft)
    middle = left + width / 2
    canvas.text(middle, bottom - 3.7, "adaptation steps, unseen tasks", 9.4, ha="center", color=theme.soft)
    canvas.text(middle, bottom + height + 3.4, "return on 2-D navigation", 9.4, ha="center", weight="bold")
    words = f"MAML, mean of {num_seeds} seeds"
    canvas.text(middle, bottom + height + 1.2, words, 9.4, ha="center", color=theme.soft)


def _learners(canvas: Canvas, left: float, bottom: float) -> None:
    theme = canvas.theme
    names: dict[str, list[str]] = {}
    for name, entry in LEARNERS.items():
        names.setdefault(entry.config_type.__module__.split(".")[2], []).append(name)
    canvas.text(left, bottom + 8.4, "LEARNERS, AND WHAT THEY LEARN", 9, color=theme.soft, weight="bold")
    widths = {family: 3.0 + max(sum(map(_width, members)), 26.0) for family, members in names.items()}
    stretch = (107.5 - 2.0 * (len(names) - 1)) / sum(widths.values())
    x = left
    for family, members in names.items():
        canvas.box(x, bottom - 1.4, widths[family] * stretch, 7.8)
        canvas.text(x + 1.4, bottom + 4.5, LEARNED[family], 9.4, color=theme.soft)
        at = x + 1.4
        for name in members:
            canvas.text(at, bottom + 0.5, name, 12, weight="bold", family="DejaVu Sans Mono", va="baseline")
            at += _width(name)
        x += widths[family] * stretch + 2.0


def _width(name: str) -> float:
    """Return the room that a learner's name takes, with the space after it."""
    return 1.02 * len(name) + 2.4


def _families(canvas: Canvas, left: float, bottom: float) -> None:
    theme, width, height, gap = canvas.theme, 10.8, 10.2, 1.29
    canvas.text(left, bottom + height + 4.8, "FAMILIES OF TASKS", 9, color=theme.soft, weight="bold")
    for i, (name, picture, part) in enumerate(FAMILIES):
        x = left + i * (width + gap)
        canvas.image(x, bottom + 2.6, width, height, DOCS / f"gallery/{picture}.png", part)
        canvas.text(x + width / 2, bottom + 0.6, name, 9.4, ha="center", va="baseline")
    x = left + len(FAMILIES) * (width + gap)
    canvas.box(x, bottom + 2.6, width, height, edge=theme.hues[0], dashed=True)
    words = "any\nGymnasium\nenvironment"
    canvas.text(x + width / 2, bottom + 2.6 + height / 2, words, 9, ha="center", linespacing=1.45)
    style = {"weight": "bold", "color": theme.hues[0]}
    canvas.text(x + width / 2, bottom + 0.6, "yours", 9.4, ha="center", va="baseline", **style)


def main(folder: Path) -> None:
    """Draw all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    episode = played()
    for file in (
        *save(overview, 110.0, 56.0, folder / "overview", overview_facts()),
        *save(lambda canvas: one_meta_iteration(canvas, episode), 97.5, 54.8, folder / "one-meta-iteration", FACTS),
    ):
        print(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "pictures")
