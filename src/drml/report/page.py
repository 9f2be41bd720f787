"""The page of a run: everything worth knowing about it in one file that needs nothing else, online or offline."""

from importlib.resources import files
from pathlib import Path
from string import Template

from drml.core.errors import InputError
from drml.report.markup import text
from drml.report.record import read_run
from drml.run.durable import replace_file
from drml.run.rundir import versions

REPORT, FIGURES = "report.html", "figures"


def write_report(run_dir: Path) -> Path:
    """Write `report.html` and `figures/` into a run directory and return the page's path.

    The page is self-contained: no script, no resource of another file or host. A run that goes on, or was not tested
    or filmed yet, gets a page that says so.

    Raises:
        InputError: if it is not a run directory, a file of it is damaged, or matplotlib is not installed.
        ResourceError: if the page cannot be written.
    """
    run = read_run(run_dir)
    try:
        from drml.report import figures, sections
        from drml.report.success import success
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise InputError('reports need matplotlib: pip install "drml[report]"') from error
    drawings = figures.draw_figures(run)
    body = [
        sections.adaptation(run, drawings),
        sections.learning(run, drawings),
        success(run, drawings),
        sections.films(run),
        sections.tasks(run),
        sections.faults(run),
        sections.warnings(run),
        sections.seconds(run, drawings),
        sections.settings(run),
    ]
    folder = files("drml.report")
    page = Template((folder / "page.html").read_text(encoding="utf-8")).substitute(
        title=text(f"{run.learner} on {run.suite}"),
        style=(folder / "page.css").read_text(encoding="utf-8").strip(),
        header=sections.header(run),
        sections="\n".join(part for part in body if part),
        footer=f"drml {versions().get('drml', '')}. The figures and their numbers lie in {FIGURES}/ beside this page.",
    )
    figures.write_figures(drawings, run_dir / FIGURES)  # from here on nothing is refused
    replace_file(run_dir / REPORT, page.encode())
    return run_dir / REPORT
