"""Stopping on request: the first signal ends the work as soon as it can be saved; the second at once.

Nothing is raised: within a step that would pass for a failure of the environment. And a thread waits for the signals
too, since a handler is not called while the main thread is in foreign code that hangs. Only code that keeps the
interpreter's lock and never looks for signals holds out until SIGKILL, which costs no more than a second signal.
"""

import atexit
import os
import select
import signal
import threading
import time
from contextlib import ExitStack, suppress
from functools import cache
from types import TracebackType

from drml.core.descendants import end_descendants
from drml.core.signals import STOP_SIGNALS, be_terminable, leave_to_parent

EXIT_CODES: dict[int, int] = {number: 130 if number == signal.SIGINT else 75 for number in STOP_SIGNALS}
NOTICE = b"\ndrml: stopping and saving; once more to stop at once, unsaved\n"
SHOW_CURSOR = b"\x1b[?25h"
BURST_SECONDS = 0.1  # a process and then its group are told, as `timeout` does: one request

_ANNOUNCEMENTS = {number for number in STOP_SIGNALS if number.name in ("SIGUSR1", "SIGUSR2", "SIGXCPU")}
_EVERY_SECOND = {number for number in STOP_SIGNALS if number.name == "SIGXCPU"}  # the kernel's, past a limit


class StopSignals:
    """While it is entered, signals that ask for a stop are requests; call it to ask whether one has come.

    A second signal ends the process at once, with everything that it has started. It counts as a second one where it
    repeats the first or follows Ctrl-C, SIGTERM or SIGHUP; SIGTERM after SIGUSR1 is how a scheduler asks, once.

    Args:
        is_patient: whether the first signal is a request; where there is nothing to save it ends the process too.
    """

    def __init__(self, is_patient: bool = True) -> None:
        self.exit_code = 0
        """The exit code of the signal that has come, else 0."""
        self._is_patient = is_patient
        self._seen: dict[int, float] = {}  # when each signal came first
        self._lock = threading.RLock()
        self._undo = ExitStack()
        self._heeded: set[int] = set()
        self._read = -1
        self._thread = threading.Thread(target=self._watch, name="drml-stop", daemon=True)

    def __call__(self) -> bool:
        """Return whether a stop was requested."""
        return self.exit_code != 0

    def __enter__(self) -> "StopSignals":
        self._read, write = os.pipe()
        for end in (self._read, write):
            os.set_blocking(end, False)
        self._undo.callback(os.close, self._read)
        self._undo.callback(self._thread.join)
        self._undo.callback(os.close, write)  # at which the thread ends
        before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._undo.callback(signal.set_wakeup_fd, before, warn_on_full_buffer=False)
        self._thread.start()
        for number in STOP_SIGNALS:
            if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN:  # by `nohup`
                self._heeded.add(number)
                self._undo.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def _handle(self, number: int, frame: object) -> None:
        """Heed what has come; where the thread does so already, wait here and give it its turn."""
        self._take_in()

    def _watch(self) -> None:
        """Heed what comes, until the pipe is closed."""
        while self._take_in():
            select.select([self._read], [], [])

    def _take_in(self) -> bool:
        """Heed the signals that have come, whose numbers are in the pipe; return whether more can come."""
        with self._lock, suppress(BlockingIOError):
            numbers = os.read(self._read, 64)
            for number in dict.fromkeys(numbers):
                if number in self._heeded:
                    self._heed(number)
            return bool(numbers)
        return True

    def _heed(self, number: int) -> None:
        if not self._is_patient or self._is_second(number):
            leave(number)
        self._seen.setdefault(number, time.monotonic())
        if not self.exit_code:
            self.exit_code = EXIT_CODES[number]
            _tell(2, NOTICE)

    def _is_second(self, number: int) -> bool:
        if number in _EVERY_SECOND:
            return False
        if number in self._seen:
            return time.monotonic() - self._seen[number] > BURST_SECONDS
        return bool(self._seen.keys() - _ANNOUNCEMENTS)


@cache
def heed_from_now_on() -> None:
    """Let the first stop signal end this process with its exit code, until another watch is entered and after it.

    It is never left. While the interpreter ends, which takes down all handlers first, signals go unheard: the exit
    code is decided by then.
    """
    atexit.register(_go_unheard)  # the first one to be registered is the last one to be called
    StopSignals(is_patient=False).__enter__()


def _go_unheard() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def leave(number: int) -> None:
    """End this process and all that it has started, at once, with the exit code of a signal; nothing is saved."""
    with suppress(OSError):
        end_descendants()
    if os.isatty(1):
        _tell(1, SHOW_CURSOR)  # a live line of progress hides it
    line = b"drml: error: stopped at once by %s, nothing more is saved\n" % signal.Signals(number).name.encode()
    _tell(2, b"\n" * os.isatty(2) + line)  # a terminal shows ^C
    os._exit(EXIT_CODES[number])


def _tell(handle: int, text: bytes) -> None:
    """Write at once or not at all: print() may be in the middle of something, and the reader may have left or hang."""
    with suppress(OSError, ValueError):
        if select.select([], [handle], [], 0)[1]:
            os.write(handle, text)


def _be_a_child() -> None:
    """Leave stop signals to the process that was forked, whose pipe is not this one's to read or write."""
    if isinstance(getattr(signal.getsignal(signal.SIGTERM), "__self__", None), StopSignals):
        signal.set_wakeup_fd(-1)
        leave_to_parent()
        be_terminable()


os.register_at_fork(after_in_child=_be_a_child)
