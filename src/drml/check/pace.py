"""Pace of a check: what a call takes, how long all of it will take, and when that is said."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from drml.check.evidence import Call, Where

Tell = Callable[[str], None]


def silently(line: str) -> None:
    """Tell nobody."""


SILENT_SECONDS = 10.0  # a check that takes no longer says nothing before its report; others speak as often
MEASURED = 5  # steps by which the first estimate is made


@final
@dataclass
class Pace:
    """Follows the calls of a check, and says how it goes."""

    num_recordings: int
    steps: int
    """Steps of one recording."""
    tell: Tell
    seconds: dict[Call, float] = field(default_factory=dict[Call, float])
    calls: dict[Call, int] = field(default_factory=dict[Call, int])
    made: int = 0
    """Recordings that are made."""
    _call: Call = "gymnasium"
    _since: float = 0.0
    _first: float = 0.0
    _began: float = 0.0
    """Time at which the first recording began, or was about to."""
    _told: float = 0.0

    def note(self, where: Where) -> None:
        """Take note that a call begins, and so that the one before has ended."""
        now = time.monotonic()
        self._first = self._first or now
        if self._since:
            self.seconds[self._call] = self.seconds.get(self._call, 0.0) + now - self._since
            self.calls[self._call] = self.calls.get(self._call, 0) + 1
        self._call, self._since = where.call, now
        is_known = self.calls.get("step", 0) >= MEASURED or now - self._first >= SILENT_SECONDS
        if not self._told and is_known:
            self._begin(now)
        elif self._told and now - self._told >= SILENT_SECONDS:
            self._told = now
            left = _minutes(self.seconds_left(now))
            self.tell(f"{self.made} of {self.num_recordings} recordings, {left} left")

    def recorded(self) -> None:
        """Take note that a recording is made."""
        self.made += 1

    def _begin(self, now: float) -> None:
        """Say how long it will take, where that is worth a line."""
        self._told = self._began = now
        if (seconds := self.seconds_left(now)) > SILENT_SECONDS:
            calls = " and ".join(f"{self._mean(call):.2g} s a {call}" for call in ("reset", "step"))
            self.tell(
                f"{self.num_recordings} recordings of {self.steps} steps, {calls}: {_minutes(seconds)} or more; fewer "
                "--steps or --tasks take less"
            )

    def seconds_left(self, now: float) -> float:
        """Return how long the rest will take: as long as what is done did, or by what calls take."""
        if self.made:
            return (now - self._began) / self.made * (self.num_recordings - self.made)
        episodes = 2  # at least
        one = self._mean("make") + episodes * self._mean("reset") + self.steps * self._mean("step")
        return one * self.num_recordings

    def _mean(self, call: Call) -> float:
        return self.seconds.get(call, 0.0) / max(self.calls.get(call, 0), 1)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 100 else f"{seconds:.0f} seconds"
