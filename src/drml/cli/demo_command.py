"""`drml demo`: the main job, from nothing to a page: a half-cheetah that runs the asked-for way after one step."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from drml.algos.gradient.promp import ProMPConfig
from drml.cli import train_command
from drml.cli.parse import parse
from drml.cli.terminal import check_json, check_threads, say
from drml.cli.test_command import show_curve
from drml.core.errors import DrmlError, InputError
from drml.core.fault import label
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.run import durable, rundir, session
from drml.use.pages import check_can_draw, write_page

SUITE, LEARNER = "half-cheetah-dir-promp-v1", "promp"
SUMMARY = "summary.json"
TRAIN = TrainConfig(meta_iters=70, max_seconds=300.0, validate_every=5)
ADAPT_STEPS = 3
TEST_TASKS = 10  # both directions in five rounds


@dataclass(frozen=True)
class DemoArgs:
    """Meta-train ProMP on half-cheetah direction, test it on both directions, film it and write the report."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/demo")
    """The run's directory; an unfinished demo there goes on, a finished one makes room (DIR-1, DIR-2, …)."""
    train: tyro.conf.OmitArgPrefixes[TrainConfig] = TRAIN
    """Sizes and stop rules; 50 meta-iterations are enough for a return above 100 after one adaptation step."""
    seed: int = 1
    """Root of all random streams."""
    threads: int = 0
    """Simulator threads; 0 takes all cores."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the summary to this file; DIR/summary.json holds it in any case."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(DemoArgs, "drml demo", words)
    check_json(args.json)
    check_threads(args.threads)
    check_can_draw()
    options = EnvOptions(threads=args.threads)
    config = session.RunConfig(SUITE, LEARNER, ProMPConfig(), train=args.train, seed=args.seed)
    outcome = _train(config, args.out, options)
    if outcome.exit_code:
        say(f"stopped and saved after {outcome.progress.meta_iter} meta-iterations; go on with the same command")
        return outcome.exit_code
    result = session.test(args.out, ADAPT_STEPS, TEST_TASKS, seed=args.seed, options=options)
    page = write_page(args.out, film=True)
    summary = _summary(result, page)
    durable.write_json(args.out / SUMMARY, summary)
    if args.json:
        durable.write_json(args.json, summary)
    show_curve(result)
    say(
        f"\nreturn {summary['pre_return']:.1f} before and {summary['post_return']:.1f} after one adaptation step, "
        f"learned from {summary['env_steps']:,} env steps in {summary['seconds']:.0f} s\nreport: {page}"
    )
    return 0


def _train(config: session.RunConfig, out: Path, options: EnvOptions) -> train_command.Outcome:
    """Go on with an unfinished demo of the same configuration, else start a new one and keep the older."""
    if not (out / rundir.CONFIG).exists():
        return train_command.start(config, out, options)
    if not (out / SUMMARY).exists() and session.read_config(out) == config:
        say(f"going on with the demo in {out}")
        return train_command.resume(config, out, options)
    kept = set_aside(out)
    try:
        outcome = train_command.start(config, out, options)
    except DrmlError:
        if not out.exists():  # it was refused
            kept.rename(out)
        raise
    say(f"the older demo is now in {kept}")
    return outcome


def set_aside(out: Path) -> Path:
    """Rename a run's directory to the first free of `out-1`, `out-2`, … and return its new path.

    Raises:
        InputError: if the run is in use.
    """
    with rundir.lock(out):
        for number in itertools.count(1):
            kept = out.with_name(f"{out.name}-{number}")
            if not kept.exists():
                return out.rename(kept)
    raise InputError(f"{out} cannot be set aside")


def _summary(result: dict[str, Any], page: Path) -> dict[str, Any]:
    before, after = result["return_by_step"][:2]
    return {
        "suite": result["suite"],
        "learner": result["learner"],
        "seed": result["seed"],
        "pre_return": before["mean"],
        "post_return": after["mean"],
        "post_return_by_task": {label(task["params"]): task["return_by_step"][1] for task in result["tasks"]},
        "return_by_step": result["return_by_step"],
        "meta_iters": result["meta_iter"],
        "env_steps": result["env_steps"],
        "seconds": result["seconds"],
        "report": str(page),
        "versions": rundir.versions(),
    }
