"""`drml export`: write what a run has learned in the formats of other programs."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from drml.act.adaptive_agent import AdaptiveAgent
from drml.act.learned import Learned
from drml.act.loading import load
from drml.cli.parse import parse
from drml.cli.terminal import say
from drml.core.errors import InputError
from drml.export.agent import adapted, inner_loop_of
from drml.export.registry import TARGETS, export, target_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportArgs:
    """Write what a run has learned in the format of another program: acting, and where it can be said, adapting."""

    run: tyro.conf.Positional[Path]
    """Directory of the run, one of its checkpoints, or a saved agent, which is written as it has adapted."""
    to: Annotated[str, tyro.conf.arg(metavar="{" + ",".join(TARGETS) + "}")] = "onnx"
    """Format of the files."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Directory of the files; left out, `exports/RUN-FORMAT` here."""
    max_steps: int = 0
    """Steps that a transformer's memory has room for; 0 is what it was trained on."""
    adaptation: bool = False
    """Refuse a learner whose adaptation step cannot be exported, instead of exporting acting alone."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(ExportArgs, "drml export", words)
    target_of(args.to).check()
    if args.max_steps < 0:
        raise InputError(f"--max-steps is {args.max_steps}, must be 0 (as trained) or more")
    learned = _as_it_is(args.run, args.to).with_room(args.max_steps)
    if args.adaptation:
        inner_loop_of(learned)
    for path in export(learned, args.to, args.out or Path("exports", f"{args.run.absolute().name}-{args.to}")):
        say(str(path))
    return 0


def _as_it_is(path: Path, to: str) -> Learned:
    """Return what lies at a path, with the parameters that it acts by now.

    Raises:
        InputError: if it holds several sessions, or is in that format already.
    """
    found = load(path)
    if not isinstance(found, AdaptiveAgent):
        return found.learned
    if to == "folder":
        raise InputError(f"{path} is a folder as hubs have it already, with what it has adapted to; copy it")
    if found.num_sessions > 1:
        raise InputError(f"{path} holds {found.num_sessions} sessions, and an export is of one; save an agent of one")
    if found.learned.adapts_while_acting:
        _log.warning("what the memory of %s holds of its task is not written: it begins blank in the export", path)
    return adapted(found)
