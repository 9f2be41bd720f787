"""Frozen lakes whose holes are hidden: a way to the other corner has to be found, and kept in mind.

    walk     from the corner (0, 0) to the opposite one: 1, and the episode ends
    hole     0, and the episode ends
    see      the position, x/S and y/S

Layouts have a fixed number of holes, each layout with a way through as likely: so they are counted.

Source: Grigsby et al. 2024, "AMAGO: scalable in-context reinforcement learning for adaptive agents", the example
"meta frozen lake"; jakegrigsby/amago amago/envs/builtin/toy_gym.py, in its plain form. There each cell is a hole with
probability 0.2, and layouts without a way are drawn again; what is seen also tells of a new attempt and of its number.
"""

import itertools
from dataclasses import dataclass
from functools import cache, partial
from typing import final

import numpy as np
from torch import Tensor

from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import Suite
from drml.envs.native import Outcome, native_suite
from drml.envs.pictures.board import Board
from drml.envs.pictures.tiles import BALL, BLUE, ICE, ORANGE, STAR, WATER, Disc
from drml.tasks.distribution import TaskDistribution
from drml.tasks.numbered import Numbered

MOVES = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
"""Moves (x, y) by action: stay, right, left, up, down."""
HOLE = Disc(0.42)


@cache
def layouts(size: int, holes: int) -> np.ndarray:
    """Return all layouts with so many holes and a way from corner to corner, `[n, S, S]` bool: True for a hole."""
    free = [cell for cell in range(size**2) if cell not in (0, size**2 - 1)]
    chosen = np.array(list(itertools.combinations(free, holes)), np.int64)
    hole = np.zeros((len(chosen), size**2), np.bool_)
    np.put_along_axis(hole, chosen, True, 1)
    hole = hole.reshape(-1, size, size)
    return hole[_has_way(hole)]


def _has_way(hole: np.ndarray) -> np.ndarray:
    """Return which layouts `[n, S, S]` have a way from corner to corner, `[n]`."""
    reached = np.zeros_like(hole)
    reached[:, 0, 0] = True
    for _ in range(hole[0].size):
        grown = reached.copy()
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown[:, :, 1:] |= reached[:, :, :-1]
        grown[:, :, :-1] |= reached[:, :, 1:]
        reached = grown & ~hole
    return reached[:, -1, -1]


def _made(size: int, holes: int, numbers: np.ndarray) -> np.ndarray:
    return layouts(size, holes)[numbers]


@final
@dataclass(frozen=True)
class Lake:
    """The physics of frozen lakes; the state is the position `[K, B, 2]`."""

    size: int
    """S, cells per side."""
    hole: Tensor
    """`[K, S²]` bool, by x S + y."""
    moves: Tensor
    """`[5, 2]`."""
    corner: Tensor
    """`[K, B, 2]` zeros: where episodes start."""

    def start(self, t: int) -> Tensor:
        """Return the corner."""
        return self.corner

    def observe(self, state: Tensor) -> Tensor:
        """Return the position as shares of the side."""
        return state / self.size

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Move by one cell, or not at all at the edge; the goal and the holes end the episode."""
        after = (state + self.moves[action]).clamp(0, self.size - 1)
        cell = (after[..., 0] * self.size + after[..., 1]).long()  # [K, B]
        arrived = cell == self.size**2 - 1
        return Outcome(after, arrived.float(), arrived | self.hole.gather(1, cell), arrived)

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures of the way so far over the ice, and of the holes, which are hidden from the agent."""
        x, y = states.unbind(-1)
        board = Board(len(states), self.size, self.size, ICE)
        board.trail(x, y)
        board.lay(HOLE, WATER, self.hole[task].cpu().view(self.size, self.size))
        board.put(STAR, ORANGE, self.size - 1, self.size - 1)
        board.put(BALL, BLUE, x, y)
        return board.frames

    def words(self, task: int) -> str:
        """Return where the holes are."""
        cells = self.hole[task].nonzero().flatten().tolist()
        return f"holes at {', '.join(str(divmod(cell, self.size)) for cell in cells)}"


def _begin(size: int, tasks: Tasks, copies: int, rng: Streams) -> Lake:
    hole = tasks.params["hole"]
    return Lake(size, hole.flatten(1) > 0.5, hole.new_tensor(MOVES), hole.new_zeros(len(tasks), copies, 2))


def lake_suite(size: int, holes: int, count: int) -> Suite:
    """Return the suite of lakes of `size` x `size` cells, of whose layouts there are `count`."""
    things = f"layouts of {size} x {size} cells with {holes} holes and a way through"
    return native_suite(
        f"meta-frozen-lake-{size}x{size}-v1",
        f"A frozen lake of {size} x {size} cells with {holes} hidden holes: 1 for the far corner, {size**2} steps.",
        "Grigsby et al. 2024 (AMAGO), meta frozen lake, as in jakegrigsby/amago envs/builtin/toy_gym.py: the position "
        "is seen, x/S and y/S, actions are stay, right, left, up, down, ice is not slippery, the goal and holes end "
        "the episode, S² steps at most. There each cell is a hole with probability 0.2; here their number is fixed.",
        TaskDistribution({"hole": Numbered(things, count, (size, size), partial(_made, size, holes))}),
        EnvSpec(2, ActionSpec("discrete", len(MOVES)), size**2),
        partial(_begin, size),
        success="the step to the far corner, the last one",
    )


SUITES: tuple[Suite, ...] = (lake_suite(4, 4, 757), lake_suite(5, 5, 29_351))
"""Lakes by size."""
