"""Reproducing a recipe: several seeds, each a run of its own, held against what was published and what we stored.

A published number is reached where the upper end of our 95 % interval over seeds is not below it; a share of an exact
optimum, which is no estimate, where the lower end is not. Three seeds make a wide interval, and the table shows it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drml import rundir, session
from drml.core.config import to_dict
from drml.core.errors import EnvError, InputError
from drml.core.lookup import look_up
from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.envs.registry import suite
from drml.recipes.catalog import RECIPES, Recipe
from drml.stats import stratified_bootstrap

RESULTS = Path(__file__).parent / "results"


def reproduce(
    name: str, seeds: int, runs: Path, options: EnvOptions, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return a recipe's result over seeds 1 … N; seeds that were trained already are not trained again.

    Each seed is the run directory `runs/NAME-seedN`, and is resumed where it stopped.

    Raises:
        InputError: if there is no such recipe, or a run directory holds something else.
    """
    recipe = look_up("recipe", name, RECIPES)
    if seeds < 1:
        raise InputError(f"seeds is {seeds}, must be 1 or more")
    results: list[dict[str, Any]] = []
    for seed in range(1, seeds + 1):
        run = runs / f"{name}-seed{seed}"
        tell(f"{run}: seed {seed} of {seeds}")
        _train(recipe, seed, run, options)
        results.append(
            session.test(run, recipe.adapt_steps, recipe.test_tasks, recipe.test_copies, seed=seed, options=options)
        )
        for faulty in results[-1]["faulty_tasks"]:
            raise EnvError(
                f"{run}: a published number is over all tasks, and one could not be measured: {faulty['text']}"
            )
    return summary(name, recipe, results)


def _train(recipe: Recipe, seed: int, run: Path, options: EnvOptions) -> None:
    config = replace(recipe.config, seed=seed)
    if not (run / session.CONFIG).exists():
        session.start(config, run, options=options)
        return
    if to_dict(replace(session.read_config(run), train=config.train)) != to_dict(config):
        raise InputError(f"{run} was trained with other settings than the recipe's; name another --runs, or remove it")
    session.resume(run, options=options, train=config.train)  # the budget may have grown; refuses other sizes


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
            {"step": step, **_point(name, step, scores[:, :, step], published.get(step), at_least.get(step))}
            for step in range(scores.shape[2])
        ],
        "trial_return": None if trial == (None, None) else _point(name, "trial", scores.sum(2), *trial),
        "references": dict(recipe.references),
        "env_steps": [result["env_steps"] for result in results],
        "seconds": [result["seconds"] for result in results],
        "versions": rundir.versions(),
    }


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
