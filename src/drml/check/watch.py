"""The parent: starts the child process, waits for each of its calls no longer than agreed, and leaves none behind."""

import math
import multiprocessing as mp
import os
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, final

from drml.check.child import ASK_WHERE, About, main
from drml.check.evidence import Evidence, Recording, Remark, Stop, Where
from drml.check.pace import Pace, Tell, silently
from drml.check.plans import plans
from drml.core.blame import traced
from drml.core.child import without_the_script
from drml.core.errors import DrmlError, EnvError
from drml.core.fault import how_it_ended

IMPORT_SECONDS = 120.0  # until the user's modules are imported
GRACE_SECONDS = 5.0  # for a killed process to be gone
TRACE_SECONDS = 0.2  # for a hanging one to write where it is
CHILD = main.__module__


def gather(
    name: str, num_tasks: int, steps: int, timeout: float, max_seconds: float = math.inf, tell: Tell = silently
) -> Evidence:
    """Try a subject's environments in a child process and return what was seen.

    Args:
        name: what `find_subject` finds.
        num_tasks: how many tasks to draw.
        steps: steps per recording.
        timeout: seconds that one call of an environment may take.
        max_seconds: seconds that all of it may take; what was recorded by then is what was seen.
        tell: is told how it goes, where that takes a while.

    Raises:
        InputError: if there is no such subject.
        EnvError: if the user's module cannot be imported in a process of its own.
    """
    context = _context()
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        seen = _Seen(name, Path(folder, "trace"), steps, tell)
        process = context.Process(target=main, args=(theirs, str(seen.trace), name, num_tasks, steps), daemon=True)
        with without_the_script():
            process.start()
        theirs.close()
        try:
            seen.follow(ours, process, timeout, time.monotonic() + max_seconds)
        finally:
            ours.close()  # at which it ends, with all that it has started
            _end(process)
        return seen.evidence()


def _context() -> Any:  # noqa: ANN401 — the kinds of context have no common type with `Process`
    """Return how processes are started: never by fork, which leaves the threads of this one half there."""
    if "forkserver" not in mp.get_all_start_methods():
        return mp.get_context("spawn")
    mp.set_forkserver_preload([CHILD])
    return mp.get_context("forkserver")


@final
@dataclass
class _Seen:
    """Messages of the child so far, each in its field."""

    name: str
    trace: Path
    """File into which the child writes the line that it is in, if it hangs or crashes."""
    steps: int
    tell: Tell
    pace: Pace | None = None
    about: About | None = None
    lines: dict[str, str] = field(default_factory=dict[str, str])
    remarks: tuple[Remark, ...] | None = None
    recordings: dict[str, Recording] = field(default_factory=dict[str, Recording])
    last: Where | None = None
    stop: Stop | None = None
    cut: bool = False

    def follow(self, pipe: Connection, process: BaseProcess, timeout: float, end: float) -> None:
        """Take in messages until the last one, or until there is a stop, or the time has come to end."""
        while True:
            limit = timeout if self.last else IMPORT_SECONDS
            left = end - time.monotonic() if self.last else math.inf
            if left <= 0.0 or not wait([pipe, process.sentinel], min(limit, left)):
                self.cut = left <= limit
                if self.cut:
                    return None
                self._ask_where(process)
                return self._stopped("hung", f"no answer within {limit:g} s")
            try:
                if not pipe.poll():
                    raise EOFError  # it has ended, and what it forked holds the pipe open
                message = pipe.recv()
            except (EOFError, OSError):
                process.join(GRACE_SECONDS)
                return self._stopped("died", how_it_ended(process.exitcode))
            if message is None:
                return None
            self._take(message)

    def _ask_where(self, process: BaseProcess) -> None:
        if self.trace.exists() and process.pid is not None and hasattr(signal, "SIGUSR1"):
            with suppress(ProcessLookupError):
                os.kill(process.pid, ASK_WHERE)
            process.join(TRACE_SECONDS)

    def _take(self, message: Any) -> None:  # noqa: ANN401 — see child.py
        if isinstance(message, DrmlError):
            raise message
        if isinstance(message, Where):
            self.last = message
            if self.pace is not None:
                self.pace.note(message)
        elif isinstance(message, Recording):
            self.recordings[message.plan.name] = message
            if self.pace is not None:
                self.pace.recorded()
        elif isinstance(message, About):
            self.about, self.lines = message, message.lines
            self.pace = Pace(len(list(plans(len(message.tasks)))), self.steps, self.tell)
        else:
            self.lines, self.remarks = {**self.lines, **message[0]}, message[1]

    def _stopped(self, kind: Any, message: str) -> None:  # noqa: ANN401 — of Stop
        if self.last is None:
            raise EnvError(
                f"{self.name}: the process that should try it {kind} before the first environment: {message}"
            )
        trace = self.trace.read_text(encoding="utf-8", errors="replace") if self.trace.exists() else ""
        self.stop = Stop(self.last, kind, message, traced(trace))

    def evidence(self) -> Evidence:
        """Return all of it."""
        assert self.about is not None, "the child says what the subject is before it announces a call"
        about = self.about
        return Evidence(
            about.tasks,
            about.varied,
            about.has_tasks,
            about.horizon,
            self.recordings,
            self.remarks,
            self.stop,
            self.lines,
            self.cut,
        )


def _end(process: BaseProcess) -> None:
    """Wait for the end of a child that was told to end; kill it where it does not."""
    process.join(GRACE_SECONDS)
    if process.is_alive() and process.pid is not None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join(GRACE_SECONDS)
