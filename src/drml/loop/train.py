"""Meta-training: sample tasks, let the agent act and adapt on each, improve what all tasks share, repeat."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from drml.algos.api import LearnerState
from drml.core.check import check_tree
from drml.core.errors import EnvError
from drml.core.parallel import one_torch_thread
from drml.core.types import Rollout, Tasks
from drml.loop.curve import returns_by_step
from drml.loop.meet import Meeting, meet
from drml.loop.progress import Progress, StopReason, stop_reason
from drml.loop.quarantine import Incident
from drml.loop.rows import train_row
from drml.loop.trainer import Listener, Row, StopRequested, Trainer
from drml.loop.validate import validate

MAX_UNSOUND_SHARE = 0.2  # of the steps of one meta-iteration


@one_torch_thread()
def meta_train(trainer: Trainer, progress: Progress, listeners: Sequence[Listener]) -> tuple[Progress, StopReason]:
    """Meta-train until a stop rule holds; return the progress and the rule's name.

    Repeat: sample tasks; act and adapt on each; improve what all tasks share; validate; tell the listeners.

    Raises:
        NumericError: if a number of the learner's state is no longer finite; the listeners know the state before.
    """
    trainer = replace(trainer, collect=replace(trainer.collect, heed=trainer.heed))
    while not (reason := "interrupted" if trainer.stop_requested() else stop_reason(trainer.config, progress)):
        try:
            progress, rows = iterate(trainer, progress)
        except StopRequested:
            return progress, "interrupted"
        for listener in listeners:
            listener(progress, rows)
    return progress, reason


def iterate(trainer: Trainer, progress: Progress) -> tuple[Progress, list[Row]]:
    """Return the progress after one meta-iteration, validated where that is due, and the rows to log of it."""
    learner, config = trainer.learner, trainer.config
    start = time.perf_counter()
    rng = trainer.rng["train", progress.meta_iter]
    draw = trainer.sampler.sample(progress.sampler, trainer.distribution, "train", config.num_tasks, rng["tasks"])
    tasks = progress.quarantine.admitted(draw, "train")
    met = meet(learner, progress.state, tasks, trainer.collect, rng, learner.adapt_steps)
    trainer.heed()
    with trainer.collect.phases("update"):
        state, metrics = learner.update(progress.state, met.history) if len(met.tasks) else (progress.state, {})
    progress, incidents = judge(progress, len(draw), met)
    progress = advance(trainer, progress, state, met.tasks, met.history, time.perf_counter() - start)
    check_tree(f"meta-iteration {progress.meta_iter}, after the update:", progress.tree())
    rows = [train_row(progress, met, metrics, incidents)]
    if progress.meta_iter % config.validate_every == 0 or stop_reason(config, progress):
        progress, row = validate(trainer, progress)
        rows.append(row)
    return progress, rows


def judge(progress: Progress, num_drawn: int, met: Meeting) -> tuple[Progress, list[Incident]]:
    """Return the progress with the strikes of a meta-episode and its steps on lost tasks counted, and the incidents."""
    quarantine, incidents = progress.quarantine.strike(met.faults, met.lost, "train")
    wasted = met.env_steps - sum(rollout.env_steps for rollout in met.history)
    counted = quarantine.count(num_drawn, len(met.tasks))
    return replace(progress, quarantine=counted, env_steps=progress.env_steps + wasted), incidents


def advance(
    trainer: Trainer, progress: Progress, state: LearnerState, tasks: Tasks, history: Sequence[Rollout], seconds: float
) -> Progress:
    """Return the progress after one meta-iteration.

    Args:
        trainer: what meta-training works with.
        progress: the progress before.
        state: the state after the update.
        tasks: the tasks that the update learned from.
        history: their rollouts; empty where there were none.
        seconds: wall-clock time of the meta-iteration.

    Raises:
        EnvError: if too many episodes of this meta-iteration had to be dropped.
    """
    env_steps = sum(rollout.env_steps for rollout in history)
    unsound = sum(int(rollout.unsound.sum()) for rollout in history) / max(env_steps, 1)
    if unsound > MAX_UNSOUND_SHARE:
        number = progress.meta_iter + 1
        raise EnvError(
            f"meta-iteration {number}: {unsound:.0%} of the steps had to be dropped ({MAX_UNSOUND_SHARE:.0%} may), "
            "because simulations diverged or gave numbers that are not finite; `drml check TASKS` looks for the cause"
        )
    post_return = returns_by_step(history)[:, -1].nanmean(-1) if history else torch.empty(0)
    return replace(
        progress,
        state=state,
        sampler=trainer.sampler.observe(progress.sampler, tasks, post_return),
        meta_iter=progress.meta_iter + 1,
        env_steps=progress.env_steps + env_steps,
        seconds=progress.seconds + seconds,
    )
