"""Findings: what one check says of a subject, where it was seen, and what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from drml.check.evidence import Evidence, Recording, Where

UNTRIED = "the check ended before this was tried"
Verdict = Literal["ok", "warning", "fault", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One row of the report."""

    verdict: Verdict
    seen: str
    at: Where | None = None
    """The call where it was seen."""
    mend: str = ""
    """Advice: what to do."""
    line: str = ""
    """The line to fix, as `file.py:12`."""
    check: str = ""
    """Name of the check that says so."""


Check = Callable[[Evidence], Finding]
"""Function that concludes one thing from what was recorded."""


def ok(seen: str = "") -> Finding:
    """Return that nothing is wrong."""
    return Finding("ok", seen)


def skipped(why: str) -> Finding:
    """Return that it could not be told."""
    return Finding("skipped", why)


def where(recording: Recording, moment: int) -> Where:
    """Return the call that led to a moment of a recording."""
    step = int(recording.step[moment])
    call = "step" if step else "reset"
    return Where(recording.plan, call, int(recording.episode[moment]), max(step - 1, 0))


def line_of(evidence: Evidence, at: Where | None, call: str = "") -> str:
    """Return where the user's code defines the call that went wrong."""
    return evidence.lines.get(call or (at.call if at else ""), "")


def named(check: str, finding: Finding) -> Finding:
    """Return a finding under the name of its check."""
    return replace(finding, check=check)
