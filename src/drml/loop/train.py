"""Meta-training: sample tasks, let the agent act and adapt on each, improve what all tasks share, repeat."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import torch

from drml.algos.api import Learner, LearnerState
from drml.collect.collector import Collector
from drml.core.check import check_ranges, check_tree
from drml.core.errors import EnvError, InputError
from drml.core.parallel import one_torch_thread
from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.core.types import Rollout, Tasks
from drml.loop.caveats import caveats
from drml.loop.evaluate import AdaptationCost, Meeting, meet, meta_test, returns_by_step
from drml.loop.quarantine import Incident, Quarantine
from drml.tasks.distribution import TaskDistribution
from drml.tasks.sampler import TaskSampler

STOP_RULES = ("meta_iters", "max_env_steps", "max_seconds", "patience", "max_faulty_share")
StopReason = Literal["", "budget", "converged", "time", "interrupted", "faulty"]
MAX_UNSOUND_SHARE = 0.2  # of the steps of one meta-iteration


@dataclass(frozen=True)
class TrainConfig:
    """The size of a meta-iteration, and when to stop, validate and save."""

    meta_iters: int = 500
    """Budget in meta-iterations (ProMP: 1000; MAML: 100 to 1000)."""
    num_tasks: int = 20
    """K, tasks per meta-iteration (MAML, ProMP: 20 to 40)."""
    copies: int = 20
    """B, copies of each task: episodes per task and phase, of which a learner that adapts on steps may see more where
    they end early (MAML, ProMP: 20)."""
    max_env_steps: int = 0
    """Budget in environment steps, adaptation included; 0 is none."""
    max_seconds: float = 0.0
    """Budget in seconds of wall-clock time, over all resumptions; 0 is none."""
    validate_every: int = 10
    """Meta-iterations between validations; the best policy is the one that did best on validation tasks."""
    validation_tasks: int = 20
    """Tasks per validation; always the same ones."""
    patience: int = 0
    """Stop as converged after this many validations without a new best; 0 never does."""
    checkpoint_every: int = 10
    """Meta-iterations between checkpoints."""
    max_faulty_share: float = 0.2
    """Stop with exit code 3 when more than this share of the tasks of the last ten or so meta-iterations could not be
    used, because their environment failed; one bad task of 8 goes on, one of 4 stops."""

    def __post_init__(self) -> None:
        counts = ("meta_iters", "num_tasks", "copies", "validate_every", "validation_tasks", "checkpoint_every")
        limits = ("max_env_steps", "max_seconds", "patience")
        check_ranges("", self, at_least_1=counts, at_least_0=limits, between_0_and_1=("max_faulty_share",))

    def with_stop_rules_of(self, other: "TrainConfig") -> "TrainConfig":
        """Return the other one, which may differ in its stop rules.

        Raises:
            InputError: if it differs in anything else, which cannot change within a run.
        """
        kept = replace(other, **{name: getattr(self, name) for name in STOP_RULES})
        if changed := [name for name, value in vars(kept).items() if value != getattr(self, name)]:
            raise InputError(f"{changed[0]} cannot change within a run; start a new one, or leave it as it was")
        return other


@dataclass(frozen=True)
class Progress:
    """Everything that meta-training changes; with the configuration and the seed it determines all that follows."""

    state: LearnerState
    sampler: Tree
    best_params: Params
    """The shared parameters that did best on validation tasks."""
    best_return: float = -math.inf
    """Their validation return after adaptation."""
    best_meta_iter: int = 0
    validations_since_best: int = 0
    meta_iter: int = 0
    """Completed meta-iterations."""
    env_steps: int = 0
    """Environment steps of training, adaptation included; validation does not count."""
    seconds: float = 0.0
    quarantine: Quarantine = field(default_factory=Quarantine)
    """Strikes of tasks whose environment failed; three put a task out."""

    def tree(self) -> Tree:
        """Return its tensors, as a checkpoint holds them."""
        return {"state": self.state.tree(), "sampler": self.sampler, "best_params": dict(self.best_params)}


@dataclass(frozen=True)
class Trainer:
    """What meta-training works with."""

    learner: Learner
    distribution: TaskDistribution
    sampler: TaskSampler
    collect: Collector
    config: TrainConfig
    rng: Streams
    stop_requested: Callable[[], bool] = field(default=lambda: False)
    """Asked before each step of the environment and each update; true ends the training as interrupted, after the last
    whole meta-iteration."""

    def heed(self) -> None:
        """End the meta-iteration if a stop was requested: it does not count, and is made anew when the run goes on.

        Not only since it may take longer than whoever asks will wait: the signal has often been sent to all processes
        of a job, those of environments included, and their failures are not to be held against tasks.
        """
        if self.stop_requested():
            raise _StopRequested


Row = Mapping[str, object]
Listener = Callable[[Progress, Sequence[Row]], None]


@one_torch_thread()
def init_progress(trainer: Trainer) -> Progress:
    """Return the progress before the first meta-iteration."""
    state = trainer.learner.init(trainer.rng["init"])
    return Progress(state, trainer.sampler.init(), state.params)


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
        except _StopRequested:
            return progress, "interrupted"
        for listener in listeners:
            listener(progress, rows)
    return progress, reason


class _StopRequested(Exception):  # noqa: N818 — no error, but the end of the training
    """A meta-iteration is not to count."""


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


def stop_reason(config: TrainConfig, progress: Progress) -> StopReason:
    """Return the first stop rule of the configuration that holds, or ''."""
    if progress.quarantine.share > config.max_faulty_share:
        return "faulty"
    if progress.meta_iter >= config.meta_iters or 0 < config.max_env_steps <= progress.env_steps:
        return "budget"
    if 0 < config.patience <= progress.validations_since_best:
        return "converged"
    return "time" if 0.0 < config.max_seconds <= progress.seconds else ""


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


def train_row(
    progress: Progress, met: Meeting, metrics: Mapping[str, float], incidents: Sequence[Incident] = ()
) -> Row:
    """Return the numbers of one meta-iteration to log."""
    history = met.history
    rows = met.rows.tolist()
    dropped = [
        {"phase": phase, "task": rows[k], "copy": b, "step": t}
        for phase, rollout in enumerate(history)
        for k, t, b in (~rollout.valid & rollout.ended).nonzero().tolist()
    ]
    returns = returns_by_step(history) if history else torch.full((1, 1, 1), math.nan)
    pre_return, post_return = (float(returns[:, step].nanmean()) for step in (0, -1))
    return {
        "kind": "train",
        "meta_iter": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "pre_return": pre_return,
        "post_return": post_return,
        **_last(met.cost),
        **metrics,
        **({"dropped_episodes": dropped} if dropped else {}),
        **({"warnings": warnings} if (warnings := caveats(history, metrics)) else {}),
        **_faults(progress, incidents),
    }


def _last(cost: AdaptationCost) -> dict[str, float]:
    """Return what all adaptation steps together took of an agent, over the tasks; NaN where there are none."""
    episodes, env_steps = cost.mean()
    return {"adapt_episodes": episodes[-1], "adapt_env_steps": env_steps[-1]}


def _faults(progress: Progress, incidents: Sequence[Incident]) -> dict[str, object]:
    """Return what a row says of faulty tasks; nothing while there are none."""
    found: dict[str, object] = {"faults": [incident.facts() for incident in incidents]} if incidents else {}
    quarantine = progress.quarantine
    if quarantine.strikes:
        found |= {"faulty_share": quarantine.share, "quarantined_tasks": quarantine.num_quarantined}
    return found


def fault_texts(rows: Sequence[Row]) -> list[str]:
    """Return what the faults of some rows say, a line for each."""
    return [fault["text"] for row in rows for fault in cast(Sequence[Mapping[str, str]], row.get("faults", ()))]


def warnings_of(rows: Sequence[Row]) -> dict[str, str]:
    """Return what some rows warn of, by name."""
    warnings = (w for row in rows for w in cast(Sequence[Mapping[str, str]], row.get("warnings", ())))
    return {warning["name"]: warning["text"] for warning in warnings}


def validate(trainer: Trainer, progress: Progress) -> tuple[Progress, Row]:
    """Return the progress with this validation counted, and its numbers to log.

    The tasks and all noise are the same at each validation, so that policies are compared and not luck. A task that
    cannot be measured is left out of the mean.
    """
    rng = trainer.rng["validation"]
    tasks = trainer.sampler.sample(
        trainer.sampler.init(), trainer.distribution, "validation", trainer.config.validation_tasks, rng["tasks"]
    )
    learner = trainer.learner
    tasks = progress.quarantine.admitted(tasks, "validation")
    tested = meta_test(learner, progress.state, tasks, trainer.collect, rng, learner.adapt_steps)
    trainer.heed()
    quarantine, incidents = progress.quarantine.strike(tested.faults, tested.lost, "validation")
    progress = replace(progress, quarantine=quarantine)
    curve = tested.curve.mean()
    episodes, env_steps = tested.cost.mean()
    is_best = curve[-1] > progress.best_return
    row = {
        "kind": "validation",
        "meta_iter": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "return_by_step": curve,
        "episodes_by_step": episodes,
        "env_steps_by_step": env_steps,
        "is_best": is_best,
        **_faults(progress, incidents),
    }
    if not is_best:
        return replace(progress, validations_since_best=progress.validations_since_best + 1), row
    best = replace(progress, best_params=progress.state.params, best_return=curve[-1], validations_since_best=0)
    return replace(best, best_meta_iter=progress.meta_iter), row
