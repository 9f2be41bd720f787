"""Noise of the sessions' actions, step by step: the very numbers that a rollout of `drml test` is given all at once."""

from typing import final

import numpy as np
import torch
from torch import Tensor

from drml.core.rng import Streams, task_generator
from drml.core.types import Noise


@final
class StepNoise:
    """Noise `[K, B, …]` by step; a session's is a function of (stream, session, phase, step) alone.

    A phase is what lies between two adaptation steps. A generator per session draws the steps of a phase in a row;
    phase and `drawn`, how many that were, are all that has to be kept to go on.
    """

    def __init__(self, rng: Streams, ids: Tensor, copies: int, noise: Noise) -> None:
        self._rng, self._ids, self._kind = rng, ids.tolist(), noise.kind
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

    def begin(self, session: int, phase: int, drawn: int = 0) -> None:
        """Begin a phase of a session, or go on after so many steps of it."""
        self._generators[session] = self._generator(session, phase)
        self.phase[session], self.drawn[session] = phase, 0
        while self.drawn[session] < drawn:
            self._draw(session)

    def _generator(self, session: int, phase: int) -> np.random.Generator:
        return task_generator(self._rng["collect", phase, "action"], self._ids[session])

    def _draw(self, session: int) -> None:
        generator, row = self._generators[session], self._buffer[session]
        if self._kind == "normal":
            generator.standard_normal(out=row, dtype=np.float32)
        else:
            generator.random(out=row, dtype=np.float32)
        self.drawn[session] += 1
