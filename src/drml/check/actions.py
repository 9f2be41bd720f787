"""Actions that the environments are tried with, as a function of space, style, episode and step."""

from copy import deepcopy
from typing import Any, final

import gymnasium as gym
import numpy as np

from drml.check.evidence import Style
from drml.core.rng import Streams

HELD_STEPS = 10  # long enough to get somewhere: independent actions stay around where they started


@final
class Actions:
    """The actions of one recording; episode e of every recording in the same space and style has the same ones."""

    def __init__(self, space: gym.Space[Any], style: Style) -> None:
        self._space, self._style = deepcopy(space), style
        self._held: Any = None

    def begin(self, episode: int) -> None:
        """Start the actions of an episode."""
        self._space.seed(episode)
        self._signs = Streams(episode)["check", "corners"].generator()
        self._held = None

    def at(self, step: int) -> Any:  # noqa: ANN401 — an action of the space
        """Return the next action, an object of its own; `step` counts from 0."""
        if self._style == "random":
            return self._space.sample()
        if step % HELD_STEPS == 0:
            self._held = self._corner() if self._style == "corners" else self._space.sample()
        return deepcopy(self._held)

    def _corner(self) -> Any:  # noqa: ANN401
        sample, space = self._space.sample(), self._space
        if not isinstance(space, gym.spaces.Box) or space.dtype.kind != "f":
            return sample
        corner = np.where(self._signs.random(space.shape) < 0.5, space.low, space.high).astype(space.dtype)
        return np.where(np.isfinite(corner), corner, sample)
