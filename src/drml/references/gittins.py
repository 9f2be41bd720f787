"""Gittins indices of Bernoulli arms with means uniform on [0, 1].

An arm's index is the largest average reward per unit of (discounted) time that some stopping rule τ ≥ 1 gets from it,

    ν(s, f) = sup_τ E[Σ_{t<τ} γᵗ r_t] / E[Σ_{t<τ} γᵗ]

and always pulling the arm of largest index is optimal for the infinite discounted sum. With n pulls and no discount
there is no such theorem, but the index over stopping rules that end in time, γ = 1 and τ ≤ n − t, is nearly optimal.

The supremum of a ratio is found by Dinkelbach's iteration: stop optimally for payoff r − ν, then let ν be the ratio
that this rule achieves. It rises to the index, and the number of correct digits doubles with each round.

Source: Gittins, Glazebrook and Weber, 2011, "Multi-armed bandit allocation indices", sections 2.5, 8.4 and its table
for γ = 0.9; Niño-Mora, 2011, "Computing a classical index for finite-horizon bandits"; Dinkelbach, 1967, "On nonlinear
fractional programming".
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.references.bandit import Counts

DEPTH = 200  # pulls looked ahead before the rule is to decide once and for all
ROUNDING = 1e-13  # a rise of the index by less than this is rounding


def gittins_index(successes: np.ndarray, failures: np.ndarray, gamma: float, depth: int = DEPTH) -> np.ndarray:
    """Return the discounted indices ν `[...]`, in reward per pull, of arms with these counts.

    After `depth` pulls the rule may only stop or go on for ever, so the result is never too large; with the default it
    is too small by less than 1e-9 for γ = 0.9 and by less than 1e-4 for γ = 0.99.

    Args:
        successes: s `[...]`.
        failures: f `[...]`.
        gamma: discount per pull, in [0, 1).
        depth: pulls looked ahead.

    Raises:
        InputError: if γ is not in [0, 1) or `depth` < 1.
    """
    if not 0.0 <= gamma < 1.0:
        raise InputError(f"gittins_index: gamma is {gamma:g}, expected 0 <= gamma < 1; see finite_horizon_index for 1")
    return _index(successes, failures, gamma, depth, at_least=np.zeros(successes.shape), endless=True)


def finite_horizon_index(successes: np.ndarray, failures: np.ndarray, remaining: int) -> np.ndarray:
    """Return the undiscounted indices ν `[...]` over stopping rules that make at most `remaining` pulls.

    Args:
        successes: s `[...]`.
        failures: f `[...]`.
        remaining: n − t, pulls that are left.

    Raises:
        InputError: if `remaining` < 1.
    """
    return _index(successes, failures, 1.0, remaining, at_least=np.zeros(successes.shape), endless=False)


@final
@dataclass(frozen=True)
class Gittins:
    """The agent that always pulls the arm of largest index; the first of equals."""

    index: np.ndarray
    """`[n, n, n]` by number of pulls made, successes and failures."""

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return the arms `[K, B]` of largest index.

        Raises:
            InputError: if no pull is left of those that the indices were made for.
        """
        t = counts.num_pulls
        if t >= len(self.index):
            raise InputError(f"Gittins: made for {len(self.index)} pulls, asked for pull {t + 1}")
        return self.index[t, counts.successes.astype(np.int64), counts.failures.astype(np.int64)].argmax(-1)


def discounted_gittins(pulls: int, gamma: float, depth: int = DEPTH) -> Gittins:
    """Return the agent with the discounted index, for up to `pulls` pulls.

    Raises:
        InputError: as `gittins_index` does.
    """
    successes, failures = _triangle(pulls)
    table = np.zeros((pulls, pulls))
    table[successes, failures] = gittins_index(successes, failures, gamma, depth)
    return Gittins(np.broadcast_to(table, (pulls, pulls, pulls)))


def finite_gittins(pulls: int) -> Gittins:
    """Return the agent with the finite-horizon index, for exactly `pulls` pulls; 100 take some seconds."""
    index = np.zeros((pulls, pulls, pulls))
    for t in reversed(range(pulls)):
        arms = _triangle(t + 1)
        with_less_time = index[min(t + 1, pulls - 1)][arms]  # never larger
        index[t][arms] = _index(*arms, 1.0, pulls - t, at_least=with_less_time, endless=False)
    return Gittins(index)


def _triangle(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all s and f with s + f < size."""
    successes, failures = np.indices((size, size)).reshape(2, -1)
    inside = successes + failures < size
    return successes[inside], failures[inside]


def _index(
    successes: np.ndarray, failures: np.ndarray, gamma: float, depth: int, *, at_least: np.ndarray, endless: bool
) -> np.ndarray:
    if depth < 1:
        raise InputError(f"expected at least 1 pull to look ahead, got {depth}")
    a, b = successes.ravel() + 1.0, failures.ravel() + 1.0
    index = np.maximum(a / (a + b), at_least.ravel())
    rising = np.arange(len(index))
    while rising.size:
        reward, time = _stop_optimally(a[rising], b[rising], index[rising], gamma, depth, endless)
        improved = reward / time
        rises = improved > index[rising] + ROUNDING
        rising, improved = rising[rises], improved[rises]
        index[rising] = improved
    return index.reshape(successes.shape)


def _stop_optimally(
    a: np.ndarray, b: np.ndarray, price: np.ndarray, gamma: float, depth: int, endless: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return E[Σ γᵗ r] and E[Σ γᵗ] of the rule that maximises E[Σ γᵗ (r − price)], `[N]` each.

    Backward over the pulls d that were made; columns are the successes among them.
    """
    mean = (a[:, None] + np.arange(depth + 1)) / (a + b + depth)[:, None]  # [N, depth + 1]
    for_ever = np.where(mean > price[:, None], 1.0 / (1.0 - gamma), 0.0) if endless else np.zeros_like(mean)
    reward, time = mean * for_ever, for_ever
    for d in reversed(range(depth)):
        mean = (a[:, None] + np.arange(d + 1)) / (a + b + d)[:, None]  # [N, d + 1]
        reward = mean + gamma * (reward[:, :-1] + mean * (reward[:, 1:] - reward[:, :-1]))
        time = 1.0 + gamma * (time[:, :-1] + mean * (time[:, 1:] - time[:, :-1]))
        if d > 0:  # the first pull is made anyway
            goes_on = reward > price[:, None] * time
            reward, time = reward * goes_on, time * goes_on
    return reward[:, 0], time[:, 0]
