"""A run: a configuration and a seed in a directory of their own, which can be stopped, resumed and tested.

config.json      what was asked for          checkpoints/N/   what was reached after N meta-iterations
metrics.jsonl    what was measured           test.json        the adaptation curve of the best policy
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from drml.algos.api import Learner, LearnerState
from drml.algos.registry import AnyConfig, AnyPolicyConfig, learner_entry
from drml.collect.collector import Collector
from drml.core.check import check_memory
from drml.core.config import from_dict, to_dict
from drml.core.errors import CheckpointError, DrmlError, EnvError, InputError, NumericError, ResourceError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.shell import as_word
from drml.core.types import EnvSpec
from drml.envs.api import EnvOptions, Suite
from drml.executors.isolated.env import isolated
from drml.loop.evaluate import meta_test
from drml.loop.train import (
    Listener,
    Progress,
    Row,
    StopReason,
    TrainConfig,
    Trainer,
    fault_texts,
    init_progress,
    meta_train,
)
from drml.policies.mlp import MLPConfig
from drml.run import checkpoint, rundir, saved
from drml.run.footprint import Plan, check_fit
from drml.run.log import METRICS, RunLog, read_rows
from drml.suites.registry import suite
from drml.tasks.distribution import Split
from drml.tasks.sampler import StratifiedSampler, tasks_to_test

CONFIG = rundir.CONFIG
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class RunConfig:
    """What determines a run, down to the last bit on one machine."""

    suite: str
    """Name of the task family."""
    learner: str
    """Name of the learner."""
    learner_config: AnyConfig
    """Its hyper-parameters."""
    policy: AnyPolicyConfig = field(default_factory=MLPConfig)
    """The policy's shape: an MLP, or a memory for a learner that remembers."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Sizes and stop rules."""
    seed: int = 0
    """Root of all random streams."""


@dataclass(frozen=True)
class Setup:
    """The objects that a configuration stands for."""

    config: RunConfig
    suite: Suite
    learner: Learner

    def with_room(self, adapt_steps: int) -> "Setup":
        """Return the setup of the same weights, whose memory has room for trials of so many adaptation steps."""
        policy = self.config.policy.with_room((adapt_steps + 1) * self.suite.spec.horizon)
        config = replace(self.config, policy=policy)
        return Setup(config, self.suite, _learner(config, self.suite.spec))

    def check_fit(self, num_tasks: int, copies: int, adapt_steps: int, learns: bool) -> None:
        """Refuse a meta-episode that can never fit into memory."""
        learner, policy = self.config.learner_config, self.config.policy
        check_fit(Plan(self.suite.spec, learner, policy, num_tasks, copies, adapt_steps, learns))

    def collector(self, copies: int, options: EnvOptions, phases: Phases) -> Collector:
        """Return a collector of what the learner adapts on, in a fresh environment."""
        one_episode, bounds = self.learner.adapts_on == "episodes", options.isolation
        options = replace(options, one_episode=one_episode)
        env = isolated(self.suite, bounds, one_episode) if bounds.isolate else self.suite.make(options)
        return Collector(env, self.suite.spec.horizon, copies, phases, options.device, one_episode)


def set_up(config: RunConfig) -> Setup:
    """Return suite and learner of a configuration.

    Raises:
        InputError: if a name or a value is not right.
        ResourceError: if the policy cannot fit into memory.
    """
    config = _checked(to_dict(config), "config")
    chosen = suite(config.suite)
    check_memory(
        f"a policy of {config.policy}", config.policy.num_weights(chosen.spec.obs_size, chosen.spec.action.size)
    )
    return Setup(config, chosen, _learner(config, chosen.spec))


def _learner(config: RunConfig, spec: EnvSpec) -> Learner:
    entry = learner_entry(config.learner)
    return entry.make(spec, entry.make_policy(spec, config.policy, config.learner_config), config.learner_config)


def read_config(run: Path) -> RunConfig:
    """Return the configuration of a run directory.

    Raises:
        InputError: if there is no run, or its configuration is damaged.
    """
    fields = {key: value for key, value in rundir.read_fields(run).items() if key not in rundir.WRITTEN_BESIDE}
    return _checked(fields, f"{run / CONFIG}: config")


def _write_config(run: Path, setup: Setup) -> None:
    beside = {"versions": rundir.versions(), "tasks": setup.suite.facts()}
    rundir.write_json(run / CONFIG, to_dict(setup.config) | beside)


def _checked(data: Mapping[str, Any], where: str) -> RunConfig:
    """Return the configuration that plain values stand for; each must be of the type that its field says."""
    entry = learner_entry(str(data.get("learner", "")))
    kinds = {"learner_config": entry.config_type, "policy": type(entry.default_policy)}
    typed = {key: from_dict(kind, data.get(key), f"{where}.{key}") for key, kind in kinds.items()}
    return from_dict(RunConfig, {**data, **typed}, where)


