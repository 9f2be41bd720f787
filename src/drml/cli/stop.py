"""Stopping on request: the first signal ends the work at the next boundary, where it is saved; the second at once."""

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

EXIT_CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 75}
NOTICE = b"\ndrml: stopping after this meta-iteration; once more to stop at once, unsaved\n"


class StopSignals:
    """While it is entered, Ctrl-C and SIGTERM are requests; call it to ask whether one has come."""

    def __init__(self) -> None:
        self.exit_code = 0
        """The exit code of the signal that has come, else 0."""
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Return whether a stop was requested."""
        return self.exit_code != 0

    def __enter__(self) -> "StopSignals":
        self._previous = {number: signal.signal(number, self._receive) for number in EXIT_CODES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.exit_code:
            raise SystemExit(EXIT_CODES[number])
        self.exit_code = EXIT_CODES[number]
        with suppress(OSError):  # whoever read it may have left, as `tee` does at the same Ctrl-C
            os.write(2, NOTICE)  # print() may be in the middle of something
