"""A child process that calls foreign code: it may start processes of its own, and all of them end with its parent."""

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from typing import NoReturn


def lead_group() -> None:
    """Lead a process group, in which whatever the foreign code starts can be killed too, and end with the parent."""
    with suppress(OSError, AttributeError):
        os.setsid()
    multiprocessing.current_process().daemon = False  # daemons may start none, and AsyncVectorEnv does
    multiprocessing.set_start_method(None, force=True)  # as it would in a run, not as this process was started
    threading.Thread(target=_follow_parent, daemon=True).start()


def end_group() -> NoReturn:
    """End, with all that was started, and without an orderly end that could hang."""
    while True:
        os.killpg(os.getpid(), signal.SIGKILL)


def _follow_parent() -> None:
    """Wait for the end of the parent; the system may end this process then, but not what it has started."""
    if parent := multiprocessing.parent_process():
        parent.join()
        end_group()
