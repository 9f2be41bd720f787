"""`drml train`: meta-train a learner on a suite, or go on with a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, cast

import tyro

from drml.algos.normalised import NormaliseConfig
from drml.algos.registry import AnyPolicyConfig, learner_entry
from drml.cli.parse import parse, path_hint
from drml.cli.progress import ProgressLine
from drml.cli.stop import StopSignals
from drml.cli.terminal import check_json, check_threads, console, say
from drml.core.errors import InputError
from drml.core.shell import as_word
from drml.envs.api import EnvOptions, Isolation
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress, StopReason
from drml.loop.rows import SUCCESS
from drml.policies.made import ModuleConfig
from drml.run import durable, rundir, session
from drml.tasks.samplers.registry import SamplerConfig
from drml.use.notes import adaptation_step, notes_of
from drml.use.place import default_place
from drml.use.progress import ended_line

OWN_NETWORK = "--policy.make"
USAGE = """\
usage: drml train SUITE LEARNER [FLAGS]
       drml train --resume DIR [FLAGS]

Meta-train a learner on a suite, in a run directory of its own; or go on with a run that was stopped.
`drml list` shows suites and learners, `drml train SUITE LEARNER --help` the flags. A suite of your own is
PACKAGE.MODULE:NAME, found from the current directory; docs/bring-your-own.md shows how to write one."""


Config = TypeVar("Config")


@dataclass(frozen=True)
class NewArgs(Generic[Config]):
    """Meta-train a learner on a suite, in a run directory of its own."""

    learner: Config
    """Hyper-parameters of the learner."""
    policy: tyro.conf.AvoidSubcommands[AnyPolicyConfig]
    """The policy; --policy.make PACKAGE.MODULE:FUNCTION names a network of your own (not for rl2)."""
    train: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    """Sizes and stop rules; --tasks and --episodes are short for --num-tasks and --copies."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    """Rule by which training draws its tasks."""
    normalise: NormaliseConfig = field(default_factory=NormaliseConfig)
    """Observations in units of what training has seen."""
    seed: int = 0
    """Root of all random streams."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The run's directory, new or empty (default: runs/SUITE-LEARNER-sSEED, numbered if taken)."""
    threads: int = 0
    """Simulator threads; 0 takes all cores."""
    isolation: tyro.conf.OmitArgPrefixes[Isolation] = field(default_factory=Isolation)
    """Processes of their own for tasks."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the result to this file."""


@dataclass(frozen=True)
class ResumeArgs:
    """Go on with a run from its newest checkpoint."""

    resume: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The run's directory."""
    train: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    """Stop rules, which may change; sizes, which may not."""
    threads: int = 0
    """Simulator threads; 0 takes all cores."""
    isolation: tyro.conf.OmitArgPrefixes[Isolation] = field(default_factory=Isolation)
    """Processes of their own for tasks."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the result to this file."""


@dataclass(frozen=True)
class Outcome:
    """End of a training: its run, its progress, the reason."""

    run: Path
    progress: Progress
    reason: StopReason
    last_row: Mapping[str, object]
    exit_code: int
    """0, or the code of the signal that ended it."""


def run(words: list[str]) -> int:
    """Run the command."""
    names = list(takewhile(lambda word: not word.startswith("-"), words))
    flags = words[len(names) :]
    is_resumed = any(word.partition("=")[0] == "--resume" for word in flags)
    if {"-h", "--help"} & set(flags) and len(names) < 2 and not is_resumed:
        print(USAGE)
        return 0
    if len(names) != 2 and not (is_resumed and not names):
        raise InputError(f"drml train needs SUITE and LEARNER first, got {names or 'none'}; `drml list` shows them")
    return _resume(names, flags) if is_resumed else _start(names[0], names[1], flags)


