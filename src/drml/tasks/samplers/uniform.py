"""Independent draws: task k is a function of the stream and k alone."""

import numpy as np
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Tree
from drml.core.types import Tasks
from drml.tasks.distribution import Split, TaskDistribution
from drml.tasks.samplers.api import Scores


class UniformSampler:
    """Independent draws: task k is a function of (rng, k) alone, however many tasks are drawn beside it."""

    def init(self, distribution: TaskDistribution, rng: Streams) -> Tree:
        """Return the empty state."""
        return {}

    def sample(self, state: Tree, distribution: TaskDistribution, split: Split, num_tasks: int, rng: Streams) -> Tasks:
        """Draw each task until it falls into the split.

        Raises:
            InputError: if `num_tasks` < 1, or the distribution has no such split.
        """
        check_draw(distribution, split, num_tasks)
        generators = [rng["task", k].generator() for k in range(num_tasks)]
        units = np.empty((num_tasks, distribution.size))  # [K, size]
        pending = np.arange(num_tasks)
        while pending.size:
            units[pending] = [generators[k].random(distribution.size) for k in pending]
            pending = pending[~distribution.belongs(units[pending], split)]
        return distribution.tasks(units, split, torch.arange(num_tasks))

    def observe(self, state: Tree, tasks: Tasks, scores: Scores) -> Tree:
        """Return the state unchanged."""
        return state


def check_draw(distribution: TaskDistribution, split: Split, num_tasks: int) -> None:
    """Refuse a draw of no tasks, and one of a split that the distribution does not have."""
    if num_tasks < 1:
        raise InputError(f"num_tasks is {num_tasks}, expected at least 1")
    distribution.parameters(split)
