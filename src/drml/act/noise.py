"""Noise of the sessions' actions, step by step: the very numbers that a rollout of `drml test` is given all at once."""

from collections.abc import Sequence
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor

from drml.core.rng import NoiseKind, Streams, draw_into, task_generator
from drml.core.types import Noise


@final
class StepNoise:
    """Noise `[K, B, …]` by step; a session's is a function of (stream, session, phase, step) alone.

    A phase is what lies between two adaptation steps. A generator per session draws the steps of a phase in a row.
    """

    def __init__(self, rng: Streams, ids: Tensor, copies: int, noise: Noise) -> None:
        self._rng, self._ids = rng, ids.tolist()
        self._kind: NoiseKind = noise.kind
        self._buffer = np.empty((len(ids), copies, *noise.shape), np.float32)
        self._generators = [self._generator(session, 0) for session in range(len(ids))]
        self.phase = [0] * len(ids)
        """Phase of each session."""
        self.drawn = [0] * len(ids)
        """Steps drawn in it so far."""

    def next(self) -> Tensor:
        """Return the noise of the next step of all sessions, `[K, B, …]`."""
        for session in range(len(self._ids)):
            self._draw(session)
        return torch.from_numpy(self._buffer.copy())

    def begin(self, session: int, phase: int) -> None:
        """Begin a phase of a session."""
        self._generators[session] = self._generator(session, phase)
        self.phase[session], self.drawn[session] = phase, 0

    def states(self) -> Tensor:
        """Return where the generators are, `[K, 10]` int64: all it takes to go on, beside `phase` and `drawn`."""
        states = [generator.bit_generator.state for generator in self._generators]
        rows = [
            [*s["state"]["counter"], *s["buffer"], s["has_uint32"] << 32 | s["uinteger"], s["buffer_pos"]]
            for s in states
        ]
        return torch.from_numpy(np.array(rows, np.uint64).view(np.int64))

    def go_on(self, phases: Sequence[int], drawn: Sequence[int], states: Tensor) -> None:
        """Go on in these phases, of which so many steps were drawn, from where `states` say that each session was.

        Raises:
            ValueError: if a state is none.
        """
        for session, (phase, row) in enumerate(zip(phases, states.numpy().view(np.uint64), strict=True)):
            self.begin(session, phase)
            counter, buffer, (half, position) = row[:4], row[4:8], row[8:].tolist()
            if position > 4 or half >> 33:
                raise ValueError("a state of random numbers is out of its range")
            bits = self._generators[session].bit_generator
            state = cast(dict[str, Any], bits.state)
            place = {"state": state["state"] | {"counter": counter}, "buffer": buffer, "buffer_pos": position}
            bits.state = state | place | {"has_uint32": half >> 32, "uinteger": half & (2**32 - 1)}
        self.drawn = list(drawn)

    def _generator(self, session: int, phase: int) -> np.random.Generator:
        return task_generator(self._rng["collect", phase, "action"], self._ids[session])

    def _draw(self, session: int) -> None:
        draw_into(self._buffer[session], self._generators[session], self._kind)
        self.drawn[session] += 1