def start(
    config: RunConfig,
    out: Path,
    listeners: Sequence[Listener] = (),
    options: EnvOptions = EnvOptions(),  # noqa: B008 — frozen
    stop_requested: Callable[[], bool] = lambda: False,
) -> tuple[Progress, StopReason]:
    """Meta-train in a new run directory.

    Raises:
        InputError: if the directory holds something already, or the configuration is not right.
    """
    out = out.absolute()  # environments may go elsewhere
    setup = set_up(config)
    trainer = make_trainer(setup, options, stop_requested)
    with rundir.claimed(out):
        _write_config(out, setup)
        return _run(setup, trainer, init_progress(trainer), out, listeners)


def resume(
    out: Path,
    listeners: Sequence[Listener] = (),
    options: EnvOptions = EnvOptions(),  # noqa: B008 — frozen
    stop_requested: Callable[[], bool] = lambda: False,
    train: TrainConfig | None = None,
) -> tuple[Progress, StopReason]:
    """Go on with a run from its newest checkpoint; `train` may bring other stop rules, such as a larger budget.

    Raises:
        InputError: if there is no run, it is in use, or `train` differs in more than the stop rules.
        CheckpointError: if no checkpoint can be loaded.
    """
    out = out.absolute()
    config = read_config(out)
    config = config if train is None else replace(config, train=config.train.with_stop_rules_of(train))
    setup = set_up(config)
    trainer = make_trainer(setup, options, stop_requested)
    with rundir.lock(out):
        found = checkpoint.newest(out / CHECKPOINTS)
        progress = init_progress(trainer)
        progress = progress if found is None else saved.load(found, progress, _belongs_to(config))[0]
        rundir.check_tasks(out, setup.suite.facts())
        _ = (out / METRICS).exists() and read_rows(out)  # a damaged log is refused before anything is written
        if train is not None:
            _write_config(out, setup)
        return _run(setup, trainer, progress, out, listeners)


def make_trainer(setup: Setup, options: EnvOptions, stop_requested: Callable[[], bool]) -> Trainer:
    """Return what meta-training works with."""
    train = setup.config.train
    setup.check_fit(train.num_tasks, train.copies, setup.learner.adapt_steps, learns=True)
    setup.check_fit(train.validation_tasks, train.copies, setup.learner.adapt_steps, learns=False)
    return Trainer(
        setup.learner,
        setup.suite.tasks,
        StratifiedSampler(),
        setup.collector(setup.config.train.copies, options, Phases()),
        setup.config.train,
        Streams(setup.config.seed),
        stop_requested,
    )


def _run(
    setup: Setup, trainer: Trainer, progress: Progress, out: Path, listeners: Sequence[Listener]
) -> tuple[Progress, StopReason]:
    rundir.sweep(out)
    reached = progress
    text = ""  # what failed last
    with RunLog(out) as log:
        log.truncate(progress.meta_iter)

        def record(progress: Progress, rows: Sequence[Row]) -> None:
            nonlocal reached, text
            reached, text = progress, [text, *fault_texts(rows)][-1]
            for row in rows:
                rest = {key: value for key, value in row.items() if key not in ("kind", "meta_iter")}
                log.append(str(row["kind"]), progress.meta_iter, cast(Any, rest))

        def keep(progress: Progress, rows: Sequence[Row]) -> None:
            if progress.meta_iter % trainer.config.checkpoint_every == 0:
                _save(log, setup, trainer, progress, out)

        def end() -> None:
            trainer.collect.close()  # where something else ends the run, processes of tasks are killed with it
            if not checkpoint.is_sound(out / CHECKPOINTS / saved.name_of(reached)):
                _save(log, setup, trainer, reached, out)

        try:
            reached, reason = meta_train(trainer, progress, [record, keep, *listeners])
        except (EnvError, InputError, NumericError) as error:  # of input where code is no longer what was begun with
            end()
            _check_numbers(error, reached, out)
            raise
        end()
    _check_faults(reached, reason, text, out)
    return reached, reason


def _check_numbers(error: DrmlError, reached: Progress, out: Path) -> None:
    """Say where the last finite numbers are, where they stopped being finite."""
    if isinstance(error, NumericError):
        raise NumericError(
            f"{error}; saved as it was before, after {reached.meta_iter} meta-iterations: drml test {out}; to learn "
            "more, start a new run with smaller steps"
        ) from error


def _check_faults(reached: Progress, reason: StopReason, text: str, out: Path) -> None:
    """Turn a stop for too many faulty tasks into the error that it is; the run is saved by then."""
    if reason == "faulty":
        raise EnvError(
            f"{reached.quarantine.too_many(text)}; saved after {reached.meta_iter} meta-iterations: repair the "
            f"environment, or accept more of it: drml train --resume {as_word(out)} --max-faulty-share 1"
        )


