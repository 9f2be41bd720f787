"""Phase timers: each line of the loop runs inside a named phase, so that a run can say where its seconds went."""

import time
from types import TracebackType


class Phases:
    """Seconds by phase name; `with phases("env"): ...` adds to one. Phases do not nest."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name = ""
        self._start = 0.0

    def __call__(self, name: str) -> "Phases":
        """Name the phase that the following `with` block measures."""
        self._name = name
        return self

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = time.perf_counter() - self._start
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + elapsed
