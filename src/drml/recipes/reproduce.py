"""Reproducing a recipe: several seeds, each a run of its own, held against what was published and what we stored.

A published number is reached where the upper end of our 95 % interval over seeds is not below it; a share of an exact
optimum, which is no estimate, where the lower end is not. Three seeds make a wide interval, and the table shows it.
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drml import rundir, session
from drml.core.config import to_dict
from drml.core.errors import EnvError, InputError
from drml.core.lookup import look_up
from drml.core.rng import Streams
from drml.core.signals import leave_to_parent
from drml.envs.api import EnvOptions
from drml.envs.registry import suite
from drml.recipes.catalog import RECIPES
from drml.recipes.recipe import Recipe
from drml.runlog import read_rows
from drml.stats import stratified_bootstrap

RESULTS = Path(__file__).parent / "results"
TAKEN = ("episodes", "env_steps")  # of what a test counts by step
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
) -> dict[str, Any]:
    """Return a recipe's result over seeds 1 … N; seeds that were trained already are not trained again.

    Each seed is the run directory `runs/NAME-seedN`, and is resumed where it stopped. `jobs` seeds run side by side,
    each in a process and on a share of the cores of its own; they change no number. One that runs alone heeds
    `stop_requested`.

    Raises:
        InputError: if there is no such recipe, or a run directory holds something else.
        Stopped: if a stop was requested; what was trained is saved.
    """
    recipe = look_up("recipe", name, RECIPES)
    if seeds < 1 or jobs < 1:
        raise InputError(f"seeds is {seeds} and jobs is {jobs}, both must be 1 or more")
    work = [(recipe, seed, runs / f"{name}-seed{seed}", options) for seed in range(1, seeds + 1)]
    for _, seed, run, _ in work:
        _check(recipe, seed, run)
    results: list[dict[str, Any]] = []
    for (_, seed, run, _), result in zip(work, _each(work, min(jobs, seeds), stop_requested), strict=True):
        for faulty in result["faulty_tasks"]:
            raise EnvError(
                f"{run}: a published number is over all tasks, and one could not be measured: {faulty['text']}"
            )
        tell(f"{run}: seed {seed} of {seeds} was trained and tested")
        results.append(result)
    return summary(name, recipe, results)


Work = tuple[Recipe, int, Path, EnvOptions]


class Stopped(Exception):  # noqa: N818 — no error
    """A training was asked to stop, and is saved."""


def _each(work: Sequence[Work], jobs: int, stop_requested: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    if jobs == 1:
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
    """Return training returns before and after adaptation, meaned over at most `CURVE_POINTS` stretches of training."""
    train = [row for row in rows if row["kind"] == "train"]
    stretches = [part for part in np.array_split(np.arange(len(train)), CURVE_POINTS) if len(part)]
    means = {key: [float(np.mean([train[i][key] for i in part])) for part in stretches] for key in RETURNS}
    return {"env_steps": [train[part[-1]]["env_steps"] for part in stretches], **means}


def _check(recipe: Recipe, seed: int, run: Path) -> None:
    """Refuse, before anything is trained, a run directory that the recipe cannot go on with."""
    if not (run / session.CONFIG).exists():
        return
    config, found = replace(recipe.config, seed=seed), session.read_config(run)
    if to_dict(replace(found, train=config.train)) != to_dict(config):
        raise InputError(f"{run} was trained with other settings than the recipe's; name another --runs, or remove it")
    found.train.with_stop_rules_of(config.train)


def _train(recipe: Recipe, seed: int, run: Path, options: EnvOptions, stop_requested: Callable[[], bool]) -> None:
    if (run / session.CONFIG).exists():  # the budget may have grown
        session.resume(run, options=options, stop_requested=stop_requested, train=recipe.config.train)
    else:
        session.start(replace(recipe.config, seed=seed), run, options=options, stop_requested=stop_requested)


def summary(name: str, recipe: Recipe, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what tests of several seeds say together, per adaptation step and on whole trials."""
    scores = np.array([[task["return_by_step"] for task in result["tasks"]] for result in results])  # [seeds, tasks, S]
    published, at_least = dict(enumerate(recipe.published)), dict(enumerate(recipe.at_least))
    trial = recipe.published_trial, recipe.at_least_trial
    return {
        "recipe": name,
        "source": recipe.source,
        "config": to_dict(recipe.config),
        "seeds": [result["seed"] for result in results],
        "return_by_step": [
            {
                "step": step,
                **_point(name, step, scores[:, :, step], published.get(step), at_least.get(step)),
                **_taken(results, step),
            }
            for step in range(scores.shape[2])
        ],
        "gain": _gain(name, scores, recipe.gain_above),
        "trial_return": None if trial == (None, None) else _point(name, "trial", scores.sum(2), *trial),
        "references": dict(recipe.references),
        "curve_by_seed": [result["curve"] for result in results],
        "env_steps": [result["env_steps"] for result in results],
        "seconds": [result["seconds"] for result in results],
        "versions": rundir.versions(),
    }


def _taken(results: Sequence[Mapping[str, Any]], step: int) -> dict[str, float]:
    """Return the episodes and environment steps that one agent took before a point, the mean over tasks and seeds."""
    tasks = [task for result in results for task in result["tasks"]]
    said = [kind for kind in TAKEN if all(f"{kind}_by_step" in task for task in tasks)]  # not by older versions
    return {kind: float(np.mean([task[f"{kind}_by_step"][step] for task in tasks])) for kind in said}


def _gain(name: str, scores: np.ndarray, above: float | None) -> dict[str, Any] | None:
    """Return what adaptation gains, last step over none, task by task, from returns `[seeds, tasks, steps]`."""
    if scores.shape[2] == 1:
        return None
    point = _point(name, "gain", scores[:, :, -1] - scores[:, :, 0], None, None)
    return point | {"reached": None if above is None else bool(point["low"] > above)}


def _point(
    name: str, what: int | str, scores: np.ndarray, published: float | None, at_least: float | None
) -> dict[str, Any]:
    """Return the numbers of one kind of return from `[seeds, tasks]` of it."""
    interval = stratified_bootstrap(scores, rng=Streams(0)["recipe", name, what])
    by_seed = scores.mean(1)
    mean, half = float(by_seed.mean()), None
    if len(by_seed) > 1:
        half = 1.96 * float(by_seed.std(ddof=1)) / len(by_seed) ** 0.5
    met: list[bool] = []
    if published is not None:
        met.append(mean + (half or 0.0) >= published)
    if at_least is not None:
        met.append(mean - (half or 0.0) >= at_least)
    return {
        "mean": mean,
        "mean_half_width_95": half,
        "iqm": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "published": published,
        "at_least": at_least,
        "reached": all(met) if met else None,
        "mean_by_seed": by_seed.tolist(),
    }


def stored_result(name: str) -> dict[str, Any] | None:
    """Return the result of a recipe that is kept with the package, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def budget(recipe: Recipe) -> int:
    """Return the environment steps that training one seed takes."""
    train, chosen = recipe.config.train, session.set_up(recipe.config)
    phases = chosen.learner.adapt_steps + 1
    return train.meta_iters * train.num_tasks * train.copies * phases * suite(recipe.config.suite).spec.horizon
