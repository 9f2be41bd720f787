"""Faults: what went wrong in an environment, as a value that travels beside the data that it spoiled.

    environment ──take_faults──▶ collect ──▶ meet ──▶ Quarantine (strikes by task) ──▶ log, checkpoint, report

An environment says what it knows: the call that failed, how, and what would call it again. Whoever holds more (the
phase, the meta-iteration) adds it further down the line; a learner never sees any of it.

A call that fails takes all copies of its task down until the next reset. So it makes no difference whether it raised,
which its process survives, or killed that process; and where the process stands makes none either.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, cast

from drml.core.printable import printable

Moment = Literal["construct", "reset", "step", "close"]
FaultKind = Literal["raised", "hung", "died", "out of memory", "diverged", "not finite"]

NO_SEED = -1
MAX_TEXT = 1000  # characters of what was raised: it goes into one line

Watch = Callable[[Moment, int, int], None]
"""Listener to calls of foreign code, told before each: the moment, the copy (-1: no single one) and the seed."""


def nobody(moment: Moment, copy: int, seed: int) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class Fault:
    """One failure of one task's environment."""

    task: str
    """Content hash of the task: what it is, whichever batch it comes in."""
    params: Mapping[str, Any]
    """The task's parameters as plain numbers."""
    row: int
    """The task's row in the batch that was acted in; -1 for a task of an earlier batch, whose `close` failed."""
    copy: int
    """The copy whose call failed; -1 where no single one is to blame."""
    episode: int
    """Episodes that the copy had begun before this one."""
    step: int
    """Steps that the episode had lasted before the call."""
    moment: Moment
    """The call that failed."""
    kind: FaultKind
    """Failure by kind: `raised` an exception, `hung` beyond its deadline, `died` with its process, ran `out of memory`;
    or went on, but `diverged` or was `not finite`."""
    message: str
    """One line: what was raised, or which number was not finite."""
    action: tuple[float, ...] = ()
    """The action of that step, as the policy gave it; empty outside of steps."""
    seed: int = NO_SEED
    """The seed of the episode's reset; -1 where the environment draws from streams."""

    @property
    def is_of_numbers(self) -> bool:
        """Return whether the environment went on, and only the numbers of some episodes are lost."""
        return self.kind in ("diverged", "not finite")

    def describe(self) -> str:
        """Return the fault as half a sentence, such as `hung in step 12 of episode 0, copy 3, seed 17 (…)`."""
        where = self.moment if self.moment != "step" else f"step {self.step} of episode {self.episode}"
        copy = f", copy {self.copy}" if self.copy >= 0 else ""
        seed = f", seed {self.seed}" if self.seed != NO_SEED else ""
        return f"{self.kind} in {where}{copy}{seed}{f' ({self.message})' if self.message else ''}"


def label(params: Mapping[str, Any]) -> str:
    """Return a task's parameters as text, such as `direction=-1`; long vectors are cut."""
    return printable(", ".join(f"{name}={_value(value)}" for name, value in params.items()))


def _value(value: object) -> str:
    """Return a number or a vector of them in short; whatever else a file holds in their place, as it is."""
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        return "(" + ", ".join(map(_value, items[:4])) + (", …)" if len(items) > 4 else ")")
    return f"{value:.3g}" if isinstance(value, int | float) and abs(value) < 1e300 else str(value)


def how_it_ended(exit_code: int | None) -> str:
    """Return how a process ended, from what `multiprocessing` knows as its exit code."""
    if exit_code is None:
        return "it closed its connection"
    if exit_code >= 0:
        return f"it left with exit code {exit_code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"killed by signal {-exit_code}"


def in_words(error: BaseException) -> str:
    """Return what foreign code has raised in one line; asking an exception for its text calls foreign code, too."""
    try:
        text = " ".join(str(error).split())
    except BaseException as raised_again:
        if is_interruption(raised_again):
            raise
        text = f"(asking for its text raises {type(raised_again).__name__})"
    text = text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
    if not text and isinstance(error, EOFError):
        text = "a connection was closed by the process at its other end, which may have died"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_interruption(error: BaseException) -> bool:
    """Return whether this is Ctrl-C, not what foreign code has raised: with a handler of ours, none is raised."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler
