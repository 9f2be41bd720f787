"""A pool: a fixed set of training tasks, drawn once, which keep their ids."""

from dataclasses import dataclass
from typing import cast

import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.core.types import Tasks
from drml.tasks.distribution import Split, TaskDistribution
from drml.tasks.samplers.api import Scores
from drml.tasks.samplers.stratified import StratifiedSampler, deal
from drml.tasks.samplers.uniform import check_draw


@dataclass(frozen=True)
class PoolSampler:
    """Draws from N training tasks, each as often as any other; task i of the pool has id i in every meta-iteration.

    So what is kept per task (a score, a replay, a history) can be found again by its id. Few tasks that are met often
    are also how meta-overfitting is provoked, and measured.
    """

    size: int
    """N, tasks in the pool."""

    def init(self, distribution: TaskDistribution, rng: Streams) -> Tree:
        """Return the pool, spread evenly over the split of training."""
        drawn = StratifiedSampler().sample({}, distribution, "train", self.size, rng["pool"])
        return {"pool": dict(drawn.params)}

    def sample(self, state: Tree, distribution: TaskDistribution, split: Split, num_tasks: int, rng: Streams) -> Tasks:
        """Deal K tasks of the pool; of the other splits, which have none, evenly spread ones.

        Raises:
            InputError: if more tasks are asked for than the pool has, or the distribution has no such split.
        """
        if split != "train":
            return StratifiedSampler().sample({}, distribution, split, num_tasks, rng)
        check_draw(distribution, split, num_tasks)
        check_pool(self.size, num_tasks)
        ids = torch.from_numpy(deal(num_tasks, self.size, rng["deal"].generator()))
        pool = cast(Params, state["pool"])
        return Tasks({name: value[ids] for name, value in pool.items()}, ids)

    def observe(self, state: Tree, tasks: Tasks, scores: Scores) -> Tree:
        """Return the state unchanged."""
        return state


def check_pool(size: int, num_tasks: int) -> None:
    """Refuse to draw more tasks at a time than a pool has.

    Raises:
        InputError: says how many it has.
    """
    if num_tasks > size:
        raise InputError(
            f"a pool of {size} tasks cannot give {num_tasks} different ones at a time; "
            "enlarge it (--sampler.pool-size), or take fewer (--tasks)"
        )
