"""The tasks of a test."""

import torch

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.tasks.distribution import MAX_LISTED, Split, TaskDistribution
from drml.tasks.samplers.uniform import UniformSampler, check_draw


def tasks_to_test(distribution: TaskDistribution, split: Split, num_tasks: int, rng: Streams) -> tuple[Tasks, bool]:
    """Return the tasks of a test, and whether they are all that the split has, each once.

    They are all where a family holds none out or the split has no more than `num_tasks`: what is uncertain then are the
    episodes, those of adaptation included. Otherwise they are independent draws. Stratified ones would do better by
    chance, and an interval over tasks could not say by how much: out of distribution, in one dimension, it would hold
    the mean always.

    Raises:
        InputError: if `num_tasks` < 1, or the distribution has no such split.
    """
    check_draw(distribution, split, num_tasks)
    if _is_all(distribution, split, num_tasks):
        units = distribution.listed_units(split)
        return distribution.tasks(units, split, torch.arange(len(units))), True
    return UniformSampler().sample({}, distribution, split, num_tasks, rng), False


def _is_all(distribution: TaskDistribution, split: Split, num_tasks: int) -> bool:
    if split != "ood" and not distribution.held_out:
        return True
    count = distribution.num_combinations(split)
    return count is not None and count <= MAX_LISTED and len(distribution.listed_units(split)) <= num_tasks
