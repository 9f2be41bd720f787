"""Sketches of games on grids: a lake, a memory of objects and a world of rules, as one task of each has them."""

import torch
from matplotlib.axes import Axes

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import Suite
from drml.report.figures import INK, LINE, MARK, POST, PRE, SOFT
from drml.report.sketches import grid, some_tasks
from drml.suites.games.rule_world import AHEAD, begin
from drml.suites.games.rulesets import START
from drml.suites.games.things import named, said

MARKERS: dict[str, str] = {"ball": "o", "square": "s", "pyramid": "^"}
PAINTS = {"red": MARK, "green": "#2e9e5b", "blue": POST, "yellow": "#c9a227"}
ARROWS = "^>v<"


def lake(axes: Axes, suite: Suite) -> None:
    """Draw the holes of one lake, the start and the goal."""
    hole = some_tasks(suite).params["hole"][0].numpy()
    size = len(hole)
    grid(axes, size)
    axes.scatter(*hole.nonzero(), color=PRE, s=300)
    axes.scatter(0, 0, color=POST, s=120)
    axes.scatter(size - 1, size - 1, marker="*", color=MARK, s=260)


def object_memory(axes: Axes, suite: Suite) -> None:
    """Draw the corridor with a cue and the two objects at its end."""
    length = suite.spec.horizon // 4
    axes.scatter([*range(length + 1), length, length], [0] * (length + 1) + [1, -1], marker="s", color=LINE, s=420)
    axes.scatter(0, 0, marker="o", color=PRE, s=140)
    axes.annotate("cue", (0, 0), (0, 0.7), ha="center", color=SOFT)
    axes.scatter(length, 1, marker="^", color=MARK, s=140)
    axes.scatter(length, -1, marker="D", color=POST, s=110)
    axes.annotate("which of them?", (length, 0), (length - 0.7, 0.8), ha="right", color=SOFT)
    axes.set_xlim(-0.8, length + 0.8)
    axes.set_ylim(-2.2, 2.2)
    axes.set_axis_off()


def rule_world(axes: Axes, suite: Suite) -> None:
    """Draw a room as an episode of one task begins, and say in words what nobody is told."""
    table = some_tasks(suite).params["ruleset"][:1].long()  # [1, rows, 4]
    num_rules = int((table[0, :, 0] != START).sum()) - 1
    size = 5
    physics = begin(size, num_rules, Tasks({"ruleset": table}, torch.tensor([1])), 1, Streams(0)["gallery"])
    *cells, _, position, direction, _ = physics.start(0)[0, 0].tolist()
    grid(axes, size)
    axes.invert_yaxis()
    for cell, thing in enumerate(cells):
        if thing:
            kind, colour = named(thing)
            axes.scatter(cell % size, cell // size, marker=MARKERS[kind], color=PAINTS[colour], s=140)
    axes.scatter(position % size, position // size, marker=ARROWS[direction], color=INK, s=140)
    right, up = AHEAD[direction][1], AHEAD[direction][0]
    axes.plot([position % size, position % size + 0.45 * right], [position // size, position // size + 0.45 * up], INK)
    words = "\n".join(said(row) for row in table[0, : 1 + num_rules].tolist())
    axes.set_xlabel(f"hidden: {words}")
