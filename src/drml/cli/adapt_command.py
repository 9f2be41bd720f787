"""`drml adapt`: adapt what was learned to an environment of the user's own, and keep the adapted agent."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from drml.act.adapting import Plan
from drml.act.loading import load_meta
from drml.cli.main import print_warnings
from drml.cli.parse import parse
from drml.cli.terminal import check_folder, check_json, say, show
from drml.core.blame import foreign
from drml.core.errors import EnvError
from drml.gym.made import made, task_of
from drml.run.durable import write_json
from drml.use.pages import can_draw


@dataclass(frozen=True)
class AdaptArgs:
    """Adapt what was learned to an environment of your own, and show how the return grows with each step."""

    run: tyro.conf.Positional[Path]
    """A run's directory, a checkpoint of it, or a saved agent."""
    env: tyro.conf.Positional[str]
    """package.module:make_env, a function that returns a gymnasium Env, or, of num_envs, a VectorEnv; or a family."""
    episodes: int = 20
    """Episodes before each adaptation step and after the last; a memory plays as many trials of steps + 1 episodes."""
    steps: int = 1
    """Adaptation steps."""
    copies: int = 0
    """Copies of the environment that act at once; 0 takes one, or of a vector environment as many as episodes."""
    task: tuple[str, ...] = ()
    """Parameters of the task, where ENV is a family: name=value …"""
    seed: int = 0
    """Root of the random streams."""
    take_back: bool = False
    """Take a step back that has made things worse, and end there."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Keep the adapted agent in this directory, new or empty, with its curve as curve.json and curve.png."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the curve to this file."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(AdaptArgs, "drml adapt", words, short={})  # its episodes are no copies
    check_json(args.json)
    if args.out is not None:
        check_folder("--out", args.out)
    out, json = (None if path is None else path.absolute() for path in (args.out, args.json))  # an import may go away
    plan = Plan(args.episodes, args.steps, args.take_back)
    meta = load_meta(args.run)
    env = made(args.env, args.copies, task_of(args.task), plan.episodes)
    print_warnings()
    with _closed(env):
        agent, curve = meta.adapt_to(env, plan.episodes, plan.steps, seed=args.seed, take_back=plan.take_back)
    show(curve.table())
    if out is not None:
        agent.save(out)
        write_json(out / "curve.json", curve.facts())
        if can_draw():
            curve.picture(out / "curve.png")
        say(str(args.out))
    if json is not None:
        write_json(json, curve.facts())
    return 0


@contextmanager
def _closed(env: Any) -> Generator[None]:  # noqa: ANN401 — whatever the user's function has returned
    """Close an environment in the end; what has failed before that is what is told."""
    try:
        yield
    except BaseException:
        with suppress(EnvError), foreign("closing the environment", EnvError):
            env.close()
        raise
    with foreign("closing the environment", EnvError):
        env.close()
