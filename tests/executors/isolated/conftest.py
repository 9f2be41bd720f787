import atexit
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest

ZOO = Path(__file__).parent / "zoo"
MARKS = Path(tempfile.mkdtemp(prefix="fault-zoo-"))
os.environ["FAULT_ZOO"] = str(MARKS)  # before the fork server starts: its processes have the environment that it has
atexit.register(shutil.rmtree, MARKS, ignore_errors=True)

PATIENCE_SECONDS = 30.0


class Zoo:
    """The processes, other than this one, that have made an environment of the zoo."""

    def alive(self) -> list[int]:
        """Return those that still run."""
        return [pid for pid in self.marks() if pid != os.getpid() and self._runs(pid)]

    def marks(self) -> list[int]:
        """Return all that there were, with what they have started."""
        return [int(path.name) for path in MARKS.iterdir()]

    def left(self) -> list[int]:
        """Return those that are left for good; what is promised is that none is, and a busy machine takes seconds."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self.alive() and time.monotonic() < until:
            time.sleep(0.02)
        return self.alive()

    def _runs(self, pid: int) -> bool:
        try:
            state = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"


@pytest.fixture
def zoo(monkeypatch):
    """Make `fault_zoo` importable, here and in the processes of tasks."""
    for mark in MARKS.iterdir():
        mark.unlink()
    monkeypatch.syspath_prepend(str(ZOO))
    yield Zoo()
    sys.modules.pop("fault_zoo", None)
