"""Surroundings that an environment may read unasked: the clock and the global random generators, held and watched.

For the child process only: it replaces functions of the standard library and of NumPy and torch for good, and the names
of the user's modules that are bound to them. While `inside` is empty, which it is but during a call of the environment,
they do what they always did.
"""

import datetime
import inspect
import pickle
import random
import time
import traceback
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, final

import numpy as np
import torch

from drml.check.evidence import Call, Clock
from drml.check.own_modules import rebind
from drml.check.stand_in import stand_in
from drml.core.blame import shown

CLOCKS = ("time", "monotonic", "perf_counter", "process_time")
CALENDARS = {"localtime": 0, "gmtime": 0, "ctime": 0, "strftime": 1, "asctime": 0}
"""Functions for which the time of day stands in for a last argument that is left out, and how many come before it."""
GENERATORS = ("RandomState", "PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
A_DAY = 86_400.0 + 12_345.678  # and a bit: a clock in whole hours or days sees another one
FIRST_TICK, SECONDS_PER_TICK = 1_700_000_000.0, 0.001
MAKERS = {"numpy", "torch", "random", "gymnasium", "gym", "shimmy", "drml"}  # make generators on behalf of others

OURS = {__name__, stand_in.__module__}

Seed = Callable[[], object]


@final
class Surroundings:
    """The clock and the global generators of this process."""

    def __init__(self) -> None:
        self.inside: Call | None = None
        """Call of an environment that is going on."""
        self._made: list[tuple[str, Seed]] = []
        self._clock: Clock = "real"
        self._ticks = 0
        self._before: dict[str, bytes] = {}
        self._replaced: dict[int, Any] = {}  # by what was there before, which lives on in its replacement

    def install(self) -> None:
        """Replace the clocks, and what makes random generators."""
        for name in CLOCKS:
            read: Callable[[], float] = getattr(time, name)
            self._replace(time, f"{name}_ns", partial(self._read_ns, read, getattr(time, f"{name}_ns")))
            self._replace(time, name, partial(self._read, read))
        for name, position in CALENDARS.items():
            self._replace(time, name, partial(self._calendar, getattr(time, name), position))
        self._replace_dates()
        self._replace(np.random, "default_rng", partial(self._make, np.random.default_rng))
        for name in GENERATORS:
            kind = getattr(np.random, name)
            self._replace(np.random, name, stand_in(kind, partial(self._make, kind)))
        self._replace(torch, "Generator", stand_in(torch.Generator, partial(self._make_torch, torch.Generator)))
        self._watch_python()

    def begin(self, global_seed: int, clock: Clock) -> None:
        """Seed the global generators and set the clock."""
        rebind(self._replaced)
        random.seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002 — where foreign code draws from
        torch.manual_seed(global_seed)
        self._clock, self._ticks, self._made = clock, 0, []
        self._before = _states()

    def drew_global(self) -> tuple[str, ...]:
        """Return the global generators that were drawn from, or seeded, since `begin`."""
        return tuple(name for name, state in _states().items() if state != self._before[name])

    def made_generators(self) -> tuple[tuple[str, str], ...]:
        """Return the lines where resets and steps made generators of a given seed since `begin`, and that seed."""
        return tuple(dict.fromkeys((line, repr(seed())) for line, seed in self._made))

    def _read(self, read: Callable[[], float]) -> float:
        if not self.inside or self._clock == "real":
            return read()
        if self._clock == "ahead":
            return read() + A_DAY
        self._ticks += 1
        return FIRST_TICK + SECONDS_PER_TICK * self._ticks

    def _read_ns(self, read: Callable[[], float], read_ns: Callable[[], int]) -> int:
        return int(self._read(read) * 1e9) if self.inside and self._clock != "real" else read_ns()

    def _calendar(self, show: Callable[..., Any], position: int, *args: Any) -> Any:  # noqa: ANN401
        """Show the time of day, by the clock that is set, where no other time is given."""
        if self._clock == "real" or (len(args) > position and args[position] is not None):
            return show(*args)
        seconds = time.time()
        return show(*args[:position], seconds if show.__name__ in SHOW_SECONDS else LOCALTIME(seconds))

    def _replace(self, owner: Any, name: str, replacement: Any) -> None:  # noqa: ANN401 — a module, anything
        self._replaced[id(getattr(owner, name))] = replacement
        setattr(owner, name, replacement)

    def _replace_dates(self) -> None:
        """Let the user's modules see another class; elsewhere it stays, as a date that is pickled names its class.

        `today` needs nothing: it asks `time.time`.
        """
        moment = datetime.datetime
        dates: Any = ModuleType("datetime")
        vars(dates).update(vars(datetime))
        dates.datetime = stand_in(
            moment,
            moment,
            now=lambda tz=None: moment.fromtimestamp(time.time(), tz),
            utcnow=lambda: moment.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None),
        )
        self._replaced |= {id(datetime): dates, id(moment): dates.datetime}

    def _make(self, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 — a generator
        seed = next(iter((*args, *kwargs.values())), None)
        if seed is not None:
            self._note(lambda: seed)
        return make(*args, **kwargs)

    def _make_torch(self, make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        generator = make(*args, **kwargs)
        self._note(generator.initial_seed)
        return generator

    def _watch_python(self) -> None:
        make = random.Random.__init__

        def made(itself: random.Random, x: Any = None) -> None:  # noqa: ANN401 — a seed
            if x is not None:
                self._note(lambda: x)
            make(itself, x)

        setattr(random.Random, "__init__", made)  # noqa: B010 — to a type checker it is no method

    def _note(self, seed: Seed) -> None:
        """Note the user's line that makes a generator."""
        if self.inside not in ("reset", "step"):
            return
        frames = (frame for frame, _ in traceback.walk_stack(inspect.currentframe()))
        frame = next(frame for frame in frames if frame.f_globals.get("__name__") not in OURS)
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in MAKERS:
            self._made.append((f"{shown(frame.f_code.co_filename)}:{frame.f_lineno}", seed))


LOCALTIME, SHOW_SECONDS = time.localtime, ("localtime", "gmtime", "ctime")


def _states() -> dict[str, bytes]:
    kept = np.random.get_state(legacy=False)  # noqa: NPY002 — where foreign code draws from
    return {
        "random": repr(random.getstate()).encode(),
        "numpy.random": pickle.dumps(kept),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
