"""The Bayes-optimal play of Bernoulli bandits with arms uniform on [0, 1], by dynamic programming over all histories.

What matters of a history are the successes s and failures f of each arm, and, the arms being exchangeable, not which
arm they belong to. A state is the sorted tuple of the arms' codes; with t pulls made,

    V(state) = maxₐ m (1 + V(a succeeded)) + (1 − m) V(a failed),    m = (s + 1)/(s + f + 2),    V = 0 when t = n

Source: Bradt, Johnson and Karlin, 1956, "On sequential designs for maximizing the sum of n observations"; for the
Bayesian view, Duff, 2002, "Optimal learning: computational procedures for Bayes-adaptive Markov decision processes".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.references.bandit import Counts

MAX_STATES = 20_000_000  # nine bytes each, and about a second per million


@final
@dataclass(frozen=True)
class BayesOptimal:
    """The agent that earns the most on average over tasks, and what it earns."""

    num_arms: int
    """k, arms."""
    num_pulls: int
    """n, pulls."""
    expected_return: float
    """V of the empty history: the largest expected number of successes in n pulls."""
    keys: tuple[np.ndarray, ...]
    """Packed states `[N]` int64 after t pulls, for each t, in ascending order."""
    best: tuple[np.ndarray, ...]
    """Ranks `[N]` int8 of the best arm in the sorted state, for each t."""

    @property
    def num_states(self) -> int:
        """Return the number of states in which a pull is left to choose."""
        return sum(len(keys) for keys in self.keys)

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return the optimal arms `[K, B]`.

        Raises:
            InputError: if there are other than k arms, or no pull is left of the n that were planned for.
        """
        if counts.successes.shape[-1] != self.num_arms or counts.num_pulls >= self.num_pulls:
            raise InputError(
                f"BayesOptimal: planned for {self.num_arms} arms and {self.num_pulls} pulls, asked about "
                f"{counts.successes.shape[-1]} arms after {counts.num_pulls} pulls"
            )
        tried = (counts.successes + counts.failures).astype(np.int64)
        codes = tried * (tried + 1) // 2 + counts.successes.astype(np.int64)  # [K, B, A]
        order = codes.argsort(-1)
        keys = _pack(np.take_along_axis(codes, order, -1), self.num_pulls)
        rank = self.best[counts.num_pulls][np.searchsorted(self.keys[counts.num_pulls], keys)]
        return np.take_along_axis(order, rank[..., None].astype(np.int64), -1)[..., 0]


def bayes_optimal(num_arms: int, num_pulls: int) -> BayesOptimal:
    """Return the Bayes-optimal agent for k arms and n pulls, with its expected return.

    Exact but for rounding. Two arms and 100 pulls are 2.4 million states and take seconds, 5 arms and 20 pulls less.

    Raises:
        InputError: if k or n < 1, or there are more than 20 million states.
    """
    if num_arms < 1 or num_pulls < 1:
        raise InputError(f"bayes_optimal: {num_arms} arms and {num_pulls} pulls, expected at least 1 of each")
    count = num_states(num_arms, num_pulls)
    if count > MAX_STATES or _num_codes(num_pulls) ** num_arms >= 2**63:
        raise InputError(
            f"bayes_optimal: {num_arms} arms and {num_pulls} pulls have {count:.3g} states, more than "
            f"{MAX_STATES:.3g} or too wide to pack; ask for fewer pulls, or use the Gittins index"
        )
    layers = [np.zeros(1, np.int64)]
    for t in range(num_pulls - 1):
        layers.append(_following(layers[t], num_arms, num_pulls))
    value = np.zeros(0)
    best: list[np.ndarray] = []
    for t in reversed(range(num_pulls)):
        value_after = np.zeros_like if t == num_pulls - 1 else _look_up(layers[t + 1], value)
        codes = _unpack(layers[t], num_arms, num_pulls)
        value, chosen = _best_pull(codes, num_pulls, value_after)
        best.append(chosen)
    return BayesOptimal(num_arms, num_pulls, float(value[0]), tuple(layers), tuple(reversed(best)))


def num_states(num_arms: int, num_pulls: int) -> int:
    """Return how many states with fewer than n pulls there are: multisets of k pairs (s, f).

    There are m + 1 pairs with m pulls, so their number is the sum of the coefficients of xᵏ yᵗ, t < n, of
    Πₘ (1 − x yᵐ)^−(m + 1).
    """
    ways = [[0] * num_pulls for _ in range(num_arms + 1)]  # [arms placed, pulls spent], Python integers: no overflow
    ways[0][0] = 1
    for m in range(num_pulls):
        for _ in range(m + 1):  # each pair may be taken any number of times: in place, ascending
            for arms in range(1, num_arms + 1):
                for spent in range(m, num_pulls):
                    ways[arms][spent] += ways[arms - 1][spent - m]
    return sum(ways[num_arms])


def _num_codes(num_pulls: int) -> int:
    return (num_pulls + 1) * (num_pulls + 2) // 2


def _pack(codes: np.ndarray, num_pulls: int) -> np.ndarray:
    """Return one integer per tuple of codes `[..., k]`, its digits in base `_num_codes`."""
    weights = _num_codes(num_pulls) ** np.arange(codes.shape[-1], dtype=np.int64)
    return codes @ weights


def _unpack(keys: np.ndarray, num_arms: int, num_pulls: int) -> np.ndarray:
    """Return the codes `[N, k]` of packed states."""
    weights = _num_codes(num_pulls) ** np.arange(num_arms, dtype=np.int64)
    return keys[:, None] // weights % _num_codes(num_pulls)


def _pairs(num_pulls: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n and m of each code n (n + 1)/2 + s, `[codes]` each."""
    tried = np.repeat(np.arange(num_pulls + 1), np.arange(1, num_pulls + 2))
    successes = np.arange(len(tried)) - tried * (tried + 1) // 2
    return tried, (successes + 1.0) / (tried + 2.0)


def _pulled(codes: np.ndarray, arm: int, num_pulls: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the packed states `[N]` after a failure and after a success of the arm of one rank."""
    tried = _pairs(num_pulls)[0][codes[:, arm]]
    after = codes.copy()
    after[:, arm] += tried + 1
    failed = _pack(np.sort(after, -1), num_pulls)
    after[:, arm] += 1
    return failed, _pack(np.sort(after, -1), num_pulls)


def _following(keys: np.ndarray, num_arms: int, num_pulls: int) -> np.ndarray:
    """Return the states that one more pull leads to, in ascending order."""
    codes = _unpack(keys, num_arms, num_pulls)
    reached = [np.unique(states) for arm in range(num_arms) for states in _pulled(codes, arm, num_pulls)]
    return np.unique(np.concatenate(reached))


def _look_up(keys: np.ndarray, value: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda states: value[np.searchsorted(keys, states)]


def _best_pull(
    codes: np.ndarray, num_pulls: int, value_after: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of each state and the rank of its best arm, `[N]` each."""
    mean = _pairs(num_pulls)[1]
    values: list[np.ndarray] = []
    for arm in range(codes.shape[1]):
        failed, succeeded = (value_after(states) for states in _pulled(codes, arm, num_pulls))
        m = mean[codes[:, arm]]
        values.append(m * (1.0 + succeeded) + (1.0 - m) * failed)
    stacked = np.stack(values)  # [k, N]
    return stacked.max(0), stacked.argmax(0).astype(np.int8)
