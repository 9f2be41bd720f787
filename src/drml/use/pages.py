"""Reports and films of a run, where what draws them is installed."""

from importlib.util import find_spec
from pathlib import Path

from drml.core.errors import InputError
from drml.core.extras import check_extra
from drml.core.fields import read_json
from drml.core.shell import as_word
from drml.tasks.distribution import Split


def check_can_draw() -> None:
    """Check, before any work is done, that reports and films can be made.

    Raises:
        InputError: names the package that is missing and the way to get it.
    """
    check_extra("a report", "report", "matplotlib", "PIL")


def check_can_film(num_tasks: int) -> None:
    """Check, before any work is done, that so many tasks can be filmed.

    Raises:
        InputError: if their number is negative, or Pillow is not installed.
    """
    if num_tasks < 0:
        raise InputError(f"film is {num_tasks}, expected a number of tasks, or 0 for none")
    if num_tasks:
        check_extra("a film", "report", "PIL")


def can_draw() -> bool:
    """Return whether figures can be drawn."""
    return find_spec("matplotlib") is not None


def film_tested(run: Path, num_tasks: int, copies: int, split: Split, seed: int) -> str:
    """Film so many tasks of a split and return a line that says what came of it.

    Raises:
        InputError: if `run` is not a run directory.
        CheckpointError: if it has no checkpoint.
    """
    from drml.report.filming import Filming, film_run

    films = film_run(run, Filming(num_tasks, copies, split, seed))
    if not films:
        return f"no films: {read_json(run / 'films.json')['unavailable']}"
    return f"films of {len({film['row'] for film in films})} tasks: drml report {as_word(run)} shows them"


def write_page(run: Path, film: bool) -> Path:
    """Film where asked to, write the report and return the path of its page.

    Raises:
        InputError: if it is not a run directory, or a file of it is damaged.
        ResourceError: if the page cannot be written.
    """
    from drml.report.filming import film_run
    from drml.report.page import write_report
    from drml.report.record import read_run

    if film:
        read_run(run, with_films=False)  # what cannot be reported on is refused before it is filmed
        film_run(run)
    return write_report(run)
