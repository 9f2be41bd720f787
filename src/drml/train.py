"""Meta-training: sample tasks, let the agent act and adapt on each, improve what all tasks share, repeat."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from drml.algos.api import Learner, LearnerState
from drml.collect import Collector
from drml.core.check import check_ranges
from drml.core.errors import EnvError
from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.core.types import Rollout, Tasks
from drml.evaluate import episode_returns, meta_episode, meta_test
from drml.tasks.distribution import TaskDistribution
from drml.tasks.sampler import TaskSampler

StopReason = Literal["", "budget", "converged", "time", "interrupted"]
MAX_UNSOUND_SHARE = 0.2  # of the steps of one meta-iteration


@dataclass(frozen=True)
class TrainConfig:
    """The size of a meta-iteration, and when to stop, validate and save."""

    meta_iters: int = 500
    """Budget in meta-iterations (ProMP: 1000; MAML: 100 to 1000)."""
    num_tasks: int = 20
    """K, tasks per meta-iteration (MAML, ProMP: 20 to 40)."""
    copies: int = 20
    """B, episodes per task and phase (MAML, ProMP: 20)."""
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

    def __post_init__(self) -> None:
        counts = ("meta_iters", "num_tasks", "copies", "validate_every", "validation_tasks", "checkpoint_every")
        check_ranges("", self, at_least_1=counts, at_least_0=("max_env_steps", "max_seconds", "patience"))


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
    """Asked after each meta-iteration; true ends the training as interrupted."""


Row = Mapping[str, object]
Listener = Callable[[Progress, Sequence[Row]], None]


def init_progress(trainer: Trainer) -> Progress:
    """Return the progress before the first meta-iteration."""
    state = trainer.learner.init(trainer.rng["init"])
    return Progress(state, trainer.sampler.init(), state.params)


def meta_train(trainer: Trainer, progress: Progress, listeners: Sequence[Listener]) -> tuple[Progress, StopReason]:
    """Meta-train until a stop rule holds; return the progress and the rule's name.

    Repeat: sample tasks; act and adapt on each; improve what all tasks share; validate; tell the listeners.
    """
    learner, config = trainer.learner, trainer.config
    while not (reason := "interrupted" if trainer.stop_requested() else stop_reason(config, progress)):
        start = time.perf_counter()
        rng = trainer.rng["train", progress.meta_iter]
        tasks = trainer.sampler.sample(progress.sampler, trainer.distribution, "train", config.num_tasks, rng["tasks"])
        history = meta_episode(learner, progress.state, tasks, trainer.collect, rng, learner.adapt_steps)
        with trainer.collect.phases("update"):
            state, metrics = learner.update(progress.state, history)
        progress = advance(trainer, progress, state, tasks, history, time.perf_counter() - start)
        rows = [train_row(progress, history, metrics)]
        if progress.meta_iter % config.validate_every == 0 or stop_reason(config, progress):
            progress, row = validate(trainer, progress)
            rows.append(row)
        for listener in listeners:
            listener(progress, rows)
    return progress, reason


def stop_reason(config: TrainConfig, progress: Progress) -> StopReason:
    """Return the first stop rule of the configuration that holds, or ''."""
    if progress.meta_iter >= config.meta_iters or 0 < config.max_env_steps <= progress.env_steps:
        return "budget"
    if 0 < config.patience <= progress.validations_since_best:
        return "converged"
    return "time" if 0.0 < config.max_seconds <= progress.seconds else ""


def advance(
    trainer: Trainer, progress: Progress, state: LearnerState, tasks: Tasks, history: Sequence[Rollout], seconds: float
) -> Progress:
    """Return the progress after one meta-iteration.

    Raises:
        EnvError: if too many episodes of this meta-iteration had to be dropped.
    """
    unsound = sum(float((~rollout.valid).float().mean()) for rollout in history) / len(history)
    if unsound > MAX_UNSOUND_SHARE:
        raise EnvError(f"meta-iteration {progress.meta_iter}: {unsound:.0%} of the steps had to be dropped as unsound")
    return replace(
        progress,
        state=state,
        sampler=trainer.sampler.observe(progress.sampler, tasks, episode_returns(history[-1]).nanmean(-1)),
        meta_iter=progress.meta_iter + 1,
        env_steps=progress.env_steps + sum(rollout.reward.numel() for rollout in history),
        seconds=progress.seconds + seconds,
    )


def train_row(progress: Progress, history: Sequence[Rollout], metrics: Mapping[str, float]) -> Row:
    """Return the numbers of one meta-iteration to log."""
    dropped = [
        {"phase": phase, "task": k, "copy": b, "step": t}
        for phase, rollout in enumerate(history)
        for k, t, b in (~rollout.valid & (rollout.terminated | rollout.truncated)).nonzero().tolist()
    ]
    row: dict[str, object] = {
        "kind": "train",
        "meta_iter": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "pre_return": float(episode_returns(history[0]).nanmean()),
        "post_return": float(episode_returns(history[-1]).nanmean()),
        **metrics,
    }
    return row | {"dropped_episodes": dropped} if dropped else row


def validate(trainer: Trainer, progress: Progress) -> tuple[Progress, Row]:
    """Return the progress with this validation counted, and its numbers to log.

    The tasks and all noise are the same at each validation, so that policies are compared and not luck.
    """
    rng = trainer.rng["validation"]
    tasks = trainer.sampler.sample(
        trainer.sampler.init(), trainer.distribution, "validation", trainer.config.validation_tasks, rng["tasks"]
    )
    learner = trainer.learner
    curve = meta_test(learner, progress.state, tasks, trainer.collect, rng, learner.adapt_steps).mean()
    is_best = curve[-1] > progress.best_return
    row = {
        "kind": "validation",
        "meta_iter": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "return_by_step": curve,
        "is_best": is_best,
    }
    if not is_best:
        return replace(progress, validations_since_best=progress.validations_since_best + 1), row
    best = replace(progress, best_params=progress.state.params, best_return=curve[-1], validations_since_best=0)
    return replace(best, best_meta_iter=progress.meta_iter), row
