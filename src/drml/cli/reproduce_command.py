"""`drml reproduce`: train a published recipe with several seeds and hold it against the published numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from drml.cli.parse import parse
from drml.cli.stop import StopSignals
from drml.cli.terminal import check_json, check_threads, say, show
from drml.core.errors import InputError
from drml.envs.api import EnvOptions
from drml.loop.stats import estimand
from drml.recipes.catalog import RECIPES
from drml.recipes.judge import SUCCESS, TAKEN, judged, read_result
from drml.recipes.reproduce import Stopped, budget, reproduce, stored_result
from drml.recipes.tables import WORDS, write_tables
from drml.run.durable import write_json

MAX_SEEDS = 1000
ABOUT = (
    "95 % intervals of the mean (Student's t) {over}{warning}; IQM: interquartile mean over tasks. 'reached': the "
    "upper end is not below what was published, the lower end not below what is asked"
)


@dataclass(frozen=True)
class ReproduceArgs:
    """Train a recipe with several seeds, test them, and hold the result against the published numbers.

    Instead, --list shows the recipes, --judge FILE judges results again, --tables PAGE writes tables of stored results.
    """

    name: tyro.conf.Positional[str]
    """The recipe; --list shows them."""
    seeds: int = 3
    """Train seeds 1 to N; a seed that was trained before is not trained again."""
    runs: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/recipes")
    """Folder of the seeds' run directories."""
    threads: int = 0
    """Simulator threads; 0 takes all cores."""
    jobs: int = 1
    """Seeds that run side by side, each on its share of the cores."""
    add_to: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Go on from this result: seeds that it holds are not trained, and those that are trained now are added to it."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the result to this file."""


@dataclass(frozen=True)
class JudgeArgs:
    """Judge results again from what each of their seeds gave, and write them back."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """Results that --json or --add-to wrote."""


@dataclass(frozen=True)
class TablesArgs:
    """Write the tables of stored results into a page, between the lines that mark their places."""

    page: tyro.conf.Positional[Path]
    """A Markdown file such as README.md."""


@dataclass(frozen=True)
class ListArgs:
    """Show the recipes with what they take and what they reached."""

    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the list to this file."""


def run(words: list[str]) -> int:
    """Run the command; the exit code is 0 whether or not the published numbers were reached."""
    for flag, (kind, act) in INSTEAD.items():
        if flag in words:
            return act(parse(kind, f"drml reproduce {flag}", [word for word in words if word != flag]))
    args = parse(ReproduceArgs, "drml reproduce", words)
    if args.seeds > MAX_SEEDS:
        raise InputError(f"--seeds is {args.seeds}, must be {MAX_SEEDS:,} or less")
    targets = [path for path in (args.add_to, args.json) if path]
    for path in targets:
        check_json(path)
    check_threads(args.threads)
    base = read_result(args.add_to) if args.add_to and args.add_to.exists() else None
    options = EnvOptions(threads=args.threads)
    with StopSignals(is_patient=args.jobs == 1) as stop:  # seeds side by side end at once: they go on from checkpoints
        try:
            result = reproduce(args.name, args.seeds, args.runs, options, say, args.jobs, stop, base)
        except Stopped:
            say("stopped and saved; go on with the same command")
            return stop.exit_code
    show_result(result, stored_result(args.name))
    for path in targets:
        write_json(path, result)
    return 0


def _tables(args: TablesArgs) -> int:
    write_tables(args.page)
    return 0


def _judge(args: JudgeArgs) -> int:
    for path in args.files:
        check_json(path)
    results = [judged(read_result(path)) for path in args.files]  # all of them, before any is written
    for path, result in zip(args.files, results, strict=True):
        show_result(result, None)
        write_json(path, result)
    return 0


def show_result(result: Mapping[str, Any], stored: Mapping[str, Any] | None) -> None:
    """Print the return after each adaptation step and of whole trials beside the published and the stored one."""
    table = Table()
    numbers = ("mean", "± 95 %", "IQM", "± 95 %", "published", "at least", "", "stored mean")
    for column in ("steps", "episodes", "env steps", *numbers):
        table.add_column(column, justify="right")
    points, kept = _points(result), _points(stored) if stored else {}
    for name, point in points.items():
        asked = "" if point["above"] is None else f"above {_number(point['above'])}"
        is_held = asked or point["published"] is not None or point["at_least"] is not None
        table.add_row(
            name,
            *(_taken(point.get(key)) for key in TAKEN.values()),
            *(_number(point[column]) for column in ("mean", "mean_half_width_95", "iqm", "iqm_half_width_95")),
            _number(point["published"]),
            asked or _number(point["at_least"]),
            WORDS[point["reached"]] if is_held else "",
            _number(kept[name]["mean"] if name in kept else None),
        )
    num_seeds, point = len(result["seeds"]), result["return_by_step"][0]
    over = estimand(point["over"], point["count"])
    warning = ": other seeds are not in them" if num_seeds == 1 else ""
    show(
        f"{result['recipe']}, {num_seeds} seed{'s' if num_seeds > 1 else ''}; {result['source']}",
        table,
        ABOUT.format(over=over, warning=warning),
    )
    if result["references"]:
        say("whole trials under other strategies: " + ", ".join(f"{n} {v:g}" for n, v in result["references"].items()))


def _points(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the rows of the table by name."""
    rows = {str(point["step"]): point for point in result["return_by_step"]}
    rows |= {"gain": result["gain"]} if result.get("gain") else {}
    for key, words in zip(SUCCESS, ("success at any step", "success at the last step"), strict=True):
        rows |= {f"{point['step']}, {words}": point for point in result.get(key, ())}
    return rows | {"trial": result["trial_return"]} if result["trial_return"] else rows


def _taken(value: float | None) -> str:
    return "" if value is None else f"{value:,.5g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _list(args: ListArgs) -> int:
    check_json(args.json)
    rows: list[dict[str, Any]] = []
    for name, recipe in RECIPES.items():
        stored = stored_result(name)
        minutes = None if stored is None else sum(stored["seconds"]) / len(stored["seconds"]) / 60.0
        rows.append(
            {"name": name, "env_steps_per_seed": budget(recipe), "minutes_per_seed": minutes, "source": recipe.source}
        )
    table = Table(box=None, pad_edge=False)
    for column in ("recipe", "env steps per seed", "minutes per seed", "source"):
        table.add_column(
            column, no_wrap=column == "recipe", justify="left" if column in ("recipe", "source") else "right"
        )
    for row in rows:
        took = "" if row["minutes_per_seed"] is None else f"{row['minutes_per_seed']:.0f}"
        table.add_row(row["name"], f"{row['env_steps_per_seed']:,}", took, row["source"])
    show(table)
    if args.json:
        write_json(args.json, {"recipes": rows})
    return 0


INSTEAD: Mapping[str, tuple[type[Any], Callable[[Any], int]]] = {
    "--list": (ListArgs, _list),
    "--judge": (JudgeArgs, _judge),
    "--tables": (TablesArgs, _tables),
}
