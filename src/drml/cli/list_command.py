"""`drml list`: the suites and learners there are."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from drml.algos.registry import LEARNERS
from drml.cli.parse import parse
from drml.cli.terminal import check_json, show
from drml.core.config import to_dict
from drml.run.durable import write_json
from drml.suites.registry import FAMILIES, SUITES
from drml.tasks.samplers.registry import SAMPLERS


@dataclass(frozen=True)
class ListArgs:
    """Show the suites (families of tasks), learners and task samplers there are."""

    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the list, with sources and defaults, to this file."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(ListArgs, "drml list", words)
    check_json(args.json)
    listing = {"suites": _suites(), "learners": _learners(), "samplers": _samplers()}
    last_ones = {family[-1].name for family in FAMILIES[:-1]}
    suites = _table(listing["suites"], ("name", "horizon", "actions", "parameters", "summary"), last_ones)
    learners, samplers = (_table(listing[kind], ("name", "summary")) for kind in ("learners", "samplers"))
    show("Suites", suites, "\nLearners", learners, "\nTask samplers", samplers)
    if args.json:
        write_json(args.json, listing)
    return 0


def _suites() -> list[dict[str, Any]]:
    return [
        {
            "name": suite.name,
            "horizon": suite.spec.horizon,
            "obs_size": suite.spec.num_seen,
            "actions": f"{suite.spec.action.size} {suite.spec.action.kind}",
            "parameters": ", ".join(suite.tasks.params),
            "summary": suite.summary,
            "source": suite.source,
        }
        for suite in SUITES.values()
    ]


def _learners() -> list[dict[str, Any]]:
    return [
        {"name": name, "summary": entry.summary, "defaults": to_dict(entry.default)} for name, entry in LEARNERS.items()
    ]


def _samplers() -> list[dict[str, Any]]:
    return [{"name": name, "summary": entry.summary} for name, entry in SAMPLERS.items()]


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...], last_ones: Collection[str] = ()) -> Table:
    """Return the rows as a table, with a blank line after each of the last ones of a family."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column == "name", justify="right" if column == "horizon" else "left")
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
        if row["name"] in last_ones:
            table.add_row()
    return table
