"""A child process that calls foreign code: all that it starts ends with it, and it ends with its parent.

The code may hold the interpreter, so that no thread of ours runs beside it, may be killed or kill itself, and may start
processes that move to a session of their own. So it runs in a process below the one that the parent has started:

    parent ── connection ── guard ── process that calls foreign code ── whatever that starts

The guard calls nothing foreign. It waits for the end of the process, or for the parent to hang up, which the end of the
parent is as well; then it kills everything below it (orphans become its children) and ends as the process did.
"""

import ctypes
import multiprocessing
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from types import ModuleType
from typing import Any, NoReturn, cast

from drml.core.descendants import end_descendants
from drml.core.signals import leave_to_parent

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SECONDS_TO_DIE = 5.0  # a killed process that does not end waits for a device, and is not waited for


@contextmanager
def without_the_script() -> Generator[None]:
    """Let processes that are started in this block not run the script of this one: it may have no main guard."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def go_on_guarded(connection: int, passed_on: int = 0) -> None:
    """Go on in a process that leads a session and is watched by a guard, which the process that calls this becomes.

    Where the system has no guards (elsewhere than on Linux), a thread waits for the end of the parent.

    Args:
        connection: the handle of the pipe or socket to the parent.
        passed_on: a signal that the guard passes on to the process.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _fork_below(connection, passed_on)
    leave_to_parent()
    with suppress(OSError, AttributeError):
        os.setsid()
    multiprocessing.current_process().daemon = False  # daemons may start none, and AsyncVectorEnv does
    multiprocessing.set_start_method(None, force=True)  # as it would in a run, not as this process was started
    if sys.platform != "linux":
        threading.Thread(target=_follow_parent, daemon=True).start()


def end_group() -> NoReturn:
    """End, with all that was started, and without an orderly end that could hang."""
    while True:
        os.killpg(os.getpid(), signal.SIGKILL)


def _fork_below(connection: int, passed_on: int) -> None:
    """Fork; become the guard here, and return there."""
    # Each process holds open what tells the fork server that the run goes on; one that hangs would keep it alive.
    held = getattr(cast(Any, forkserver)._forkserver, "_forkserver_alive_fd", None)
    if held is not None:
        os.close(held)
    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    guard = os.getpid()
    child = os.fork()
    if child:
        _watch_over(child, connection, passed_on)
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:  # it died before the system knew that we care
        os._exit(1)


def _watch_over(child: int, connection: int, passed_on: int) -> NoReturn:
    """Wait until a child ends or the parent hangs up, end everything below, and end as the child did."""
    with suppress(OSError):
        os.setsid()
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler: what is ignored wakes nobody
    leave_to_parent()
    if passed_on:
        signal.signal(passed_on, lambda number, _: os.kill(child, number))
    status = _wait_for(child, connection, read)
    end_descendants()
    until = time.monotonic() + _SECONDS_TO_DIE
    while status is None and time.monotonic() < until:
        status = _reaped(child)
        time.sleep(0.001)
    end_descendants()
    _end_as(0 if status is None else status)


def _wait_for(child: int, connection: int, woken: int) -> int | None:
    """Return the status with which the child ended, or None where the parent has hung up first."""
    poll = select.poll()
    poll.register(connection, 0)  # that it was hung up is always told
    poll.register(woken, select.POLLIN)
    while (status := _reaped(child)) is None:
        ready = dict(poll.poll())
        if connection in ready:
            return None
        os.read(woken, 4096)
    return status


def _reaped(child: int) -> int | None:
    """Take in which processes below have ended; return the status of the child, where it is one of them."""
    found = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            found = ended[1] if ended[0] == child else found
    return found


def _end_as(status: int) -> NoReturn:
    """End with an exit code, or by a signal, that another process has ended with."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with suppress(OSError, ValueError):  # it cannot be handled
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    os._exit(max(code, 0))


def _follow_parent() -> None:
    """Wait for the end of the parent; the system may end this process then, but not what it has started."""
    if parent := multiprocessing.parent_process():
        parent.join()
        end_group()
