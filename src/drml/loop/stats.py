"""Statistics of returns: means with intervals that say what they are over, and comparisons of runs.

An interval answers one question: how far would the mean move if *these* were drawn anew? Over seeds, each training is
one number; over tasks, each test task of one training; over episodes, what was played on given tasks. All are
Student's: a percentile bootstrap of a handful of numbers is too narrow (with two it is their range, and holds the mean
half of the time). How often they hold it where numbers are not normal is said in docs/intervals.md.

Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice" (interquartile mean,
probability of improvement).
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.core.errors import InputError

Floats = NDArray[np.float64]
Over = Literal["seeds", "tasks", "episodes"]
ROUNDING = 1e-6  # returns are float32 sums: what differs by less, relative to its size, does not differ


@dataclass(frozen=True)
class Measured:
    """A mean with its 95 % interval, mean ± half width, and what would be drawn anew for the next such interval."""

    mean: float
    half_width: float | None
    """None where nothing tells it: a single number, or numbers that are all equal."""
    over: Over
    """`seeds`: other trainings. `tasks`: other tasks, the same training. `episodes`: the same tasks and training."""
    count: int
    """The seeds; the tasks; for `episodes` the tasks that they were played on."""
    iqm: float | None
    """The interquartile mean of the same numbers, where they are known."""
    iqm_half_width: float | None = None

    def facts(self) -> dict[str, Any]:
        """Return the measurement as it stands in files."""
        return {
            "mean": self.mean,
            "mean_half_width_95": self.half_width,
            "over": self.over,
            "count": self.count,
            "iqm": self.iqm,
            "iqm_half_width_95": self.iqm_half_width,
        }


def estimand(over: str, count: int) -> str:
    """Return the words that say what an interval is over."""
    things = f"{count:,} {'task' if count == 1 else 'tasks'}"
    words = {
        "seeds": f"over {count} seeds",
        "tasks": f"over {things}, one seed",
        "episodes": f"over episodes on {things}, one seed",
    }
    return words[over]


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


def over_seeds(means: Sequence[float], iqms: Sequence[float | None]) -> Measured:
    """Return what several trainings say: each is one number, however many tasks and episodes it was tested on."""
    known = [value for value in iqms if value is not None]
    has_iqm = len(known) == len(means)
    return Measured(
        float(np.mean(means)),
        half_width(means),
        "seeds",
        len(means),
        float(np.mean(known)) if has_iqm else None,
        half_width(known) if has_iqm else None,
    )


def over_one_seed(by_round: ArrayLike, over: Literal["tasks", "episodes"]) -> Measured:
    """Return what one training says, of the tasks that its test tasks were drawn from or of these very tasks.

    Args:
        by_round: `[tasks, rounds]`, the mean over the episodes of each round in which a task was met, adaptation
            included; NaN for a round that is missing. A task that was drawn is met in one round.
        over: `tasks` where they were drawn independently of each other, `episodes` where they are all there are.
    """
    table = np.asarray(by_round, dtype=np.float64)
    means = np.nanmean(table, axis=1)
    width = half_width(means) if over == "tasks" else half_width_of_groups(table)
    return Measured(float(means.mean()), width, over, len(means), float(iqm(means)))


def half_width(values: ArrayLike, confidence: float = 0.95) -> float | None:
    """Return t · s/√N, half the width of Student's interval of the mean of independent numbers.

    None where there is one number, or all are equal up to rounding: neither tells how far the next one may be off.

    Raises:
        InputError: if there is no number, or any is not finite.
    """
    return half_width_of_groups(np.atleast_2d(np.asarray(values, dtype=np.float64)), confidence)


def half_width_of_groups(groups: ArrayLike, confidence: float = 0.95) -> float | None:
    """Return half the width of the interval of the mean of the groups' means, where the groups are given.

    A group's mean has the variance vᵢ = sᵢ²/Nᵢ, the mean of G of them V/G² with V = Σ vᵢ, and the interval is Student's
    with V²/Σ (vᵢ²/(Nᵢ − 1)) degrees of freedom (Welch 1947, Satterthwaite 1946), which is N − 1 for one group.

    Args:
        groups: `[groups, numbers]`; NaN stands for a number that a group lacks.
        confidence: how often such intervals are to hold the truth.

    Raises:
        InputError: if there is no group or number, or any is infinite.
    """
    table = np.asarray(groups, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise InputError(f"groups have shape {list(table.shape)}, expected [groups, numbers] with one of each at least")
    if np.isinf(table).any():
        raise InputError(f"groups: {int(np.isinf(table).sum())} of {table.size} numbers are not finite")
    counts = (~np.isnan(table)).sum(1)
    if (counts < 2).any():
        return None
    variances = np.nanvar(table, axis=1, ddof=1) / counts
    total = float(variances.sum())
    if math.sqrt(total) <= ROUNDING * float(np.nanmax(np.abs(table))):
        return None
    freedom = total**2 / float((variances**2 / (counts - 1)).sum())
    return student_t(freedom, confidence) * math.sqrt(total) / len(table)


@functools.lru_cache(256)
def student_t(freedom: float, confidence: float) -> float:
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
