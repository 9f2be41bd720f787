"""A run: a configuration and a seed in a directory of their own, which can be stopped, resumed and tested.

config.json      what was asked for          checkpoints/N/   what was reached after N meta-iterations
metrics.jsonl    what was measured           test.json        the adaptation curve of the best policy
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from drml.core.config import to_dict
from drml.core.errors import DrmlError, EnvError, InputError, NumericError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.shell import as_word
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress, StopReason
from drml.loop.rows import fault_texts
from drml.loop.train import meta_train
from drml.loop.trainer import Listener, Row, Trainer, init_progress
from drml.run import checkpoint, durable, rundir, saved
from drml.run.config import RunConfig, read_config
from drml.run.log import METRICS, RunLog, read_rows
from drml.run.measure import Trained, load, test
from drml.run.setup import Setup, set_up
from drml.tasks.samplers.registry import sampler_of

__all__ = [  # `from drml import session` is one name for all that is done with a run
    "RunConfig",
    "Setup",
    "Trained",
    "load",
    "make_trainer",
    "read_config",
    "resume",
    "set_up",
    "start",
    "test",
]


def _write_config(run: Path, setup: Setup) -> None:
    beside = {"versions": rundir.versions(), "tasks": setup.suite.facts()}
    beside[rundir.INTERFACE] = setup.suite.interface().facts()
    durable.write_json(run / rundir.CONFIG, to_dict(setup.config) | beside)


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
        found = checkpoint.newest(out / saved.CHECKPOINTS)
        progress = init_progress(trainer)
        progress = progress if found is None else saved.load(found, progress, saved.belongs_to(config))[0]
        rundir.check_tasks(out, setup.suite.facts(), setup.suite.interface().facts())
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
        sampler_of(setup.config.sampler),
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
            if not checkpoint.is_sound(out / saved.CHECKPOINTS / saved.name_of(reached)):
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
    facts = {**saved.belongs_to(setup.config), "phases": dict(trainer.collect.phases.seconds)}
    saved.save(out / saved.CHECKPOINTS, progress, facts)
    checkpoint.prune(out / saved.CHECKPOINTS, keep=2, keep_names=set())
