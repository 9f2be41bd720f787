"""What an environment may read behind our back: the clock and the global random generators, held and watched.

For the child process only: it replaces functions of the standard library for good. While `inside` is false, which it is
but during a call of the environment, they do what they always did.
"""

import pickle
import random
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, final

import numpy as np
import torch

from drml.envs.gymnasium.check.evidence import Clock
from drml.envs.gymnasium.place import shown

CLOCKS = ("time", "monotonic", "perf_counter", "process_time")
A_DAY = 86_400.0 + 12_345.678  # and a bit: a clock in whole hours or days sees another one
FIRST_TICK, SECONDS_PER_TICK = 1_700_000_000.0, 0.001


@final
class Surroundings:
    """The clock and the global generators of this process."""

    def __init__(self) -> None:
        self.inside = False
        """Whether an environment is being called."""
        self.made: list[str] = []
        """Lines where random generators were made inside."""
        self._clock: Clock = "real"
        self._ticks = 0
        self._before: dict[str, bytes] = {}

    def install(self) -> None:
        """Replace the clocks, and what makes random generators."""
        for name in CLOCKS:
            read: Callable[[], float] = getattr(time, name)
            setattr(time, name, partial(self._read, read))
            setattr(time, f"{name}_ns", partial(self._read_ns, read, getattr(time, f"{name}_ns")))
        self._watch(np.random, "default_rng")
        self._watch(random.Random, "__init__")

    def begin(self, global_seed: int, clock: Clock) -> None:
        """Seed the global generators and set the clock."""
        random.seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002 — where foreign code draws from
        torch.manual_seed(global_seed)
        self._clock, self._ticks, self.made = clock, 0, []
        self._before = _states()

    def drew_global(self) -> tuple[str, ...]:
        """Return the global generators that were drawn from, or seeded, since `begin`."""
        return tuple(name for name, state in _states().items() if state != self._before[name])

    def _read(self, read: Callable[[], float]) -> float:
        if not self.inside or self._clock == "real":
            return read()
        if self._clock == "ahead":
            return read() + A_DAY
        self._ticks += 1
        return FIRST_TICK + SECONDS_PER_TICK * self._ticks

    def _read_ns(self, read: Callable[[], float], read_ns: Callable[[], int]) -> int:
        return int(self._read(read) * 1e9) if self.inside and self._clock != "real" else read_ns()

    def _watch(self, owner: Any, name: str) -> None:  # noqa: ANN401 — a module or a class
        make = getattr(owner, name)

        def made(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if self.inside:
                frame = traceback.extract_stack(limit=2)[0]
                self.made.append(f"{shown(frame.filename)}:{frame.lineno}")
            return make(*args, **kwargs)

        setattr(owner, name, made)


def _states() -> dict[str, bytes]:
    kept = np.random.get_state(legacy=False)  # noqa: NPY002 — where foreign code draws from
    return {
        "random": repr(random.getstate()).encode(),
        "numpy.random": pickle.dumps(kept),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
