"""Reproducing a recipe: several seeds, each a run of its own, held against what was published and what we stored."""

import json
import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drml.core.config import to_dict
from drml.core.errors import CheckpointError, EnvError, InputError
from drml.core.fields import Fields
from drml.core.lookup import look_up
from drml.core.signals import leave_to_parent
from drml.envs.api import EnvOptions
from drml.recipes.catalog import RECIPES
from drml.recipes.judge import Part, by_seed, check_settings, part_of, summary
from drml.recipes.recipe import Recipe
from drml.run import rundir, session
from drml.run.log import read_rows
from drml.run.rundir import METRICS
from drml.suites.registry import suite

RESULTS = Path(__file__).parent / "results"
CURVE_POINTS = 40
RETURNS = ("pre_return", "post_return")


def reproduce(
    name: str,
    seeds: int,
    runs: Path,
    options: EnvOptions,
    tell: Callable[[str], None] = lambda _: None,
    jobs: int = 1,
    stop_requested: Callable[[], bool] = lambda: False,
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a recipe's result over seeds 1 … N and those of `base`; what was trained already is not trained again.

    Each seed is the run directory `runs/NAME-seedN`, and is resumed where it stopped. `jobs` seeds run side by side,
    each in a process and on a share of the cores of its own; they change no number. One that runs alone heeds
    `stop_requested`. The seeds of `base`, a result of the same recipe, need no run directory.

    Raises:
        InputError: if there is no such recipe, a run directory holds something else, or `base` is of another recipe.
        Stopped: if a stop was requested; what was trained is saved.
    """
    recipe = look_up("recipe", name, RECIPES)
    if seeds < 1 or jobs < 1:
        raise InputError(f"seeds is {seeds} and jobs is {jobs}, both must be 1 or more")
    parts = [] if base is None else _parts(base, name, recipe)
    have = {part["seed"] for part in parts}
    work = [(recipe, seed, runs / f"{name}-seed{seed}", options) for seed in range(1, seeds + 1) if seed not in have]
    for _, seed, run, _ in work:
        _check(recipe, seed, run)
    for (_, seed, run, _), result in zip(work, _each(work, min(jobs, len(work)), stop_requested), strict=True):
        for faulty in result["faulty_tasks"]:
            raise EnvError(
                f"{run}: a published number is over all tasks, and one could not be measured: {faulty['text']}"
            )
        tell(f"{run}: seed {seed} of {seeds} was trained and tested")
        parts.append(part_of(result, result["curve"]))
    return summary(name, recipe, sorted(parts, key=lambda part: part["seed"]))


def _parts(base: Mapping[str, Any], name: str, recipe: Recipe) -> list[Part]:
    if base["recipe"] != name:
        raise InputError(f"seeds of {name} cannot be added to a result of {base['recipe']}")
    check_settings(base, recipe)
    if len(base["return_by_step"]) != recipe.adapt_steps + 1:
        raise InputError(f"{name} is tested with {recipe.adapt_steps} adaptation steps, the given result with others")
    return by_seed(base)


Work = tuple[Recipe, int, Path, EnvOptions]


class Stopped(Exception):  # noqa: N818 — no error
    """A training was asked to stop, and is saved."""


def _each(work: Sequence[Work], jobs: int, stop_requested: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    if jobs <= 1:
        for one in work:
            yield _train_and_test(one, stop_requested)
        return
    threads = max(1, torch.get_num_threads() // jobs)
    work = [(recipe, seed, run, replace(o, threads=o.threads or threads)) for recipe, seed, run, o in work]
    spawn = multiprocessing.get_context("spawn")  # a forked process would take over this one's threads half-way
    with ProcessPoolExecutor(jobs, spawn, initializer=_begin_job, initargs=(threads,)) as pool:
        yield from pool.map(_train_and_test, work)


def _begin_job(threads: int) -> None:
    leave_to_parent()
    torch.set_num_threads(threads)


def _train_and_test(work: Work, stop_requested: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    recipe, seed, run, options = work
    _train(recipe, seed, run, options, stop_requested)
    if stop_requested():
        raise Stopped
    result = session.test(run, recipe.adapt_steps, recipe.test_tasks, recipe.test_copies, seed=seed, options=options)
    return {**result, "curve": learning_curve(read_rows(run))}


def learning_curve(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return training returns before and after adaptation, meaned over at most `CURVE_POINTS` stretches of training.

    A meta-iteration in which no task could be measured is in no mean; NaN where a stretch has none other.

    Raises:
        CheckpointError: if a number of a row is none.
    """
    train = [Fields(METRICS, row, CheckpointError) for row in rows if row["kind"] == "train"]
    stretches = [part for part in np.array_split(np.arange(len(train)), CURVE_POINTS) if len(part)]
    means = {key: [_mean([train[i].number(key) for i in part]) for part in stretches] for key in RETURNS}
    return {"env_steps": [train[part[-1]].count("env_steps") for part in stretches], **means}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(measured)) if (measured := [v for v in values if not math.isnan(v)]) else math.nan


def _check(recipe: Recipe, seed: int, run: Path) -> None:
    """Refuse, before anything is trained, a run directory that the recipe cannot go on with."""
    if not (run / rundir.CONFIG).exists():
        return
    config, found = replace(recipe.config, seed=seed), session.read_config(run)
    if to_dict(replace(found, train=config.train)) != to_dict(config):
        raise InputError(f"{run} was trained with other settings than the recipe's; name another --runs, or remove it")
    found.train.with_stop_rules_of(config.train)


def _train(recipe: Recipe, seed: int, run: Path, options: EnvOptions, stop_requested: Callable[[], bool]) -> None:
    if (run / rundir.CONFIG).exists():  # the budget may have grown
        session.resume(run, options=options, stop_requested=stop_requested, train=recipe.config.train)
    else:
        session.start(replace(recipe.config, seed=seed), run, options=options, stop_requested=stop_requested)


def stored_result(name: str) -> dict[str, Any] | None:
    """Return the result of a recipe that is kept with the package, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def budget(recipe: Recipe) -> int:
    """Return the environment steps that training one seed takes."""
    train, chosen = recipe.config.train, session.set_up(recipe.config)
    phases = chosen.learner.adapt_steps + 1
    return train.meta_iters * train.num_tasks * train.copies * phases * suite(recipe.config.suite).spec.horizon
