"""The process of one task: it holds an environment of that task's copies, and answers one request after the other.

The process leaves the terminal's group, so that Ctrl-C is the run's own affair, and dies with the run, whichever way
that one ends, and so does what the environment has started. What it is about to call it writes into memory that the run
can read: where a call hangs or kills the process, that says which one.
"""

import logging
import pickle
import resource
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from drml.core.child import end_group, go_on_guarded
from drml.core.errors import DrmlError
from drml.core.fault import Moment, in_words
from drml.envs.api import BatchEnv, Closable, EnvOptions, TellsFaults
from drml.executors.isolated import wire

Make = Callable[[EnvOptions], BatchEnv]
MOMENTS: tuple[Moment, ...] = ("construct", "reset", "step", "close")
MOMENT, COPY, SEED, SINCE = range(4)
CALL_SIZE = 4
"""Numbers that tell the call a process is in: moment, copy, seed, and its beginning in ns of the monotonic clock."""


def serve(connection: socket.socket, pickled: bytes, memory_bytes: int, call: Any) -> None:  # noqa: ANN401 — shared
    """Hold the environment that `pickled` makes, and answer requests until the other side leaves.

    Args:
        connection: where requests come from.
        pickled: a `Make`, pickled by the run that started this process.
        memory_bytes: how much address space may be taken beyond what the process has once its modules are imported.
        call: four shared numbers, see `CALL_SIZE`.
    """
    go_on_guarded(connection.fileno())
    logging.basicConfig(format="drml: warning: %(message)s")
    torch.set_num_threads(1)
    try:
        make: Make = pickle.loads(pickled)
        env = make(EnvOptions(threads=1, watch=partial(_tell, call)))
    except BaseException as error:  # the run says it in one line
        _send(connection, wire.ERROR, wire.pack_json(_shown(error)))
        return
    _limit_memory(memory_bytes)
    _send(connection, wire.READY)
    state = _State(env)
    while True:
        verb, payload = _receive(connection)
        try:
            answer = state.answer(verb, payload)
        except BaseException as error:
            answer = wire.ERROR, wire.pack_json(_shown(error))
        _send(connection, *answer)


class _State:
    """The environment and the number of its copies."""

    def __init__(self, env: BatchEnv) -> None:
        self._env = env
        self._copies = 0

    def answer(self, verb: bytes, payload: bytearray) -> tuple[bytes, bytes]:
        if verb == wire.RESET:
            task, self._copies, rng = wire.unpack_reset(payload)
            return wire.OBS, wire.pack_obs(self._env.reset(task, self._copies, rng))
        if verb == wire.STEP:
            step = self._env.step(wire.unpack_action(payload, self._copies, self._env.spec))
            faults = self._env.take_faults() if isinstance(self._env, TellsFaults) else ()
            return wire.STEPPED, wire.pack_step(step, faults)
        if isinstance(self._env, Closable):
            self._env.close()
        return wire.CLOSE, b""


def _shown(error: BaseException) -> dict[str, str | int]:
    """Return an error as JSON values; `exit_code` is 0 unless it is one of ours, which are the run's to raise."""
    is_ours = isinstance(error, DrmlError)
    return {
        "exit_code": error.exit_code if is_ours else 0,
        "kind": "out of memory" if isinstance(error, MemoryError) else "raised",
        "message": str(error) if is_ours else in_words(error),
    }


def _tell(call: Any, moment: Moment, copy: int, seed: int) -> None:  # noqa: ANN401
    call[MOMENT], call[COPY], call[SEED], call[SINCE] = MOMENTS.index(moment), copy, seed, time.monotonic_ns()


def _limit_memory(extra_bytes: int) -> None:
    """Let an allocation fail beyond the given bytes from now on; torch alone reserves gigabytes that it never uses."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # not on Linux
        return
    resource.setrlimit(resource.RLIMIT_AS, (size + extra_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _send(connection: socket.socket, verb: bytes, payload: bytes = b"") -> None:
    try:
        connection.sendall(wire.frame(verb, payload))
    except OSError:  # nobody is left to answer to
        end_group()


def _receive(connection: socket.socket) -> tuple[bytes, bytearray]:
    verb, length = wire.HEADER.unpack(_exactly(connection, wire.HEADER.size))
    return verb, _exactly(connection, length)


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        try:
            count = connection.recv_into(view)
        except OSError:
            count = 0
        if not count:
            end_group()  # the run has ended
        view = view[count:]
    return data
