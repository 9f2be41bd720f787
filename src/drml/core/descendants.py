"""All processes that this one has started, directly or not, whichever group or session they have moved to."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

_MAX_ROUNDS = 20  # one that starts processes faster than they are found is not waited for


def end_descendants() -> None:
    """Kill every process below this one; where there is no /proc, none is found."""
    for _ in range(_MAX_ROUNDS):
        found = list(descendants(os.getpid()))
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def descendants(pid: int) -> Iterator[int]:
    """Yield the living processes below one, the nearest first."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdecimal() and (parent := _living_child_of(name)):
            children.setdefault(parent, []).append(int(name))
    waiting = children.get(pid, [])
    while waiting:
        yield from waiting
        waiting = [child for parent in waiting for child in children.get(parent, ())]


def _living_child_of(pid: str) -> int:
    """Return the parent of a process; 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, parent = file.read().rpartition(b") ")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state in (b"Z", b"X") else int(parent)
