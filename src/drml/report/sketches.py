"""Sketches of native families, drawn from one task of each: the pictures of a gallery."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import Suite
from drml.report.figures import INK, LINE, MARK, POST, PRE, SOFT
from drml.tasks.samplers.stratified import StratifiedSampler

Sketch = Callable[[Axes, Suite], None]
SHOWN_TASKS = 40


def navigation(axes: Axes, suite: Suite) -> None:
    """Draw the start, the goals of some tasks, and the way to one of them."""
    goals = some_tasks(suite).params["goal"].numpy()
    axes.scatter(*goals.T, color=PRE, s=14)
    axes.plot([0.0, goals[0, 0]], [0.0, goals[0, 1]], "--", color=POST)
    axes.scatter(*goals[0], marker="*", color=MARK, s=160, zorder=3)
    axes.scatter(0.0, 0.0, color=POST, s=60, zorder=3)
    axes.set_aspect("equal")


def bandit(axes: Axes, suite: Suite) -> None:
    """Draw how much each arm of one bandit pays."""
    means = some_tasks(suite).params["mean"][0].numpy()
    axes.bar(range(len(means)), means, color=[MARK if mean == means.max() else PRE for mean in means])
    axes.set_xlabel("arm")
    axes.set_ylabel("mean reward")
    axes.set_xticks(range(len(means)))


def tabular(axes: Axes, suite: Suite) -> None:
    """Draw the mean rewards of one MDP, by state and action."""
    means = some_tasks(suite).params["reward_mean"][0].numpy()
    axes.imshow(means.T, cmap="Greys")
    axes.set_xlabel("state")
    axes.set_ylabel("action")


def gridnavi(axes: Axes, suite: Suite) -> None:
    """Draw the grid, the start, and the cells in which the goal may be."""
    goals = suite.tasks.all_tasks().params["goal"].numpy()
    grid(axes, 5)
    axes.scatter(*goals.T, color=PRE, s=30)
    axes.scatter(*goals[-4], marker="*", color=MARK, s=260, zorder=3)
    axes.scatter(0, 0, color=POST, s=160)


def dark_room(axes: Axes, suite: Suite) -> None:
    """Draw the room with the start and one task's goal."""
    goals = suite.tasks.all_tasks().params["goal"].numpy()
    grid(axes, int(goals.max()) + 1)
    axes.scatter(*some_tasks(suite).params["goal"][0].numpy(), marker="*", color=MARK, s=160)
    axes.scatter(0, 0, color=POST, s=80)


def dark_key(axes: Axes, suite: Suite) -> None:
    """Draw the room with one task's key and door."""
    tasks = some_tasks(suite)
    grid(axes, 9)
    axes.scatter(*tasks.params["key"][0].numpy(), marker="P", color=MARK, s=140, label="key")
    axes.scatter(*tasks.params["door"][0].numpy(), marker="s", color=INK, s=140, label="door")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, frameon=False)


def tmaze(axes: Axes, suite: Suite) -> None:
    """Draw the corridor with its cue and its two arms."""
    cells = [(x, 0) for x in range(11)] + [(10, 1), (10, -1)]
    axes.scatter(*np.array(cells).T, marker="s", color=LINE, edgecolor=SOFT, s=220)
    axes.scatter(0, 0, color=POST, s=80)
    axes.annotate("cue: up", (0, 0), (0, 0.6), ha="center", color=POST)
    axes.scatter(10, 1, marker="*", color=MARK, s=140)
    axes.set_ylim(-2.5, 2.5)
    axes.set_axis_off()


def probe(axes: Axes, suite: Suite) -> None:
    """Draw what goal-flip pays for an action, in its two tasks."""
    actions = np.linspace(-1.0, 1.0, 3)
    for sign, color in ((1.0, POST), (-1.0, MARK)):
        axes.plot(actions, sign * actions, color=color)
    axes.set_xlabel("action")
    axes.set_ylabel("reward")


def grid(axes: Axes, size: int) -> None:
    """Draw the lines of a grid of `size` x `size` cells."""
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(-0.5, size - 0.5)
    axes.set_xticks(np.arange(size + 1) - 0.5, [])
    axes.set_yticks(np.arange(size + 1) - 0.5, [])
    axes.grid(color=LINE)
    axes.tick_params(length=0)
    axes.set_aspect("equal")


def some_tasks(suite: Suite) -> Tasks:
    """Return some tasks of a suite, the same whenever they are asked for."""
    return StratifiedSampler().sample({}, suite.tasks, "train", SHOWN_TASKS, Streams(0)["gallery"])
