"""`drml test`: adapt a run's best policy to held-out tasks and measure the return after each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from drml.cli.parse import parse
from drml.cli.terminal import check_json, check_threads, say, show
from drml.core.fault import label
from drml.envs.api import EnvOptions, Isolation
from drml.loop.stats import estimand
from drml.run import session
from drml.run.durable import write_json
from drml.tasks.distribution import Split
from drml.use.pages import check_can_film, film_tested

MAX_ROWS = 10


@dataclass(frozen=True)
class TestArgs:
    """Adapt a run's best policy to held-out tasks, and measure the return after each adaptation step."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    adapt_steps: int = 3
    """Adaptation steps; may be more than in training."""
    num_tasks: int = 40
    """Tasks to test on (short: --tasks); where there are no more, each is met in several rounds."""
    copies: int = 20
    """Episodes per task, round and step (short: --episodes); see the table for what each step really took."""
    split: Split = "test"
    """Tasks to draw: held-out ones (test), out of the training range (ood), or those of training and validation."""
    seed: int = 0
    """Root of the random streams of this test."""
    deterministic: bool = False
    """Also play each agent's most likely actions, in as many episodes again; nothing is learned from these."""
    film: int = 0
    """Film so many tasks of the split, before and after adaptation, for the report."""
    threads: int = 0
    """Simulator threads; 0 takes all cores."""
    isolation: tyro.conf.OmitArgPrefixes[Isolation] = field(default_factory=Isolation)
    """Processes of their own for tasks."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the result to this file; RUN/test.json holds it in any case."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(TestArgs, "drml test", words)
    check_json(args.json)
    check_threads(args.threads)
    check_can_film(args.film)
    folder = args.run.absolute()
    json = None if args.json is None else args.json.absolute()  # before a suite of the user's goes elsewhere
    result = session.test(
        args.run,
        args.adapt_steps,
        args.num_tasks,
        args.copies,
        args.split,
        args.seed,
        EnvOptions(threads=args.threads, isolation=args.isolation),
        args.deterministic,
    )
    show_curve(result)
    if json:
        write_json(json, result)
    if args.film:
        say(film_tested(folder, args.film, args.copies, args.split, args.seed))
    return 0


def show_curve(result: Mapping[str, Any]) -> None:
    """Print the return after each adaptation step, over all tasks and for the first few."""
    table = Table()
    table.add_column("tasks")
    for point in result["return_by_step"]:
        table.add_column(str(point["step"]), justify="right")
    points = result["return_by_step"]
    table.add_row("after episodes", *(f"{point['episodes']:,.5g}" for point in points))
    table.add_row("after env steps", *(f"{point['env_steps']:,.0f}" for point in points), end_section=True)
    _add_curve(table, result)
    for task in result["tasks"][:MAX_ROWS]:
        table.add_row(label(task["params"]), *_of_task(task))
    if beside := result.get("deterministic"):
        table.add_section()
        table.add_row("most likely actions", end_section=True)
        _add_curve(table, beside)
    title = f"{result['suite']}, {result['learner']}: return by number of adaptation steps"
    more = [f"and {num_more} more tasks"] if (num_more := len(result["tasks"]) - MAX_ROWS) > 0 else []
    trained = result["trained_adapt_steps"]
    steps = f"{trained} adaptation step{'' if trained == 1 else 's'}"
    beyond = [f"training took {steps}; points beyond show how far what was learned carries"]
    beyond = beyond if trained < result["adapt_steps"] else []
    success = "success: share of episodes that the environment calls one; in brackets, that at any step"
    explained = [success] if "success_any_by_step" in result else []
    missing = ["most likely actions: no task could be measured"] * ("deterministic" in result and not beside)
    faulty = [f"not measured: {task['text']}" for task in result["faulty_tasks"]]
    over = estimand(points[0]["over"], points[0]["count"])
    about = f"± 95 %: interval of the mean (Student's t) {over}; other seeds are not in it. IQM: interquartile mean"
    show(title, table, *more, about, *explained, *beyond, *missing, *faulty)


def _add_curve(table: Table, curve: Mapping[str, Any]) -> None:
    """Add the means over all tasks, of returns and of what successes there are."""
    points = curve["return_by_step"]
    table.add_row("mean", *(f"{point['mean']:.1f}" for point in points))
    table.add_row("± 95 %", *(_half_width(point["mean_half_width_95"]) for point in points))
    table.add_row("IQM", *(f"{point['iqm']:.1f}" for point in points), end_section=True)
    for kind, name in (("success, any step", "success_any_by_step"), ("success, last step", "success_last_by_step")):
        if name in curve:
            table.add_row(kind, *(f"{point['mean']:.1%}" for point in curve[name]))
            table.add_row("± 95 %", *(_half_width(point["mean_half_width_95"], ".1%") for point in curve[name]))
    table.add_section()


def _of_task(task: Mapping[str, Any]) -> list[str]:
    """Return a task's returns, with the shares of its episodes that had a success at any step."""
    returns = [f"{value:.1f}" for value in task["return_by_step"]]
    if "success_any_by_step" not in task:
        return returns
    shares = (f"{value:.0%}" for value in task["success_any_by_step"])
    return [f"{earned} ({share})" for earned, share in zip(returns, shares, strict=True)]


def _half_width(value: float | None, form: str = ".1f") -> str:
    return "unknown" if value is None else format(value, form)
