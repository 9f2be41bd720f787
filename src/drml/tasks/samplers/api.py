"""The sampler seam: which tasks of a distribution the next meta-iteration meets.

A sampler's memory, such as a curriculum's, is a value: `init` makes it, `observe` returns the next one, `sample` reads
it.
"""

from typing import Protocol

from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Tree
from drml.core.types import Tasks
from drml.tasks.distribution import Split, TaskDistribution


class TaskSampler(Protocol):
    """A rule for drawing tasks, with its state outside."""

    def init(self) -> Tree:
        """Return the first state; empty where the rule remembers nothing."""
        ...

    def sample(self, state: Tree, distribution: TaskDistribution, split: Split, num_tasks: int, rng: Streams) -> Tasks:
        """Return K = `num_tasks` tasks of a split with ids 0 .. K − 1, a function of the arguments alone.

        `rng` is the stream of this draw: its path names the purpose and the meta-iteration.
        """
        ...

    def observe(self, state: Tree, tasks: Tasks, post_return: Tensor) -> Tree:
        """Return the state after the tasks were met with post-adaptation returns `post_return [K]`."""
        ...
