"""A run: a configuration and a seed in a directory of their own, which can be stopped, resumed and tested.

config.json      what was asked for          checkpoints/N/   what was reached after N meta-iterations
metrics.jsonl    what was measured           test.json        the adaptation curve of the best policy
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from drml import checkpoint, rundir
from drml.algos.api import Learner, LearnerState
from drml.algos.registry import AnyConfig, AnyPolicyConfig, learner_entry
from drml.collect import Collector
from drml.core.check import check_memory
from drml.core.config import from_dict, to_dict
from drml.core.errors import CheckpointError, EnvError, InputError, ResourceError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.core.types import EnvSpec
from drml.envs.api import EnvOptions, Suite
from drml.envs.isolated.env import isolated
from drml.envs.registry import suite
from drml.evaluate import meta_test
from drml.policies.mlp import MLPConfig
from drml.quarantine import Quarantine
from drml.runlog import RunLog
from drml.tasks.distribution import Split
from drml.tasks.sampler import StratifiedSampler, tasks_to_test
from drml.train import (
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

CONFIG = rundir.CONFIG
CHECKPOINTS = "checkpoints"
STOP_RULES = ("meta_iters", "max_env_steps", "max_seconds", "patience", "max_faulty_share")
COUNTERS = ("best_return", "best_meta_iter", "validations_since_best", "meta_iter", "env_steps", "seconds")


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

    def collector(self, copies: int, options: EnvOptions, phases: Phases) -> Collector:
        """Return a collector of whole episodes in a fresh environment."""
        bounds = options.isolation
        env = isolated(self.suite, bounds) if bounds.isolate else self.suite.make(options)
        return Collector(env, self.suite.spec.horizon, copies, phases, options.device)


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
    entry = learner_entry(config.learner)
    policy = entry.make_policy(chosen.spec, config.policy, config.learner_config)
    return Setup(config, chosen, entry.make(chosen.spec, policy, config.learner_config))


def read_config(run: Path) -> RunConfig:
    """Return the configuration of a run directory.

    Raises:
        InputError: if there is no run, or its configuration is damaged.
    """
    path = run / CONFIG
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{run} is not a run directory: it has no {CONFIG}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}; the file is damaged") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} cannot be read: expected an object; the file is damaged")
    fields = cast("dict[str, Any]", data)
    for written_beside in ("versions", "tasks"):
        fields.pop(written_beside, None)
    return _checked(fields, f"{path}: config")


def _write_config(run: Path, setup: Setup) -> None:
    beside = {"versions": rundir.versions(), "tasks": setup.suite.facts()}
    rundir.write_json(run / CONFIG, to_dict(setup.config) | beside)


def _checked(data: Mapping[str, Any], where: str) -> RunConfig:
    """Return the configuration that plain values stand for; each must be of the type that its field says."""
    entry = learner_entry(str(data.get("learner", "")))
    kinds = {"learner_config": entry.config_type, "policy": type(entry.default_policy)}
    typed = {key: from_dict(kind, data.get(key), f"{where}.{key}") for key, kind in kinds.items()}
    return from_dict(RunConfig, {**data, **typed}, where)


def _check_rollouts(spec: EnvSpec, num_tasks: int, copies: int, adapt_steps: int) -> None:
    """Refuse rollouts of which the observations and rewards alone can never fit into memory."""
    steps = (adapt_steps + 1) * num_tasks * spec.horizon * copies
    check_memory(f"acting in {num_tasks} tasks x {copies} episodes", steps * (spec.obs_size + 1))


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
    rundir.create(out)
    with rundir.lock(out):
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
    if train is not None:
        kept = replace(train, **{name: getattr(config.train, name) for name in STOP_RULES})
        if changed := [name for name, value in vars(kept).items() if value != getattr(config.train, name)]:
            raise InputError(f"{changed[0]} cannot change within a run; start a new one, or leave it as it was")
        config = replace(config, train=train)
    setup = set_up(config)
    trainer = make_trainer(setup, options, stop_requested)
    with rundir.lock(out):
        found = checkpoint.newest(out / CHECKPOINTS)
        progress = init_progress(trainer)
        progress = progress if found is None else _load(found, progress, config)[0]
        rundir.check_tasks(out, setup.suite.facts())
        if train is not None:
            _write_config(out, setup)
        return _run(setup, trainer, progress, out, listeners)


def make_trainer(setup: Setup, options: EnvOptions, stop_requested: Callable[[], bool]) -> Trainer:
    """Return what meta-training works with."""
    train, adapt_steps = setup.config.train, setup.learner.adapt_steps
    _check_rollouts(setup.suite.spec, max(train.num_tasks, train.validation_tasks), train.copies, adapt_steps)
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
            if not checkpoint.is_sound(out / CHECKPOINTS / _name(reached)):
                _save(log, setup, trainer, reached, out)

        try:
            reached, reason = meta_train(trainer, progress, [record, keep, *listeners])
        except (EnvError, InputError):  # the second one where foreign code is no longer what was begun with
            end()
            raise
        end()
    _check_faults(reached, reason, text, out)
    return reached, reason


def _check_faults(reached: Progress, reason: StopReason, text: str, out: Path) -> None:
    """Turn a stop for too many faulty tasks into the error that it is; the run is saved by then."""
    if reason == "faulty":
        raise EnvError(
            f"{reached.quarantine.too_many(text)}; saved after {reached.meta_iter} meta-iterations: repair the "
            f"environment, or accept more of it: drml train --resume {out} --max-faulty-share 1"
        )


def _name(progress: Progress) -> str:
    return f"{progress.meta_iter:06d}"


def _tree(progress: Progress) -> Tree:
    return {"state": progress.state.tree(), "sampler": progress.sampler, "best_params": dict(progress.best_params)}


def _save(log: RunLog, setup: Setup, trainer: Trainer, progress: Progress, out: Path) -> None:
    log.flush()
    facts = {name: getattr(progress, name) for name in COUNTERS} | {"phases": dict(trainer.collect.phases.seconds)}
    facts["best_return"] = None if progress.best_meta_iter == 0 else progress.best_return
    facts |= {"suite": setup.config.suite, "learner": setup.config.learner, "quarantine": progress.quarantine.facts()}
    checkpoint.save(out / CHECKPOINTS, _name(progress), _tree(progress), facts)
    checkpoint.prune(out / CHECKPOINTS, keep=2, keep_names=set())


def _load(path: Path, like: Progress, config: RunConfig) -> tuple[Progress, dict[str, float]]:
    """Return the progress and the seconds by phase that a checkpoint holds."""
    tree, facts = checkpoint.load(path, _tree(like))
    for key in ("suite", "learner"):
        if facts[key] != getattr(config, key):
            raise CheckpointError(f"{path} belongs to {key} '{facts[key]}', not '{getattr(config, key)}'")
    state = cast(dict[str, Tree], tree["state"])
    counters = {name: facts[name] for name in COUNTERS if facts[name] is not None}
    progress = Progress(
        LearnerState(cast(Params, state["params"]), state["optimiser"]),
        cast(Tree, tree["sampler"]),
        cast(Params, tree["best_params"]),
        quarantine=Quarantine.from_facts(facts["quarantine"]) if "quarantine" in facts else Quarantine(),
        **counters,
    )
    return progress, facts["phases"]


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
        raise CheckpointError(f"{run} has no checkpoint yet; train it with --resume {run}")
    state = setup.learner.init(Streams(config.seed)["init"])
    progress, phases = _load(found, Progress(state, StratifiedSampler().init(), state.params), config)
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
    _check_rollouts(trained.setup.suite.spec, num_tasks, copies, adapt_steps)
    rng = Streams(seed)["test", split]
    tasks, is_whole = tasks_to_test(trained.setup.suite.tasks, split, num_tasks, rng["tasks"])
    rounds = max(2, num_tasks // len(tasks)) if is_whole else 1
    met = tasks.repeated(rounds) if is_whole else tasks
    _check_rollouts(trained.setup.suite.spec, len(met), copies, adapt_steps)  # all there are may be more than asked
    collect = trained.setup.collector(copies, options, Phases())
    tested = meta_test(trained.setup.learner, trained.best, met, collect, rng, adapt_steps)
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
        "trained_adapt_steps": trained.setup.learner.adapt_steps,
        "best_meta_iter": progress.best_meta_iter,
        "meta_iter": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "phases": trained.phases,
    }
