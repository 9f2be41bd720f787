"""Judging: what the tests of several seeds say together, and whether that reaches what a recipe is held against.

A result holds each seed's own numbers, so it can be judged again, and joined by seeds that were trained later or
elsewhere, without training the old ones. Its intervals are over seeds. One seed says nothing of others: there they are
over the tasks or the episodes of its test, are called that, and where not even those are known nothing is decided.

A published number is reached where the upper end of the 95 % interval is not below it; a share of an exact optimum,
which is no estimate, where the lower end is not; a gain where the lower end is above what it is to exceed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.core.config import to_dict
from drml.core.errors import InputError
from drml.core.lookup import look_up
from drml.loop.stats import Measured, over_seeds
from drml.recipes.catalog import RECIPES
from drml.recipes.recipe import Recipe
from drml.run import rundir

Part = Mapping[str, Any]
"""Result of one seed: its test, its learning curve, its costs and the versions that it was trained with."""
TAKEN = {"episodes_by_seed": "episodes", "env_steps_by_seed": "env_steps"}
"""Columns of what one agent took before a point, and the keys of tests that say it."""
SUCCESS = ("success_any_by_step", "success_last_by_step")
"""Keys of the shares of episodes with success, where the environments say what one is."""
COLUMNS = {"mean_by_seed": "mean", "iqm_by_seed": "iqm", "half_width_95_by_seed": "mean_half_width_95"}


@dataclass(frozen=True)
class Bars:
    """Bars that a kind of return is held against."""

    published: float | None = None
    at_least: float | None = None
    above: float | None = None


def part_of(test: Mapping[str, Any], curve: Mapping[str, Any]) -> Part:
    """Return what one seed gave, from its test."""
    kept = ("seed", "return_by_step", "gain", "trial_return", "env_steps", "seconds")
    success = {key: test[key] for key in SUCCESS if key in test}
    return {**{key: test[key] for key in kept}, **success, "curve": curve, "versions": rundir.versions()}


def summary(name: str, recipe: Recipe, parts: Sequence[Part]) -> dict[str, Any]:
    """Return what several seeds say together, per adaptation step, of the gain and of whole trials."""
    first = parts[0]["return_by_step"]
    said = [key for key in SUCCESS if all(key in part for part in parts)]  # tests of older versions do not count them
    trial = Bars(recipe.published_trial, recipe.at_least_trial)
    has_gain = all(part["gain"] is not None for part in parts)
    return {
        "recipe": name,
        "source": recipe.source,
        "config": _plain(recipe),
        "seeds": [part["seed"] for part in parts],
        "one_seed": {key: first[0][key] for key in ("over", "count")},
        "return_by_step": [
            {"step": step, **_point([part["return_by_step"][step] for part in parts], _bars(recipe, step))}
            for step in range(len(first))
        ],
        **{key: [{"step": s, **_point([p[key][s] for p in parts], Bars())} for s in range(len(first))] for key in said},
        "gain": _point([part["gain"] for part in parts], Bars(above=recipe.gain_above)) if has_gain else None,
        "trial_return": None if trial == Bars() else _point([part["trial_return"] for part in parts], trial),
        "references": dict(recipe.references),
        "curve_by_seed": [part["curve"] for part in parts],
        "env_steps": [part["env_steps"] for part in parts],
        "seconds": [part["seconds"] for part in parts],
        "versions_by_seed": [part["versions"] for part in parts],
    }


def _bars(recipe: Recipe, step: int) -> Bars:
    published, at_least = dict(enumerate(recipe.published)), dict(enumerate(recipe.at_least))
    return Bars(published.get(step), at_least.get(step))


def _point(ones: Sequence[Mapping[str, Any]], bars: Bars) -> dict[str, Any]:
    """Return the numbers of one kind of return from those of each seed."""
    by_seed = {column: [one[key] for one in ones] for column, key in COLUMNS.items()}
    taken = {column: [one.get(key) for one in ones] for column, key in TAKEN.items() if any(key in one for one in ones)}
    if len(ones) > 1:
        found = over_seeds(by_seed["mean_by_seed"], by_seed["iqm_by_seed"])
    else:
        (one,) = ones
        found = Measured(one["mean"], one["mean_half_width_95"], one["over"], one["count"], one["iqm"])
    costs = {TAKEN[column]: _mean_of_known(values) for column, values in taken.items()}
    return {**found.facts(), **vars(bars), "reached": reached(found, bars), **costs, **by_seed, **taken}


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def reached(found: Measured, bars: Bars) -> bool | None:
    """Return whether a mean reaches all that it is held against; None where there is nothing, or no interval.

    Seeds that all gave the same number have no spread to make an interval of; what they all gave is what counts.
    """
    width = 0.0 if found.half_width is None and found.over == "seeds" else found.half_width
    if width is None or bars == Bars():
        return None
    low, high = found.mean - width, found.mean + width
    return (
        (bars.published is None or high >= bars.published)
        and (bars.at_least is None or low >= bars.at_least)
        and (bars.above is None or low > bars.above)
    )


def by_seed(result: Mapping[str, Any]) -> list[Part]:
    """Return what each seed of a result gave: the inverse of `summary`."""
    return [
        {
            "seed": seed,
            **{
                key: [_one(result, point, i) for point in result[key]]
                for key in ("return_by_step", *SUCCESS)
                if key in result
            },
            "gain": result["gain"] and _one(result, result["gain"], i),
            "trial_return": result["trial_return"] and _one(result, result["trial_return"], i),
            "curve": result["curve_by_seed"][i],
            "env_steps": result["env_steps"][i],
            "seconds": result["seconds"][i],
            "versions": result["versions_by_seed"][i],
        }
        for i, seed in enumerate(result["seeds"])
    ]


def _one(result: Mapping[str, Any], point: Mapping[str, Any], i: int) -> dict[str, Any]:
    kept = {**COLUMNS, **{column: key for column, key in TAKEN.items() if column in point}}
    return {**result["one_seed"], **{key: point[column][i] for column, key in kept.items()}}


def judged(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result with intervals and verdicts as its recipe's seeds give them; settings stay as they were.

    Raises:
        InputError: if there is no such recipe, or it has other settings than the result was made with.
    """
    recipe = look_up("recipe", result["recipe"], RECIPES)
    check_settings(result, recipe)
    return {**summary(result["recipe"], recipe, by_seed(result)), "config": result["config"]}


def check_settings(result: Mapping[str, Any], recipe: Recipe) -> None:
    """Check that a result was made with a recipe's settings; those younger than the result are not compared.

    Raises:
        InputError: names the first setting that differs.
    """
    if changed := _difference(result["config"], _plain(recipe), "config"):
        raise InputError(f"the result of {result['recipe']} was made with other settings than the recipe's: {changed}")


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's configuration as it is read from a file."""
    return json.loads(json.dumps(to_dict(recipe.config)))


def _difference(old: object, new: object, setting: str) -> str:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return "" if old == new else f"{setting} was {old!r} and is {new!r}"
    lost = [f"{setting}.{key} is no setting now" for key in old if key not in new]
    inside = (_difference(value, new[key], f"{setting}.{key}") for key, value in old.items() if key in new)
    return next((found for found in (*lost, *inside) if found), "")


def read_result(path: Path) -> dict[str, Any]:
    """Return a result from its file.

    Raises:
        InputError: if it cannot be read, or holds something else.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        look_up("recipe", result["recipe"], RECIPES)
        for part in by_seed(result):
            over_seeds([part["return_by_step"][0]["mean"]], [None])
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} is no result of `drml reproduce --json` of this version ({what})") from error
    return result