def _start(suite_name: str, learner_name: str, flags: list[str]) -> int:
    entry = learner_entry(learner_name)
    brings_network = ModuleConfig in entry.policies and any(word.partition("=")[0] == OWN_NETWORK for word in flags)
    policy = ModuleConfig("package.module:function") if brings_network else entry.default_policy
    default = NewArgs(entry.default, policy)
    kind: type[NewArgs[Any]] = cast(Any, NewArgs)[entry.config_type]  # each learner has flags of its own
    args = parse(kind, f"drml train {suite_name} {learner_name}", flags, default)
    check_json(args.json)
    check_threads(args.threads)
    here = Path.cwd()  # paths are meant from here, wherever a suite of the user's goes
    json = None if args.json is None else here / args.json
    options = EnvOptions(threads=args.threads, isolation=args.isolation)
    config = session.RunConfig(
        suite_name, learner_name, args.learner, args.policy, args.train, args.seed, args.sampler, args.normalise
    )
    setup = session.set_up(config)  # complains before anything is written
    for line in [*notes_of(setup), adaptation_step(setup)]:
        say(line)
    if args.out is not None:
        return _finish(replace(start(config, here / args.out, options), run=args.out), config, json)
    with default_place(config, here) as out:
        outcome = start(config, out, options)
    return _finish(replace(outcome, run=out.relative_to(here)), config, json)


def _resume(names: list[str], flags: list[str]) -> int:
    out = _resumed_run(flags)
    config = session.read_config(out)
    if names and names != [config.suite, config.learner]:
        raise InputError(f"{out} is a run of {config.suite} {config.learner}, not of {' '.join(names)}")
    args = parse(ResumeArgs, "drml train", flags, ResumeArgs(out, config.train))
    check_json(args.json)
    check_threads(args.threads)
    json = None if args.json is None else args.json.absolute()
    options = EnvOptions(threads=args.threads, isolation=args.isolation)
    config = replace(config, train=args.train)
    for line in notes_of(session.set_up(config)):
        say(line)
    return _finish(resume(config, out, options), config, json)


def _resumed_run(flags: list[str]) -> Path:
    """Return the directory that the last `--resume` names; it is needed before the other flags can be read."""
    at = max(i for i, word in enumerate(flags) if word.partition("=")[0] == "--resume")
    _, is_joined, value = flags[at].partition("=")
    value = value if is_joined else "".join(flags[at + 1 : at + 2])
    if not value or (value.startswith("-") and not is_joined):
        raise InputError(f"drml train: --resume needs the directory of a run{path_hint([value])}")
    return Path(value)


def start(config: session.RunConfig, out: Path, options: EnvOptions) -> Outcome:
    """Meta-train in a new run directory, with live progress, until a stop rule or a signal ends it."""
    line = ProgressLine(config.train, console())
    with StopSignals() as stop, line:
        progress, reason = session.start(config, out, [line], options, stop)
    return Outcome(out, progress, reason, line.last_row, stop.exit_code)


def resume(config: session.RunConfig, out: Path, options: EnvOptions) -> Outcome:
    """Go on with a run, with live progress, until a stop rule or a signal ends it."""
    line = ProgressLine(config.train, console())
    with StopSignals() as stop, line:
        progress, reason = session.resume(out, [line], options, stop, config.train)
    return Outcome(out, progress, reason, line.last_row, stop.exit_code)


def _finish(outcome: Outcome, config: session.RunConfig, json: Path | None) -> int:
    if json:
        durable.write_json(json, _result(outcome, config))
    progress, run = outcome.progress, as_word(outcome.run)
    if outcome.reason == "interrupted":
        say(f"stopped and saved after {progress.meta_iter} meta-iterations; go on with:")
        say(f"  drml train --resume {run}")
        return outcome.exit_code
    say(f"{ended_line(progress, outcome.reason)}; look at it with:")
    say(f"  drml test {run} && drml report {run}")
    return 0


def _result(outcome: Outcome, config: session.RunConfig) -> dict[str, Any]:
    progress = outcome.progress
    return {
        "run": str(outcome.run),
        "suite": config.suite,
        "learner": config.learner,
        "seed": config.seed,
        "stop_reason": outcome.reason,
        "pre_return": outcome.last_row.get("pre_return"),
        "post_return": outcome.last_row.get("post_return"),
        **{name: outcome.last_row[name] for name in SUCCESS if name in outcome.last_row},
        "best_validation_return": progress.best_return,
        "best_meta_iter": progress.best_meta_iter,
        "meta_iters": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "env_steps_per_second": progress.env_steps / progress.seconds if progress.seconds else None,
        "versions": rundir.versions(),
    }
