"""`drml report`: write a run's report."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import tyro

from drml.cli.parse import parse
from drml.cli.terminal import say
from drml.core.errors import InputError
from drml.run import session


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
    check_installed()
    page = write(args.run.absolute(), args.film)
    say(str(args.run / page.name))
    return 0


def check_installed() -> None:
    """Check, before any work is done, that reports and films can be made.

    Raises:
        InputError: names the package that is missing and the way to get it.
    """
    for package in ("matplotlib", "PIL"):
        if find_spec(package) is None:
            raise InputError(f'a report needs {package}: pip install "drml[report]"')


def write(run: Path, film: bool) -> Path:
    """Film where asked to, write the report and return the path of its page."""
    from drml.report.filming import film_run
    from drml.report.page import write_report
    from drml.report.record import read_run

    if film:
        read_run(run, with_films=False)  # what cannot be reported on is refused before it is filmed
        film_run(run)
    return write_report(run)
