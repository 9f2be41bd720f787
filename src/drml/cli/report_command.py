"""`drml report`: write a run's report."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from drml import session
from drml.cli.parse import parse
from drml.core.errors import InputError


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
    print(write(args.run, args.film))
    return 0


def write(run: Path, film: bool) -> Path:
    """Film where asked to, write the report and return the path of its page.

    Raises:
        InputError: if the packages for it are not installed.
    """
    try:
        from drml.report.filming import film_run
        from drml.report.page import write_report
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("matplotlib", "PIL"):
            raise
        raise InputError(f'a report needs {error.name}: pip install "drml[report]"') from error
    if film:
        film_run(run)
    return write_report(run)
