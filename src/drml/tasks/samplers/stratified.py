"""Evenly spread draws: tasks of a split dealt like cards, or scrambled Sobol points of its unit cube."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from drml.core.rng import Streams
from drml.core.tree import Tree
from drml.core.types import Tasks
from drml.tasks.distribution import MAX_LISTED, Split, TaskDistribution
from drml.tasks.samplers.api import Scores
from drml.tasks.samplers.uniform import check_draw

MAX_SOBOL_SIZE = 21  # in more dimensions a few hundred Sobol points fill the cube no better than Latin hypercubes
HALF_SOBOL_STEP = 2.0**-31  # Sobol points are multiples of 2^-30


class StratifiedSampler:
    """Evenly spread draws, each still distributed as the split: less variance between meta-iterations, no bias.

    A discrete family's tasks are dealt like cards, each as often as any other. Otherwise the discrete coordinates are
    dealt one by one, and the continuous ones are scrambled Sobol points, or Latin hypercubes in more than 21
    dimensions. Points of other splits are passed over: measured on the mean of a linear function over 40 tasks, the
    variance is 0.2 to 0.3 of that of independent draws in 'train', 0.6 to 1 of it in 'validation' and 'test'.

    Source: Sobol, 1967, scrambled after Matoušek, 1998, "On the L2-discrepancy for anchored boxes"; McKay, Beckman and
    Conover, 1979, "A comparison of three methods for selecting values of input variables".
    """

    def init(self, distribution: TaskDistribution, rng: Streams) -> Tree:
        """Return the empty state."""
        return {}

    def sample(self, state: Tree, distribution: TaskDistribution, split: Split, num_tasks: int, rng: Streams) -> Tasks:
        """Draw tasks that are spread evenly over the split.

        Raises:
            InputError: if `num_tasks` < 1, or the distribution has no such split.
        """
        check_draw(distribution, split, num_tasks)
        count = distribution.num_combinations(split)
        if count is not None and count <= MAX_LISTED:
            units = distribution.listed_units(split)
            units = units[deal(num_tasks, len(units), rng["deal"].generator())]
        else:
            units = _spread_over_split(distribution, split, num_tasks, rng)
        return distribution.tasks(units, split, torch.arange(num_tasks))

    def observe(self, state: Tree, tasks: Tasks, scores: Scores) -> Tree:
        """Return the state unchanged."""
        return state


def deal(num_tasks: int, num_values: int, generator: np.random.Generator) -> np.ndarray:
    """Return indices `[num_tasks]` below `num_values` in random order, whose counts differ by at most one."""
    if num_values > max(num_tasks, MAX_LISTED):  # a deck of billions is not shuffled to deal a few cards
        return generator.choice(num_values, num_tasks, replace=False)
    deck = generator.permutation(num_values)  # decides which values are dealt once more than the others
    return generator.permutation(deck[np.arange(num_tasks) % num_values])


def _spread_over_split(distribution: TaskDistribution, split: Split, num_tasks: int, rng: Streams) -> np.ndarray:
    """Return the first `num_tasks` points of an evenly spread sequence that belong to the split, `[K, size]`."""
    kept = np.empty((0, distribution.size))
    for points in _spread_points(distribution, split, num_tasks, rng):
        kept = np.concatenate([kept, points[distribution.belongs(points, split)]])
        if len(kept) >= num_tasks:
            break
    return kept[:num_tasks]


def _spread_points(distribution: TaskDistribution, split: Split, num: int, rng: Streams) -> Iterator[np.ndarray]:
    """Yield evenly spread points `[num, size]` of the whole unit cube, batch after batch."""
    parameters = distribution.parameters(split).values()
    num_values = [count for p in parameters for count in [p.num_values or 0] * p.size]  # 0: a continuous coordinate
    generator = rng["deal"].generator()
    continuous = np.flatnonzero(np.array(num_values) == 0)
    spread = _sobol if 0 < len(continuous) <= MAX_SOBOL_SIZE else _latin_hypercube
    for batch in spread(num, len(continuous), rng):
        points = np.empty((num, distribution.size))
        points[:, continuous] = batch
        for column in np.flatnonzero(num_values):
            count = num_values[column]
            points[:, column] = (deal(num, count, generator) + 0.5) / count
        yield points


def _sobol(num: int, size: int, rng: Streams) -> Iterator[np.ndarray]:
    """Yield consecutive stretches `[num, size]` of one scrambled Sobol sequence, in (0, 1)."""
    seed = int(rng["sobol"].generator().integers(2**63))
    engine = SobolEngine(size, scramble=True, seed=seed)  # seeds a generator of its own
    while True:
        points = engine.draw(num, dtype=torch.float64).numpy() + HALF_SOBOL_STEP
        yield np.minimum(points, 1.0 - HALF_SOBOL_STEP)  # the engine rounds its first point to float32, perhaps to 1


def _latin_hypercube(num: int, size: int, rng: Streams) -> Iterator[np.ndarray]:
    """Yield independent Latin hypercubes `[num, size]`: each coordinate has one point in each of `num` strata."""
    generator = rng["latin"].generator()
    while True:
        strata = generator.permuted(np.tile(np.arange(num), (size, 1)), axis=1).T  # [num, size]
        yield (strata + generator.random((num, size))) / num
