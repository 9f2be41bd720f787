"""Test results of a run, in the few numbers that its agent keeps: the adaptation curve on tasks that were held out."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drml.core.errors import InputError
from drml.core.fields import Fields, read_json
from drml.core.plain_files import kind_of

TEST = "test.json"
_log = logging.getLogger(__name__)


def tested(run: Path, reached: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's test says of the agent that it `reached`; empty where it has none, or of another agent.

    Acting does not rest on it, so a damaged file is left out with a warning.
    """
    path = run / TEST
    if not kind_of(path):
        return {}
    try:
        facts = Fields(path, read_json(path))
        found = {"best_meta_iter": facts.count("best_meta_iter"), **_curve(facts)}
    except InputError as error:
        _log.warning("the agent is loaded without the result of its test: %s", error)
        return {}
    return found if found.pop("best_meta_iter") == reached["best_meta_iter"] else {}


def checked(facts: Fields) -> dict[str, Any]:
    """Return such a result that was kept, checked again."""
    return _curve(facts) if facts.values else {}


def _curve(facts: Fields) -> dict[str, Any]:
    points = facts.objects("return_by_step")
    if not points:
        raise facts.wrong("a list with at least one step", [], "return_by_step")
    return {
        "split": facts.text("split"),
        "return_by_step": [_point(point) for point in points],
    }


def _point(point: Fields) -> dict[str, Any]:
    numbers = ("mean", "mean_half_width_95", "episodes", "env_steps")
    found = {name: point.number(name) for name in numbers}
    known: dict[str, Any] = {name: value if value == value else None for name, value in found.items()}  # noqa: PLR0124
    over = point.text("over") if "over" in point.values else ""
    return {"step": point.count("step"), **known, "over": over, "count": point.count("count") if over else 0}
