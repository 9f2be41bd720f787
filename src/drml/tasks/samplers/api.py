"""The sampler seam: which tasks of a distribution the next meta-iteration meets.

A sampler's memory, such as a curriculum's, is a value: `init` makes it, `observe` returns the next one, `sample` reads
it.
"""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Tree
from drml.core.types import Tasks
from drml.tasks.distribution import Split, TaskDistribution

Scores = Mapping[str, Tensor]
"""Scores of K tasks, `[K]` each: `pre_return`, `post_return`, and the metrics of an update that has one per task."""


class TaskSampler(Protocol):
    """A rule for drawing tasks, with its state outside."""

    def init(self, distribution: TaskDistribution, rng: Streams) -> Tree:
        """Return the first state; empty where the rule remembers nothing."""
        ...

    def sample(self, state: Tree, distribution: TaskDistribution, split: Split, num_tasks: int, rng: Streams) -> Tasks:
        """Return K = `num_tasks` tasks of a split, a function of the arguments alone.

        Ids are 0 .. K − 1, or stay with a task where the same ones are drawn again.

        `rng` is the stream of this draw: its path names the purpose and the meta-iteration.
        """
        ...

    def observe(self, state: Tree, tasks: Tasks, scores: Scores) -> Tree:
        """Return the state after the tasks were met with these scores."""
        ...
