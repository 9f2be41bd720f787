"""The run's end of the processes of tasks: starting, asking, waiting with a deadline, and killing what does not answer.

Processes are made by a fork server, which has imported what they need and has no threads: never by forking the run,
whose threads may hold locks. Every wait watches the connection, the process and the clock.
"""

import multiprocessing
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import final

from drml.core.child import without_the_script
from drml.core.errors import InputError, ResourceError
from drml.core.fault import FaultKind, Moment, how_it_ended
from drml.core.signals import held_back
from drml.executors.isolated import wire
from drml.executors.isolated.worker import CALL_SIZE, COPY, MOMENT, MOMENTS, SEED, SINCE, serve

START_SECONDS = 120.0  # for the fork server's imports on a busy machine, and for those of the task's module
KILL_SECONDS = 5.0
CHUNK = 1 << 20
BEFORE_ITS_JOIN = 10  # finalizers of priority 0 or more run before multiprocessing waits for its processes to end


@dataclass(frozen=True)
class Answer:
    """Answer of a process."""

    verb: bytes
    payload: bytearray


@dataclass(frozen=True)
class Failure:
    """Failure of a process to answer; it is killed by then."""

    kind: FaultKind
    message: str
    moment: Moment
    """The call that it was in."""
    copy: int
    seed: int


@final
class Process:
    """The process of one task."""

    def __init__(self, pickled: bytes, timeout: float, memory_bytes: int) -> None:
        context = _context()
        ours, theirs = socket.socketpair()
        self._call = context.RawArray("q", CALL_SIZE)
        self._process = context.Process(
            target=serve, args=(theirs, pickled, memory_bytes, self._call), name="drml-task", daemon=True
        )
        self._socket, self._timeout = ours, timeout
        self._socket.setblocking(False)
        self._received = bytearray()
        self._asked = time.monotonic()
        self._is_ready = False
        with without_the_script(), held_back():  # from the fork server for good, which is a process of the job as well
            _start(self._process)
        theirs.close()
        self._finalizer = Finalize(
            self, _kill, (self._process.pid, self._process.sentinel, ours), exitpriority=BEFORE_ITS_JOIN
        )

    @property
    def handles(self) -> tuple[socket.socket, int]:
        """Return what becomes readable when the process answers, and when it ends."""
        return self._socket, self._process.sentinel

    @property
    def has_ended(self) -> bool:
        """Return whether the process is no more."""
        return bool(wait([self._process.sentinel], 0))

    @property
    def deadline(self) -> float:
        """Return when the process counts as hung, in seconds of the monotonic clock: each call has its own time."""
        if not self._is_ready:
            return self._asked + START_SECONDS
        return max(self._asked, self._call[SINCE] * 1e-9) + self._timeout

    def ask(self, verb: bytes, payload: bytes = b"") -> Failure | None:
        """Send a request; `poll` has the answer."""
        rest = memoryview(wire.frame(verb, payload))
        if self._is_ready:
            self._asked = time.monotonic()
        self._call[MOMENT], self._call[COPY] = _MOMENT_OF[verb], -1
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:  # it does not read
                if not _writable(self._socket, self.deadline):
                    return self.fail()
            except OSError:  # it has left
                return self.fail()
        return None

    def poll(self) -> Answer | Failure | None:
        """Return the answer if it is complete, why there will be none, or None while it can still come."""
        is_open = self._receive()
        answer = self._answer()
        if answer is not None and answer.verb == wire.READY:
            self._is_ready, self._asked = True, time.monotonic()
            answer = self._answer()
        if answer is not None:
            return answer
        if wait([self._process.sentinel], 0):
            self._receive()  # its last words
            return self._answer() or self.fail()
        return self.fail() if not is_open or time.monotonic() >= self.deadline else None

    def fail(self) -> Failure:
        """Kill the process and say what it was doing."""
        has_ended = bool(wait([self._process.sentinel], 0)) or not self._receive()
        if has_ended:
            self._process.join(KILL_SECONDS)
        message = how_it_ended(self._process.exitcode) if has_ended else f"no answer within {self._timeout:g} s"
        self.kill()
        if not self._is_ready:
            raise InputError(
                f"the process of a task {'ended' if has_ended else 'hung'} before it was ready "
                f"({message}); what makes the environments must be importable by name, and is looked for in modules, "
                "not in the script that runs"
            )
        moment, copy, seed = MOMENTS[self._call[MOMENT]], self._call[COPY], self._call[SEED]
        return Failure("died" if has_ended else "hung", message, moment, copy, seed)

    def kill(self) -> None:
        """End the process and all that it has started, at once."""
        self._finalizer()
        self._process.join(KILL_SECONDS)

    def _receive(self) -> bool:
        """Take in what has come; return whether more can come."""
        while True:
            try:
                data = self._socket.recv(CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._received += data

    def _answer(self) -> Answer | None:
        size = wire.HEADER.size
        if len(self._received) < size:
            return None
        verb, length = wire.HEADER.unpack_from(self._received)
        if len(self._received) < size + length:
            return None
        answer = Answer(verb, self._received[size : size + length])
        del self._received[: size + length]
        return answer


_MOMENT_OF = {
    wire.RESET: MOMENTS.index("reset"),
    wire.STEP: MOMENTS.index("step"),
    wire.CLOSE: MOMENTS.index("close"),
}


def gather(processes: Iterable[Process]) -> dict[Process, Answer | Failure]:
    """Return what each process answers, or why it does not; no later than the last deadline."""
    found: dict[Process, Answer | Failure] = {}
    with selectors.DefaultSelector() as selector:
        for process in processes:
            for handle in process.handles:
                selector.register(handle, selectors.EVENT_READ, process)
        pending = {key.data for key in selector.get_map().values()}
        while pending:
            pause = min(process.deadline for process in pending) - time.monotonic()
            ready = {key.data for key, _ in selector.select(max(pause, 0.0))}
            late = {process for process in pending if time.monotonic() >= process.deadline}
            for process in (ready | late) & pending:
                handles = process.handles
                answer = process.poll()
                if answer is None:
                    continue
                for handle in handles:
                    selector.unregister(handle)
                pending.remove(process)
                found[process] = answer
    return found


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["drml.executors.isolated.preload"])
    with held_back():  # before the fork server, which would make it: its start lets go of some that are held back
        resource_tracker.ensure_running()
    return context


def _start(process: BaseProcess) -> None:
    try:
        process.start()
    except (EOFError, ConnectionError) as error:
        raise ResourceError(
            "the process that starts those of tasks has been killed (by whoever watches over memory?); go on with "
            "fewer tasks at a time (--num-tasks), or with more memory"
        ) from error


def _kill(pid: int, sentinel: int, connection: socket.socket) -> None:
    """Hang up, at which a process ends with all that it has started; where its guard does not see to it, kill it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # what was forked here may hold it open
    connection.close()
    if not wait([sentinel], KILL_SECONDS):
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def _writable(connection: socket.socket, deadline: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_WRITE)
        return bool(selector.select(max(deadline - time.monotonic(), 0.0)))
