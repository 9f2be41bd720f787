"""`drml report`: write a run's report."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from drml.cli.parse import parse
from drml.cli.terminal import say
from drml.run import session
from drml.use.pages import check_can_draw, write_page


@dataclass(frozen=True)
class ReportArgs:
    """Write a run's report: one self-contained page of HTML, its figures as PNG and their data as JSON."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    film: bool = False
    """Film the best policy anew, before and after adaptation."""


def run(words: list[str]) -> int:
    """Run the command."""
    args = parse(ReportArgs, "drml report", words)
    session.read_config(args.run)
    check_can_draw()
    page = write_page(args.run.absolute(), args.film)
    say(str(args.run / page.name))
    return 0
