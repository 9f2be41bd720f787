import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from drml.check.checks import Report, check_tasks
from drml.check.finding import Finding

ZOO = Path(__file__).parent / "zoo"
STEPS = 420  # episodes of 210 steps are looked at: one fault shows at step 200
Check = Callable[..., dict[str, Finding]]


@pytest.fixture
def in_zoo(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Import as from the zoo's directory, here and in child processes."""
    monkeypatch.setattr(sys, "path", [str(ZOO), *(str(Path(entry).resolve()) for entry in sys.path)])  # cwd may change
    return ZOO


@pytest.fixture
def check(in_zoo: Path) -> Check:
    """Return what is wrong with a family, by check; a mend goes with it."""

    def check(name: str, num_tasks: int = 2, timeout: float = 20.0) -> dict[str, Finding]:
        report: Report = check_tasks(name, num_tasks, STEPS, timeout)
        wrong = {finding.check: finding for finding in report.findings if finding.verdict in ("warning", "fault")}
        assert all(finding.mend for finding in wrong.values())
        return wrong

    return check
