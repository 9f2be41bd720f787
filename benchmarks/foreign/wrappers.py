"""Wrappers that several foreign environments needed until a task was the same at each reset."""

import random
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from drml import Choice

LEVELS = Choice(tuple(range(1000)))


class Seeded(gym.Wrapper):
    """Hands the seed of a reset to an environment whose own reset keeps it to itself."""

    def __init__(self, env: gym.Env, seed_it: Callable[[Any, int], object]) -> None:
        super().__init__(env)
        self.seed_it = seed_it

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Seed, then reset."""
        if seed is not None:
            self.seed_it(self.env.unwrapped, seed)
        return self.env.reset(seed=seed, options=options)


class Continued(gym.Wrapper):
    """Resets without a seed go on from the last one, where the environment would draw from the machine's entropy."""

    draws = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset with a seed, the given one or the next."""
        if seed is None:
            seed = int(self.draws.integers(2**31))
        else:
            self.draws = np.random.default_rng(seed)
        return self.env.reset(seed=seed, options=options)


class Level(gym.Wrapper):
    """One level of an environment that draws its levels when it is reset: every reset gets the task's own seed.

    Some draw from the global generators, which are everybody's: they are lent out for the reset alone.
    """

    def __init__(self, env: gym.Env, level: int) -> None:
        super().__init__(env)
        self.level = level

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start the level again."""
        del seed
        kept = random.getstate(), np.random.get_state()  # noqa: NPY002 — that is what they draw from
        try:
            random.seed(self.level)
            np.random.seed(self.level)  # noqa: NPY002
            return self.env.reset(seed=self.level, options=options)
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002
