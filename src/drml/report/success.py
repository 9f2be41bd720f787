"""The section of successes: shares of episodes that the environments call one, in a test and as training goes on."""

import math
from collections.abc import Mapping

from drml.report.figures import Drawing
from drml.report.markup import decimal, number, share, table
from drml.report.parts import plotted, section
from drml.report.record import RunRecord, StepReturn, Successes

LEAD = (
    "Share of episodes that the environment calls a success: at any step of an episode, and at its last. Actions are "
    "drawn from the policy, or the most likely ones are taken; intervals are made as those of returns are."
)
COLUMNS = ("success at any step", "at the last step")
KEY = (
    ("pre", "before adaptation"),
    ("post", "after adaptation"),
    ("dot", "validation tasks, after adaptation"),
    ("ring", "best policy"),
)


def success(run: RunRecord, drawings: Mapping[str, Drawing]) -> str:
    """Return the section; '' where nothing but returns of drawn actions was measured."""
    found = run.evaluation
    ways = {} if found is None else {"drawn": found.drawn, "most likely": found.deterministic}
    played = {name: way for name, way in ways.items() if way is not None}
    said = "success" in drawings or any(way.any for way in played.values())
    head = [("name", "actions"), ("", "steps"), ("", "return"), *(("", words) for words in COLUMNS if said)]
    rows = [row for name, way in played.items() for row in _rows(name, way, said)]
    body = f'<div class="card table">{table(head, rows)}</div>' if rows else ""
    if "success" in drawings:
        body = plotted(drawings["success"], "Share of training episodes with success at any step", KEY) + body
    return section(*(("Success", LEAD) if said else ("Most likely actions", "")), body) if body else ""


def _rows(actions: str, way: Successes, said: bool) -> list[list[str]]:
    shares = [[_share(point) for point in points] for points in zip(way.any, way.last, strict=True)]
    shares = shares or [[""] * len(COLUMNS) * said] * len(way.returns)
    return [
        [actions, str(earned.step), _with_width(number(earned.mean), decimal(earned.half_width), earned), *cells]
        for earned, cells in zip(way.returns, shares, strict=True)
    ]


def _share(point: StepReturn) -> str:
    return _with_width(share(point.mean, 1.0), share(point.half_width, 1.0), point)


def _with_width(mean: str, width: str, point: StepReturn) -> str:
    """Return a mean with its interval, where there is one."""
    return f'{mean} <span class="spread">± {width}</span>' if math.isfinite(point.half_width) else mean
