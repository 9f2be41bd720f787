"""The place of a new run when nobody names one."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from drml.run import rundir
from drml.run.config import RunConfig

RUNS = "runs"


@contextmanager
def default_place(config: RunConfig, here: Path) -> Generator[Path]:
    """Make and give `here/runs/SUITE-LEARNER-sSEED`, numbered if taken; gone again if nothing came of the run.

    Raises:
        ResourceError: if no directory can be made.
    """
    stem = f"{config.suite.replace(':', '.')}-{config.learner}-s{config.seed}"
    out = rundir.create_numbered(here / RUNS, stem)
    try:
        yield out
    except BaseException:
        with suppress(OSError):  # not empty, so something came of it
            out.rmdir()
            out.parent.rmdir()
        raise