def _save(log: RunLog, setup: Setup, trainer: Trainer, progress: Progress, out: Path) -> None:
    log.flush()
    facts = {**_belongs_to(setup.config), "phases": dict(trainer.collect.phases.seconds)}
    saved.save(out / CHECKPOINTS, progress, facts)
    checkpoint.prune(out / CHECKPOINTS, keep=2, keep_names=set())


def _belongs_to(config: RunConfig) -> dict[str, str]:
    return {"suite": config.suite, "learner": config.learner}


@dataclass(frozen=True)
class Trained:
    """What a run has learned so far."""

    setup: Setup
    progress: Progress
    phases: dict[str, float]
    """Seconds by phase of the last stretch of training."""

    @property
    def best(self) -> LearnerState:
        """Return the state that did best on validation tasks."""
        return LearnerState(self.progress.best_params, {})


def load(run: Path) -> Trained:
    """Return what the newest checkpoint of a run holds.

    Raises:
        InputError: if `run` is not a run directory.
        CheckpointError: if it has no checkpoint that can be loaded.
    """
    checkpoints = run.absolute() / CHECKPOINTS
    config = read_config(run)
    setup = set_up(config)
    found = checkpoint.newest(checkpoints)
    if found is None:
        raise CheckpointError(f"{run} has no checkpoint yet; train it with --resume {as_word(run)}")
    state = setup.learner.init(Streams(config.seed)["init"])
    like = Progress(state, StratifiedSampler().init(), state.params)
    progress, phases = saved.load(found, like, _belongs_to(config))
    return Trained(setup, progress, phases)


def test(
    run: Path,
    adapt_steps: int = 3,
    num_tasks: int = 40,
    copies: int = 20,
    split: Split = "test",
    seed: int = 0,
    options: EnvOptions = EnvOptions(),  # noqa: B008 — frozen
) -> dict[str, Any]:
    """Return (and write to test.json) the adaptation curve of a run's best policy on held-out tasks.

    Where a family holds none out, or the split has no more than `num_tasks`, all are met, in as many rounds as
    `num_tasks` allows and two at least: a round is a new adaptation, with `copies` episodes after each step.

    Raises:
        InputError: if `run` is not a run directory, or there is nothing to test.
        CheckpointError: if it has no checkpoint that can be loaded.
        ResourceError: if the result cannot be written, or the rollouts cannot fit into memory.
        EnvError: if no task could be measured.
    """
    if adapt_steps < 0 or num_tasks < 1 or copies < 1:
        raise InputError("a test needs adapt_steps of 0 or more, and tasks and episodes of 1 or more")
    folder = run.absolute()
    trained = load(run)
    rundir.check_tasks(folder, trained.setup.suite.facts())
    if not os.access(folder, os.W_OK):
        raise ResourceError(f"{run} cannot be written to, and the result goes there; copy the run and test the copy")
    setup = trained.setup.with_room(adapt_steps)
    setup.check_fit(num_tasks, copies, adapt_steps, learns=False)  # before so many tasks are drawn
    rng = Streams(seed)["test", split]
    tasks, is_whole = tasks_to_test(setup.suite.tasks, split, num_tasks, rng["tasks"])
    rounds = max(2, num_tasks // len(tasks)) if is_whole else 1
    met = tasks.repeated(rounds) if is_whole else tasks
    setup.check_fit(len(met), copies, adapt_steps, learns=False)  # all there are may be more than asked
    collect = setup.collector(copies, options, Phases())
    tested = meta_test(setup.learner, trained.best, met, collect, rng, adapt_steps)
    collect.close()
    unmeasured = tested.unmeasured(met)
    if not len(tested.tasks):
        raise EnvError(f"none of the {len(tasks)} tasks could be measured, the first one {unmeasured[0]['text']}")
    result = _facts(trained, split) | tested.facts(tasks, rounds) | {"faulty_tasks": unmeasured}
    rundir.write_json(folder / "test.json", result)
    return result


def _facts(trained: Trained, split: Split) -> dict[str, Any]:
    """Return what a test's result says of the run."""
    config, progress = trained.setup.config, trained.progress
    return {
        "suite": config.suite,
        "learner": config.learner,
        "seed": config.seed,
        "split": split,
        "held_out": trained.setup.suite.tasks.held_out,
        "adapts_on": trained.setup.learner.adapts_on,
        "trained_adapt_steps": trained.setup.learner.adapt_steps,
        "best_meta_iter": progress.best_meta_iter,
        "meta_iter": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "phases": trained.phases,
    }
