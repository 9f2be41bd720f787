"""Statistics of returns over runs and tasks: point estimates with intervals that say how far to trust them.

Scores are `[runs, tasks]`: a run is one training with its own seed, a task one test task. Aggregates are robust (the
interquartile mean), intervals are bootstrapped within tasks, comparisons are probabilities.

Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice", section 4.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.core.errors import InputError
from drml.core.rng import Streams

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A point estimate and the confidence interval around it."""

    low: float
    estimate: float
    high: float


class Statistic(Protocol):
    """A statistic along one axis, or of all numbers where `axis` is None: `iqm`, `np.mean`, `np.median`."""

    def __call__(self, scores: Floats, /, axis: int | None = None) -> Floats | np.float64:
        """Return the statistic of `scores`."""
        ...


def iqm(scores: ArrayLike, axis: int | None = None) -> Floats | np.float64:
    """Return the interquartile mean: the mean of what is left without the ⌊N/4⌋ lowest and ⌊N/4⌋ highest numbers.

    Args:
        scores: any shape.
        axis: the axis to aggregate; None aggregates all N numbers, whatever their arrangement.

    Raises:
        InputError: if there is nothing to aggregate.
    """
    values = np.asarray(scores, dtype=np.float64)
    values = values.reshape(-1) if axis is None else np.moveaxis(values, axis, -1)
    count = values.shape[-1]
    if count == 0:
        raise InputError("the interquartile mean needs at least one score, got none")
    cut = count // 4
    return np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1)


def stratified_bootstrap(
    scores: ArrayLike,
    statistic: Statistic = iqm,
    reps: int | None = None,
    confidence: float = 0.95,
    *,
    rng: Streams,
) -> Interval:
    """Return a statistic of all scores with its percentile bootstrap interval.

    With several runs, each replicate draws runs anew (with replacement) within every task, as rliable does: the tasks
    are given, and the interval says how much another set of seeds would change the number. One run says nothing about
    other seeds, so there each replicate draws the tasks anew: the interval then says how much another set of tasks
    would change the number of *this* run. A single score has no spread: its interval has no width.

    Args:
        scores: `[runs, tasks]`.
        statistic: what to compute from all scores of a replicate.
        reps: replicates; None takes 20,000, and fewer where they would draw more than 10⁸ scores, but 2,000 at least,
            with which the ends of a 95 % interval lie 3 % of its half width off.
        confidence: the share of replicates within the interval.
        rng: the stream of this interval.

    Raises:
        InputError: if the scores are not a finite, non-empty `[runs, tasks]` table, or confidence is not within (0, 1).
    """
    table, tail = _table("scores", scores), _tail(confidence)
    runs, tasks = table.shape
    reps = reps or min(20_000, max(2_000, 10**8 // table.size))
    # A score's place in the flat table is run * tasks + task; with one run each task may stand in for each other.
    rows, stride, offset = (runs, tasks, np.arange(tasks)) if runs > 1 else (tasks, 1, np.arange(1))
    estimates = [
        statistic(table.take(pick * stride + offset).reshape(len(pick), -1), axis=-1)
        for pick in _picks(rng, reps, rows, table.shape)
    ]
    low, high = np.quantile(np.concatenate(estimates), (tail, 1.0 - tail))
    return Interval(float(low), float(statistic(table)), float(high))


def _picks(rng: Streams, reps: int, rows: int, shape: tuple[int, ...]) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers `[some, runs, tasks]` of the replicates, in blocks that stay in a processor's cache."""
    generator, block = rng.generator(), max(1, 100_000 // math.prod(shape))
    for start in range(0, reps, block):
        yield generator.integers(0, rows, (min(block, reps - start), *shape))


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Return P(X > Y) + ½ P(X = Y) for one run of each on the same task, averaged over tasks.

    Args:
        x: `[runs_x, tasks]`.
        y: `[runs_y, tasks]`; the same tasks in the same order.

    Raises:
        InputError: if either is not a finite, non-empty table, or if they differ in tasks.
    """
    first, second = _table("x", x), _table("y", y)
    if first.shape[1] != second.shape[1]:
        raise InputError(f"x has {first.shape[1]} tasks and y has {second.shape[1]}; compare runs on the same tasks")
    difference = first[:, None] - second[None]  # [runs_x, runs_y, tasks]
    return float((0.5 + 0.5 * np.sign(difference)).mean())


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the mean of independent numbers with Student's interval x̄ ± t · s/√N, exact where they are normal.

    Raises:
        InputError: if there are fewer than two numbers (one does not say how much it varies), or any is not finite.
    """
    sample = _table("values", np.atleast_2d(np.asarray(values, dtype=np.float64)))[0]
    if len(sample) < 2:
        raise InputError("an interval of a mean needs at least two values, got one")
    mean = float(sample.mean())
    margin = student_t(len(sample) - 1, confidence) * float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return Interval(mean - margin, mean, mean + margin)


def student_t(freedom: int, confidence: float) -> float:
    """Return t with P(|T| ≤ t) = confidence for Student's distribution with `freedom` degrees of freedom ν.

    With T = √ν tan θ the density becomes ∝ cosᵛ⁻¹ θ on (−π/2, π/2), which a plain sum integrates well.
    """
    points = 1 << 18
    # Where ν is large only θ of the order 1/√ν has any mass; the grid goes no further than that.
    theta = np.linspace(0.0, min(math.pi / 2, 12.0 / math.sqrt(freedom)), points + 1)
    density = np.cos((theta[1:] + theta[:-1]) / 2) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum(density)])
    theta_high = np.interp(1.0 - 2.0 * _tail(confidence), mass / mass[-1], theta)
    return math.sqrt(freedom) * math.tan(float(theta_high))


def _tail(confidence: float) -> float:
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence is {confidence}, expected a share between 0 and 1, such as 0.95")
    return (1.0 - confidence) / 2.0


def _table(name: str, scores: ArrayLike) -> Floats:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise InputError(f"{name} has shape {list(table.shape)}, expected [runs, tasks] with at least one of each")
    if not np.isfinite(table).all():
        raise InputError(f"{name}: {int((~np.isfinite(table)).sum())} of {table.size} numbers are not finite")
    return table
