"""`drml check`: try a family of tasks the way a meta-learner will, before one does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table
from rich.text import Text

from drml.check.checks import Report, check_tasks
from drml.check.finding import Finding
from drml.cli.parse import parse
from drml.cli.terminal import check_json, say, show
from drml.core.errors import EnvError, InputError
from drml.core.fault import label
from drml.run.durable import write_json

COLOURS = {"ok": "green", "warning": "yellow", "fault": "bold red", "skipped": "dim"}


@dataclass(frozen=True)
class CheckArgs:
    """Try a family of tasks the way a meta-learner will, and say what would break the learning."""

    tasks: tyro.conf.Positional[str]
    """A suite, or package.module:attribute: a family of tasks, or what makes one environment."""
    num_tasks: int = 4
    """Tasks to draw (short: --tasks); for each parameter one more is tried that differs in it alone."""
    steps: int = 500
    """Steps of each of some thirty recordings; half of it is the longest episode that is looked at."""
    timeout: float = 10.0
    """Seconds that one call of an environment may take."""
    max_seconds: float = 900.0
    """Seconds that all of it may take; what was not tried by then is skipped."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the findings to this file."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(CheckArgs, "drml check", words)
    _check_sizes(args)
    check_json(args.json)
    report = check_tasks(args.tasks, args.num_tasks, args.steps, args.timeout, args.max_seconds, say)
    show(_table(report), *_ending(report, args.max_seconds))
    if args.json:
        write_json(args.json, _as_json(args, report))
    return EnvError.exit_code if report.num_faults else 0


def _check_sizes(args: CheckArgs) -> None:
    """Refuse what would be recorded without end, or waited for."""
    sizes = (("steps", args.steps, 100_000), ("tasks", args.num_tasks, 1000), ("timeout", args.timeout, 86_400))
    for flag, value, most in sizes:
        if value > most:
            raise InputError(f"--{flag} is {value:g}, must be {most:,} or less")


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("check", "verdict", "what was seen", "line to fix"):
        table.add_column(column, no_wrap=column in ("check", "verdict"))
    for finding in report.findings:
        seen = [
            finding.seen,
            *([_where(report, finding)] if finding.at else []),
            *([f"→ {finding.mend}"] * bool(finding.mend)),
        ]
        verdict = Text(finding.verdict, style=COLOURS[finding.verdict])
        table.add_row(finding.check, verdict, "\n".join(line for line in seen if line), finding.line)
    return table


def _where(report: Report, finding: Finding) -> str:
    """Return where it was seen, such as `in step 12 of episode 0, task 1 (goal=0.3), seed 0, actions: held`."""
    at = finding.at
    if at is None:
        return ""
    call = {"step": f"step {at.step} of episode {at.episode}", "reset": f"reset of episode {at.episode}"}
    params = _params(report, at.plan.task)
    task = f", task {at.plan.task} ({label(params)})" if params else ""
    return f"in {call.get(at.call, at.call)}{task}, seed {at.plan.seed}, actions: {at.plan.style}"


def _params(report: Report, task: int) -> dict[str, Any]:
    return {name: value.tolist() for name, value in report.evidence.tasks[task].items()}


def _ending(report: Report, max_seconds: float) -> list[str]:
    counts = {verdict: sum(f.verdict == verdict for f in report.findings) for verdict in COLOURS}
    tasks = f"{len(report.evidence.tasks)} tasks, " if report.evidence.has_tasks else ""
    steps = sum(map(len, report.evidence.recordings.values()))
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    cut = (
        f" It was cut off after {max_seconds:g} s with {len(report.evidence.recordings)} recordings made: more "
        "--max-seconds or fewer --steps try the rest."
    )
    return [f"\n{tasks}{steps:,} calls: {said}. docs/check.md explains each check.{cut * report.evidence.cut}"]


def _as_json(args: CheckArgs, report: Report) -> dict[str, Any]:
    return {
        "tasks": args.tasks,
        "num_faults": report.num_faults,
        "params": [_params(report, task) for task in range(len(report.evidence.tasks))],
        "findings": [_finding_as_json(finding) for finding in report.findings],
    }


def _finding_as_json(finding: Finding) -> dict[str, Any]:
    at = finding.at
    call = {} if at is None else {
        "call": at.call, "task": at.plan.task, "seed": at.plan.seed, "actions": at.plan.style,
        "episode": at.episode, "step": at.step,
    }  # fmt: skip
    said = {"check": finding.check, "verdict": finding.verdict, "seen": finding.seen}
    return {**said, "at": call or None, "mend": finding.mend, "place": finding.line}
