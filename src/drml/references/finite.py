"""Exact values of small worlds in which an action leads to one state, by backward recursion.

With h steps left, r(s, a) what action a earns in state s, and s' where it leads,

    V_h(s) = pick over a of   r(s, a) + V_{h−1}(s'),   or where the action ends things   r(s, a) + V̄_{h−1}

`pick` is the maximum for who knows the world, and the mean for who acts at random. V̄ is the mean over the states in
which things begin anew; 0 where they do not.

Source: Bellman, 1957, "Dynamic programming".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True)
class Finite:
    """A world of S states and A actions."""

    after: np.ndarray
    """`[S, A]` the state that an action leads to."""
    reward: np.ndarray
    """`[S, A]`."""
    ends: np.ndarray
    """`[S, A]` bool: the action ends things."""
    num_starts: int = 0
    """States, the first ones, in which things begin anew, each as likely; 0 where an end is the end."""

    def values(self, horizon: int, pick: Callable[..., np.ndarray]) -> np.ndarray:
        """Return V_H `[S]`, for `pick` np.max or np.mean."""
        value, anew = np.zeros(len(self.after)), 0.0
        for _ in range(horizon):
            value = pick(self.reward + np.where(self.ends, anew, value[self.after]), axis=1)
            anew = float(value[: self.num_starts].mean()) if self.num_starts else 0.0
        return value


def walks(size: int, moves: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Return where moves (x, y) lead from each cell x S + y of a square grid with walls around, `[S², moves]`."""
    x, y = np.divmod(np.arange(size**2)[:, None], size)
    dx, dy = np.array(moves).T
    return np.clip(x + dx, 0, size - 1) * size + np.clip(y + dy, 0, size - 1)
