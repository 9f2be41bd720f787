"""Meta-training.

repeat until a stop rule holds:
sample tasks          T₁ … T_K ~ p(T)                              TaskSampler.sample
begin                 agents from the prior, or proposed           Learner.prior, .propose
for each phase:
act               B copies of each task, one rollout           Collect.with_faults
adapt             each agent on its own rollout                Learner.adapt
meta-update           what all tasks share, from all of that       Learner.update
tell the sampler      how each task went                           TaskSampler.observe
validate              now and then, on tasks of their own          validate
tell the listeners    log, checkpoint, progress                    Listener
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from drml.algos.api import Metrics
from drml.core.check import check_tree
from drml.core.errors import EnvError
from drml.core.parallel import one_torch_thread
from drml.loop.curve import returns_by_step
from drml.loop.meet import Meeting
from drml.loop.progress import Progress, StopReason, stop_reason
from drml.loop.quarantine import Incident
from drml.loop.rows import train_row
from drml.loop.success import says_success
from drml.loop.trainer import Listener, Row, StopRequested, Trainer
from drml.loop.validate import validate
from drml.tasks.samplers.api import Scores

MAX_UNSOUND_SHARE = 0.2  # of the steps of one meta-iteration


@one_torch_thread()
def meta_train(trainer: Trainer, progress: Progress, listeners: Sequence[Listener]) -> tuple[Progress, StopReason]:
    """Meta-train until a stop rule holds; return the progress and the rule's name.

    Raises:
        NumericError: if a number of the learner's state is no longer finite; the listeners know the state before.
    """
    trainer = replace(trainer, collect=trainer.collect.heeding(trainer.heed))
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
    learner, config, before = trainer.learner, trainer.config, progress
    start = time.perf_counter()
    rng = trainer.rng["train", before.meta_iter]
    draw = trainer.sampler.sample(before.sampler, trainer.distribution, "train", config.num_tasks, rng["tasks"])
    tasks = before.quarantine.admitted(draw, "train")
    met = trainer.play(learner, before.state, tasks, trainer.collect, rng)
    trainer.heed()
    with trainer.collect.phases("update"):
        learned = len(met.tasks) > 0
        state, metrics = learner.update(before.state, met.episode, rng["update"]) if learned else (before.state, {})
    progress, incidents = judge(before, len(draw), met)
    sampler = trainer.sampler.observe(progress.sampler, met.tasks, scores_of(met, metrics))
    progress = advance(replace(progress, state=state, sampler=sampler), met, time.perf_counter() - start)
    check_tree(f"meta-iteration {progress.meta_iter}, after the update:", progress.tree())
    rows = [train_row(progress, met, metrics, incidents)]
    if progress.meta_iter % config.validate_every == 0 or stop_reason(config, progress):
        progress, row = validate(trainer, progress)
        rows.append(row)
    return progress, rows


def judge(progress: Progress, num_drawn: int, met: Meeting) -> tuple[Progress, list[Incident]]:
    """Return the progress with the strikes of a meta-episode counted, and its incidents."""
    quarantine, incidents = progress.quarantine.strike(met.faults, met.lost, "train")
    return replace(progress, quarantine=quarantine.count(num_drawn, len(met.tasks))), incidents


def advance(progress: Progress, met: Meeting, seconds: float) -> Progress:
    """Return the progress with a meta-episode and its seconds counted, steps on tasks that were lost included.

    Raises:
        EnvError: if too many steps of the others had to be dropped.
    """
    number = progress.meta_iter + 1
    env_steps = sum(rollout.env_steps for rollout in met.history)
    unsound = sum(int(rollout.unsound.sum()) for rollout in met.history) / max(env_steps, 1)
    if unsound > MAX_UNSOUND_SHARE:
        raise EnvError(
            f"meta-iteration {number}: {unsound:.0%} of the steps had to be dropped ({MAX_UNSOUND_SHARE:.0%} may), "
            "because simulations diverged or gave numbers that are not finite; `drml check TASKS` looks for the cause"
        )
    taken, spent = progress.env_steps + met.env_steps, progress.seconds + seconds
    said = progress.says_success or says_success(met.history)
    return replace(progress, meta_iter=number, env_steps=taken, seconds=spent, says_success=said)


def scores_of(met: Meeting, metrics: Metrics) -> Scores:
    """Return what the task sampler is told of the tasks, `[K']` each: returns, and metrics of one number per task."""
    if not met.history:
        return {}
    returns = returns_by_step(met.history).nanmean(-1)
    told = {name: value for name, value in metrics.items() if isinstance(value, Tensor)}
    return {"pre_return": returns[:, 0], "post_return": returns[:, -1], **told}
