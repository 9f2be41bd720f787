"""Testing a run: the adaptation curve of what it has learned, on tasks that were held out."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.core.errors import CheckpointError, EnvError, InputError, ResourceError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.shell import as_word
from drml.core.tree import Params
from drml.envs.api import EnvOptions
from drml.loop.evaluate import meta_test
from drml.loop.progress import Progress
from drml.run import checkpoint, durable, rundir, saved
from drml.run.config import read_config
from drml.run.setup import Setup, set_up
from drml.tasks.distribution import Split
from drml.tasks.samplers.registry import sampler_of
from drml.tasks.samplers.tested import tasks_to_test


@dataclass(frozen=True)
class Trained:
    """Result of a run so far."""

    setup: Setup
    progress: Progress
    phases: dict[str, float]
    """Seconds by phase of the last stretch of training."""

    @property
    def best(self) -> Params:
        """Return what tasks share of the state that did best on validation tasks."""
        return self.progress.best_shared


def load(run: Path) -> Trained:
    """Return what the newest checkpoint of a run holds.

    Raises:
        InputError: if `run` is not a run directory.
        CheckpointError: if it has no checkpoint that can be loaded.
    """
    checkpoints = run.absolute() / saved.CHECKPOINTS
    config = read_config(run)
    setup = set_up(config)
    found = checkpoint.newest(checkpoints)
    if found is None:
        raise CheckpointError(f"{run} has no checkpoint yet; train it with --resume {as_word(run)}")
    rng = Streams(config.seed)
    state = setup.learner.init(rng["init"])
    sampler = sampler_of(config.sampler).init(setup.suite.tasks, rng["sampler"])
    like = Progress(state, sampler, state.shared)
    progress, phases = saved.load(found, like, saved.belongs_to(config))
    return Trained(setup, progress, phases)


def test(
    run: Path,
    adapt_steps: int = 3,
    num_tasks: int = 40,
    copies: int = 20,
    split: Split = "test",
    seed: int = 0,
    options: EnvOptions = EnvOptions(),  # noqa: B008 — frozen
    deterministic: bool = False,
) -> dict[str, Any]:
    """Return (and write to test.json) the adaptation curve of a run's best policy on held-out tasks.

    Films of the run are removed: they were of another test.

    Where a family holds none out, or the split has no more than `num_tasks`, all are met, in as many rounds as
    `num_tasks` allows and two at least: a round is a new adaptation, with `copies` episodes after each step.

    Actions are drawn from the policy. Where `deterministic`, each agent also plays as many episodes with its most
    likely actions, from which nothing is learned; the result has these under that name.

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
    suite = trained.setup.suite
    rundir.check_tasks(folder, suite.facts(), suite.interface().facts())
    if not os.access(folder, os.W_OK):
        raise ResourceError(f"{run} cannot be written to, and the result goes there; copy the run and test the copy")
    setup = trained.setup.with_room(adapt_steps)
    held = adapt_steps + deterministic  # rollouts that are held at a time, less one
    setup.check_fit(num_tasks, copies, held, learns=False)  # before so many tasks are drawn
    rng = Streams(seed)["test", split]
    tasks, is_whole = tasks_to_test(setup.suite.tasks, split, num_tasks, rng["tasks"])
    rounds = max(2, num_tasks // len(tasks)) if is_whole else 1
    met = tasks.repeated(rounds) if is_whole else tasks
    setup.check_fit(len(met), copies, held, learns=False)  # all there are may be more than asked
    collect = setup.collector(copies, options, Phases())
    said = trained.progress.says_success
    tested = meta_test(
        setup.learner, trained.best, met, collect, rng, adapt_steps, said=said, deterministic=deterministic
    )
    collect.close()
    unmeasured = tested.unmeasured(met)
    if not len(tested.tasks):
        raise EnvError(f"none of the {len(tasks)} tasks could be measured, the first one {unmeasured[0]['text']}")
    result = _facts(trained, split) | tested.facts(tasks, rounds) | {"faulty_tasks": unmeasured}
    rundir.drop_films(folder)
    durable.write_json(folder / "test.json", result)
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
