"""Draws one meta-iteration as it was: four tasks, four agents, and where they went before and after they adapted."""

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from canvas import Canvas
from torch import Tensor

import drml
from drml import session
from drml.loop.meet import meta_episode

META_ITERS, SEED = 25, 1
NUM_TASKS, SHOWN = 4, 3  # K, and how many of the copies are drawn
FACTS = f"MAML on 2-D navigation after {META_ITERS} meta-iterations, seed {SEED}, test tasks"
SIDE, GAP = 9.0, 1.5
REACH = 0.62  # of the plane that is shown, from its middle


@dataclass(frozen=True)
class Episode:
    """What is drawn: the goals, and the paths of each phase."""

    goals: Tensor
    """`[K, 2]`."""
    paths: tuple[Tensor, Tensor]
    """`[K, T, B, 2]` before and after one adaptation step."""


def played() -> Episode:
    """Train MAML on 2-D navigation for a few seconds, and return a meta-episode of four test tasks."""
    with TemporaryDirectory() as folder:
        run = drml.train(
            "navigation-maml-v1", "maml", seed=SEED, meta_iters=META_ITERS, out=Path(folder) / "run", verbose=False
        )
        trained = session.load(run.path)
    setup = trained.setup
    trainer = session.make_trainer(setup, drml.EnvOptions(), lambda: False)
    rng = trainer.rng["picture"]
    memory = trainer.sampler.init(setup.suite.tasks, rng["sampler"])
    tasks = trainer.sampler.sample(memory, setup.suite.tasks, "test", NUM_TASKS, rng["tasks"])
    history = meta_episode(setup.learner, trained.best, tasks, trainer.collect, rng, 1).history
    return Episode(tasks.params["goal"], (history[0].obs, history[1].obs))


def one_meta_iteration(canvas: Canvas, episode: Episode) -> None:
    """Draw tasks, prior, rollouts, adapted agents, rollouts again, and the update, from left to right."""
    sample, adapt, update, _ = canvas.theme.hues
    bottoms = [4.6 + (NUM_TASKS - 1 - k) * (SIDE + GAP) for k in range(NUM_TASKS)]
    low, high = bottoms[-1], bottoms[0] + SIDE
    _heads(canvas, high)
    canvas.box(15.5, low, 10.0, high - low, edge=adapt)
    canvas.text(20.5, (low + high) / 2 + 1.6, "θ", 24, ha="center", color=adapt, weight="bold")
    canvas.text(20.5, (low + high) / 2 - 2.4, "shared\nby all", 9, ha="center", linespacing=1.4)
    canvas.box(83.0, low, 13.5, high - low, edge=update)
    canvas.text(89.75, (low + high) / 2 + 1.6, "θ ← θ + Δ", 14, ha="center", color=update, weight="bold")
    canvas.text(89.75, (low + high) / 2 - 2.6, "one Δ from\nall tasks", 9, ha="center", linespacing=1.4)
    for k, bottom in enumerate(bottoms):
        middle = bottom + SIDE / 2
        _plane(canvas, 1.0, bottom, episode.goals[k], sample)
        _plane(canvas, 31.5, bottom, episode.goals[k], sample, episode.paths[0][k])
        canvas.box(47.5, bottom, SIDE, SIDE, edge=adapt)
        canvas.text(52.0, middle, f"$θ'_{k + 1}$", 19, ha="center", color=adapt)
        _plane(canvas, 63.0, bottom, episode.goals[k], sample, episode.paths[1][k])
        for start, end in ((25.8, 31.2), (40.8, 47.2), (56.8, 62.7), (72.3, 82.7)):
            canvas.arrow((start, middle), (end, middle))
    words = (("collect", 28.5), ("adapt", 44.0), ("collect", 59.7), ("update", 77.5))
    for word, x in words:
        canvas.text(x, high - SIDE / 2 + 1.5, word, 8.6, ha="center", color=canvas.theme.soft)
    back = high + 6.9
    canvas.path([(89.75, high + 4.6), (89.75, back), (20.5, back), (20.5, high + 4.8)])
    canvas.text(
        55.1, back + 1.5, "the next meta-iteration begins with the new θ", 9.4, ha="center", color=canvas.theme.soft
    )


def _heads(canvas: Canvas, high: float) -> None:
    sample, adapt, update, _ = canvas.theme.hues
    columns = (
        (5.5, "tasks", "[K, …]", sample),
        (20.5, "prior", "[…]", adapt),
        (36.0, "rollout", "[K, T, B, …]", adapt),
        (52.0, "adapted", "[K, …]", adapt),
        (67.5, "rollout", "[K, T, B, …]", adapt),
        (89.75, "update", "[…]", update),
    )
    for x, name, shape, hue in columns:
        canvas.text(x, high + 2.6, name, 13, ha="center", color=hue, weight="bold")
        canvas.text(x, 2.2, shape, 9.4, ha="center", color=canvas.theme.soft, family="DejaVu Sans Mono")


def _plane(canvas: Canvas, x: float, y: float, goal: Tensor, hue: str, path: Tensor | None = None) -> None:
    """Draw the plane of one task: the start, the goal, and where the copies went, `[T, B, 2]`."""
    canvas.box(x, y, SIDE, SIDE)
    scale = SIDE / 2 / REACH
    centre = torch.tensor([x + SIDE / 2, y + SIDE / 2])
    for copy in range(0 if path is None else SHOWN):
        where = path[:, copy] if path is not None else goal
        inside = torch.where(where.abs().amax(-1, keepdim=True) < REACH, where, math.nan) * scale + centre
        canvas.axes.plot(*inside.T, color=canvas.theme.hues[1], linewidth=1.1, alpha=0.75, zorder=3)
    canvas.axes.plot(*centre, marker="o", markersize=4.5, color=canvas.theme.soft, zorder=4)
    canvas.axes.plot(*(goal * scale + centre), marker="*", markersize=14, color=hue, zorder=5)
