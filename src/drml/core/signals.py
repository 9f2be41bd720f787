"""The signals by which terminals and schedulers ask a process to stop, and what its child processes make of them."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
STOP_SIGNALS = tuple(signal.Signals[name] for name in _NAMES if name in signal.Signals.__members__)
"""Ctrl-C, and what schedulers send before they kill: not every system has them all."""


def leave_to_parent() -> None:
    """Let the parent decide what stop signals mean, which are often sent to all processes of a job.

    SIGTERM still ends what this process forks: so environments end processes of theirs, and wait for that.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _take_no_notice)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    os.register_at_fork(after_in_child=be_terminable)


def be_terminable() -> None:
    """End at SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _take_no_notice(number: int, frame: object) -> None:
    """Handle a signal by doing nothing; unlike one that is ignored, a program that is started does not inherit this."""


@contextmanager
def held_back() -> Generator[None]:
    """Let stop signals wait until the block ends; processes that are started in it never get one, until they ask to."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
