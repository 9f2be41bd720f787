"""Reports and films of a run, where what draws them is installed."""

from importlib.util import find_spec
from pathlib import Path

from drml.core.extras import check_extra


def check_can_draw() -> None:
    """Check, before any work is done, that reports and films can be made.

    Raises:
        InputError: names the package that is missing and the way to get it.
    """
    check_extra("a report", "report", "matplotlib", "PIL")


def can_draw() -> bool:
    """Return whether figures can be drawn."""
    return find_spec("matplotlib") is not None


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
