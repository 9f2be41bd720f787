"""The dark room with a goal: what is earned by who knows the goal, and by chance, exactly.

Who knows the goal, d steps away, walks there and stays: of H steps, H − d + 1 end on it; all H where it is the first
cell.

Source: Laskin et al. 2022, "In-context reinforcement learning with algorithm distillation", and Lee et al. 2023,
"Supervised pretraining can learn in-context reinforcement learning", for the rooms; Bellman, 1957, for the recursion.
"""

import numpy as np

from drml.references.finite import Finite, walks
from drml.suites.grid import MOVES, Cell, cells


def returns(size: int, start: Cell, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what an episode earns if the goal is known, and by random actions, for each goal in order of `cells`."""
    after = walks(size, MOVES)
    first = start[0] * size + start[1]
    found = np.empty((2, size**2))
    for goal in range(len(cells(size))):
        reward = (after == goal).astype(np.float64)
        room = Finite(after, reward, np.zeros(after.shape, np.bool_))
        found[:, goal] = [room.values(horizon, pick)[first] for pick in (np.max, np.mean)]
    return found[0], found[1]
