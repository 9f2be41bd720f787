"""Levels that a package builds from a seed: numbered, kept over the episodes of a trial, and apart in what they hold.

Two seeds may build one and the same level, so levels that are held out by their number alone could be trained on under
another one. Therefore level i is not what its number builds at once: it has seeds s(i, 0), s(i, 1), … of its own, and
is the first of their levels whose content belongs, by its hash, to the split that number i belongs to. What training
and testing meet is disjoint by content then, however few levels there are.
"""

from collections.abc import Callable
from typing import final

import numpy as np

from drml.core.errors import EnvError
from drml.core.rng import Streams
from drml.tasks.distribution import TaskDistribution, split_of_content
from drml.tasks.numbered import Numbered

LEVEL = "level"
NUM_LEVELS = 2**20
NUM_SEEDS = 2**31
MAX_TRIES = 1000  # of a split with one level in ten, none is missed so often: 0.9^1000 is 1e-46


def level_tasks(things: str) -> TaskDistribution:
    """Return the distribution of numbered levels; `things` says what they are, in the plural."""
    return TaskDistribution({LEVEL: Numbered(things, NUM_LEVELS, (), _itself)})


@final
class Levels:
    """Seeds of numbered levels, each searched for once."""

    def __init__(self, tasks: TaskDistribution) -> None:
        self._tasks = tasks
        self._found: dict[int, int] = {}

    def seed(self, level: int, built: Callable[[int], bytes]) -> int:
        """Return the seed of a level.

        Args:
            level: its number.
            built: builds the level of a seed and returns its content.

        Raises:
            EnvError: if none of its seeds builds a level of the split that the number belongs to.
        """
        if level not in self._found:
            self._found[level] = self._search(level, built)
        return self._found[level]

    def _search(self, level: int, built: Callable[[int], bytes]) -> int:
        split = self._tasks.split_of(np.array([[(level + 0.5) / NUM_LEVELS]]))[0]
        seeds = Streams(0)["level", level].generator().integers(NUM_SEEDS, size=MAX_TRIES).tolist()
        for seed in seeds:
            if split_of_content(built(seed)) == split:
                return seed
        raise EnvError(
            f"none of {MAX_TRIES} seeds builds a level for {split}: there are too few levels to hold any out"
        )


def _itself(numbers: np.ndarray) -> np.ndarray:
    return numbers
