"""Frozen lakes: played by who knows the layout, by chance, and as well as can be without being told.

A walk shows of each cell that is entered whether it is a hole, and nothing else. So what is known is the set of layouts
that agree with it, and the best that can be expected of E episodes is

    V(known, cell, h, e) = max over moves of  Σ over (hole, ice) of  P(it is one | known) · what follows

where a hole, the goal or the last step leads to the corner and episode e + 1.

Source: Bellman, 1957, "Dynamic programming"; Duff, 2002, "Optimal learning", for the recursion over what is known.
"""

from collections import deque
from functools import cache

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import BatchEnv
from drml.references.finite import Finite, walks
from drml.suites.games.lake import MOVES, layouts

MAX_KNOWN = 400  # layouts: with more, the recursion takes hours


def returns(hole: np.ndarray, horizon: int) -> tuple[float, float]:
    """Return what an episode on a layout `[S, S]` earns if it is known, and by random actions."""
    after = walks(len(hole), MOVES)
    goal = after == hole.size - 1
    lake = Finite(after, goal.astype(np.float64), goal | hole.ravel()[after])
    best, random = (float(lake.values(horizon, pick)[0]) for pick in (np.max, np.mean))
    return best, random


def best_expected(size: int, holes: int, horizon: int, episodes: int) -> float:
    """Return the largest expected sum of returns over E episodes on one lake whose layout is not known.

    Raises:
        InputError: if there are more than `MAX_KNOWN` layouts.
    """
    hole = layouts(size, holes).reshape(-1, size**2)  # [layouts, cells]
    if len(hole) > MAX_KNOWN:
        raise InputError(
            f"best_expected: {len(hole)} layouts, at most {MAX_KNOWN} can be searched; ask for a smaller lake"
        )
    with_hole = [sum(1 << int(i) for i in np.flatnonzero(hole[:, cell])) for cell in range(size**2)]
    after, goal = walks(size, MOVES).tolist(), size**2 - 1

    @cache
    def value(known: int, cell: int, left: int, episodes_left: int) -> float:
        if left == 0:
            return value(known, 0, horizon, episodes_left - 1) if episodes_left > 1 else 0.0
        return max(worth(known, there, left, episodes_left) for there in set(after[cell]))

    def worth(known: int, there: int, left: int, episodes_left: int) -> float:
        if there == goal:
            return 1.0 + value(known, 0, 0, episodes_left)
        broken = known & with_hole[there]
        share = broken.bit_count() / known.bit_count()
        falls = share * value(broken, 0, 0, episodes_left) if broken else 0.0
        walks_on = (1.0 - share) * value(known & ~broken, there, left - 1, episodes_left) if broken != known else 0.0
        return falls + walks_on

    return value((1 << len(hole)) - 1, 0, horizon, episodes)


def way(hole: np.ndarray) -> list[int]:
    """Return a shortest list of actions from corner to corner on a layout `[S, S]` that has a way."""
    after, broken = walks(len(hole), MOVES), hole.ravel()
    found: dict[int, list[int]] = {0: []}
    queue = deque([0])
    while (cell := queue.popleft()) != hole.size - 1:
        for action, there in enumerate(after[cell].tolist()):
            if there not in found and not broken[there]:
                found[there] = [*found[cell], action]
                queue.append(there)
    return found[hole.size - 1]


def play(env: BatchEnv, tasks: Tasks, rng: Streams) -> Tensor:
    """Return what who knows the layouts earns in the first episode of each task, `[K]`."""
    ways = [way(hole > 0.5) for hole in tasks.params["hole"].numpy()]
    env.reset(tasks, 1, rng)
    earned = torch.zeros(len(tasks))
    for t in range(max(len(actions) for actions in ways)):
        action = torch.tensor([[actions[t] if t < len(actions) else 0] for actions in ways])
        is_first = torch.tensor([t < len(actions) for actions in ways])
        earned += env.step(action).reward[:, 0] * is_first
    return earned
