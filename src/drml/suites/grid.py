"""Grids of cells, where something that matters is hidden or seen only once.

    gridnavi     a goal cell is hidden: reward 1 on it, −0.1 elsewhere
    dark room    a goal cell is hidden: reward 1 on it, 0 elsewhere
    dark key     a key and a door are hidden: 1 for the key, then 1 for the door, which ends the episode
    t-maze       a cue at the start says which way to turn at the end of a corridor

All need memory: of the cells tried, of having the key, of the cue.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor

from drml.core.rng import BlockNoise, Streams
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import Suite
from drml.envs.native import ROWS_PER_BLOCK, Outcome, native_suite
from drml.envs.pictures.board import Board
from drml.envs.pictures.tiles import ARROW, BALL, BLUE, DOOR, GREY, KEY, ORANGE, PAPER, STAR, WALL, WHOLE, YELLOW
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice

Cell = tuple[int, int]
"""x and y, from 0."""

MOVES: tuple[Cell, ...] = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
"""Moves by action in gridnavi and the dark rooms: stay, up, right, down, left."""
MAZE_MOVES: tuple[Cell, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Moves by action in the T-maze: right, up, left, down."""
STEP_REWARD = -0.1  # of gridnavi, away from the goal
GOAL_REWARD = 1.0
ON_THE_GOAL = "a step that ends on the goal"


def cells(size: int) -> tuple[Cell, ...]:
    """Return the cells of a square grid."""
    return tuple(itertools.product(range(size), range(size)))


def goal_cells(size: int) -> tuple[Cell, ...]:
    """Return where the goal of gridnavi may lie: outside of the 2 x 2 cells around the start (0, 0)."""
    return tuple((x, y) for x, y in cells(size) if max(x, y) > 1)


@final
@dataclass(frozen=True)
class GridNavi:
    """The physics of gridnavi and of the dark room with a goal; the state is the position `[K, B, 2]`."""

    size: int
    """Cells per side."""
    goal: Tensor
    """`[K, 1, 2]`."""
    moves: Tensor
    """`[5, 2]`."""
    first: Tensor
    """`[K, B, 2]` where episodes start."""
    step_reward: float
    """Reward away from the goal."""
    never: Tensor
    """`[K, B]` bool, False."""
    one_hot: Tensor | None = None
    """`[size², size²]` identity where the cell is seen one-hot; None: it is seen as x and y."""

    def start(self, t: int) -> Tensor:
        """Return the first cell."""
        return self.first

    def observe(self, state: Tensor) -> Tensor:
        """Return the position, `[K, B, 2]`, or the cell one-hot, `[K, B, size²]`."""
        return state if self.one_hot is None else _cell_seen(state, self.size, self.one_hot)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Move by one cell, or not at all at the edge."""
        after = (state + self.moves[action]).clamp(0, self.size - 1)
        arrived = (after == self.goal).all(-1)
        return Outcome(after, torch.where(arrived, GOAL_REWARD, self.step_reward), self.never, arrived)

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures of the way so far, and of the goal, which is hidden from the agent."""
        x, y = states.unbind(-1)
        board = Board(len(states), self.size, self.size)
        board.trail(x, y)
        board.put(STAR, ORANGE, *self.goal[task, 0].tolist())
        board.put(BALL, BLUE, x, y)
        return board.frames

    def words(self, task: int) -> str:
        """Return nothing: the goal is a parameter."""
        return ""


@final
@dataclass(frozen=True)
class DarkRoom:
    """The physics of the dark room with a key and a door; the state `[K, B, 3]` is the position and having the key."""

    size: int
    """Cells per side."""
    key: Tensor
    """`[K, 1, 2]`."""
    door: Tensor
    """`[K, 1, 2]`."""
    moves: Tensor
    """`[5, 2]`."""
    one_hot: Tensor
    """`[size², size²]` identity."""
    start_noise: BlockNoise
    """Rows `[K, B]`, uniform."""

    def start(self, t: int) -> Tensor:
        """Return a random cell, without the key."""
        unit = self.start_noise.row(t).to(self.moves.device)
        cell = (unit * self.size**2).long().clamp(max=self.size**2 - 1)
        return torch.stack([cell // self.size, cell % self.size, torch.zeros_like(cell)], -1).float()

    def observe(self, state: Tensor) -> Tensor:
        """Return the cell, one-hot, `[K, B, size²]`: nothing tells of the key, the door or having the key."""
        return _cell_seen(state, self.size, self.one_hot)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Move by one cell; take the key where it lies, and leave by the door with the key."""
        after = (state[..., :2] + self.moves[action]).clamp(0, self.size - 1)
        had_key = state[..., 2] > 0.0
        has_key = had_key | (after == self.key).all(-1)
        leaves = has_key & (after == self.door).all(-1)
        reward = (has_key & ~had_key).float() + leaves.float()
        return Outcome(torch.cat([after, has_key.unsqueeze(-1).float()], -1), reward, leaves, leaves)

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures of the way so far, the door and the key, both of which are hidden from the agent."""
        x, y, has_key = states.unbind(-1)
        board = Board(len(states), self.size, self.size)
        board.trail(x, y)
        board.put(DOOR, ORANGE, *self.door[task, 0].tolist())
        board.put(BALL, BLUE, x, y)
        key_x, key_y = self.key[task, 0].tolist()
        board.put(KEY, YELLOW, key_x, key_y, has_key == 0.0)
        board.put(KEY.scaled(0.6), YELLOW, x, y, has_key > 0.0)
        return board.frames

    def words(self, task: int) -> str:
        """Return nothing: key and door are parameters."""
        return ""


@final
@dataclass(frozen=True)
class TMaze:
    """The physics of the T-maze; the state is x, y, the cue ±1 and the steps of this episode so far, `[K, B, 4]`."""

    corridor_length: int
    """L: the junction is at x = L, the two arms at (L, ±1)."""
    meaning: Tensor
    """`[K, 1]` ±1: the goal is the arm y = meaning x cue."""
    moves: Tensor
    """`[4, 2]`."""
    cue_noise: BlockNoise
    """Rows `[K, B]`, uniform."""
    never: Tensor
    """`[K, B]` bool, False: it is the horizon that ends an episode."""

    def start(self, t: int) -> Tensor:
        """Return the start of the corridor, with a cue that is up or down, each as likely."""
        cue = (self.cue_noise.row(t).to(self.moves.device) < 0.5) * 2.0 - 1.0
        zero = torch.zeros_like(cue)
        return torch.stack([zero, zero, cue, zero], -1)

    def observe(self, state: Tensor) -> Tensor:
        """Return (0, cue) at first, then (0, 0) in the corridor and (1, y) at its end, `[K, B, 2]`."""
        x, y, cue, elapsed = state.unbind(-1)
        at_end = (x >= self.corridor_length).float()
        return torch.stack([at_end, torch.where(elapsed == 0.0, cue, y)], -1)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Move by one cell, or not at all into a wall."""
        x, y, cue, elapsed = state.unbind(-1)
        wanted_x, wanted_y = (state[..., :2] + self.moves[action]).unbind(-1)
        in_corridor = (wanted_y == 0.0) & (wanted_x >= 0.0) & (wanted_x <= self.corridor_length)
        in_arm = (wanted_x == self.corridor_length) & (wanted_y.abs() == 1.0)
        is_free = in_corridor | in_arm
        x, y, elapsed = torch.where(is_free, wanted_x, x), torch.where(is_free, wanted_y, y), elapsed + 1.0
        late = (x < elapsed).float() / -self.corridor_length
        is_right, is_last = y == self.meaning * cue, elapsed > self.corridor_length
        reward = torch.where(is_last, is_right.float(), late)
        return Outcome(torch.stack([x, y, cue, elapsed], -1), reward, self.never, is_right & is_last)

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures of the maze: the cue as long as it is seen, and the arm that is paid for."""
        x, y, cue, elapsed = states.unbind(-1)
        end = self.corridor_length
        board = Board(len(states), end + 1, 3, WALL)
        free = np.zeros((end + 1, 3), np.bool_)
        free[:, 1], free[end] = True, True
        board.lay(WHOLE, PAPER, free)
        board.put(STAR, ORANGE, end, 1.0 + self.meaning[task, 0].cpu() * cue)
        for sign, arrow in ((1.0, ARROW), (-1.0, ARROW.turned(2))):
            board.put(arrow, ORANGE, 0, 1.0 + sign, (cue == sign) & (elapsed == 0.0))
            board.put(arrow, GREY, 0, 1.0 + sign, (cue == sign) & (elapsed > 0.0))
        board.put(BALL, BLUE, x, 1.0 + y)
        return board.frames

    def words(self, task: int) -> str:
        """Return what the cue means."""
        return f"the cue points {'to' if self.meaning[task, 0] > 0 else 'away from'} the goal"


def _cell_seen(state: Tensor, size: int, one_hot: Tensor) -> Tensor:
    """Return the cells of positions `[K, B, 2 or more]` one-hot, `[K, B, size²]`."""
    return torch.nn.functional.embedding((state[..., 0] * size + state[..., 1]).long(), one_hot)


def _begin_navi(
    size: int, start: Cell, step_reward: float, one_hot: bool, tasks: Tasks, copies: int, rng: Streams
) -> GridNavi:
    goal = tasks.params["goal"].unsqueeze(1)  # [K, 1, 2]
    first = goal.new_tensor(start).expand(len(tasks), copies, 2).contiguous()
    never = torch.zeros_like(first[..., 0], dtype=torch.bool)
    seen = torch.eye(size**2, device=goal.device) if one_hot else None
    return GridNavi(size, goal, goal.new_tensor(MOVES), first, step_reward, never, seen)


def _begin_dark(size: int, tasks: Tasks, copies: int, rng: Streams) -> DarkRoom:
    key, door = tasks.params["key"].unsqueeze(1), tasks.params["door"].unsqueeze(1)
    noise = BlockNoise(rng["start"], tasks.ids, copies, "uniform", (), ROWS_PER_BLOCK)
    return DarkRoom(size, key, door, key.new_tensor(MOVES), torch.eye(size**2, device=key.device), noise)


def _begin_maze(corridor_length: int, tasks: Tasks, copies: int, rng: Streams) -> TMaze:
    meaning = tasks.params["meaning"].unsqueeze(1)  # [K, 1]
    noise = BlockNoise(rng["cue"], tasks.ids, copies, "uniform", (), ROWS_PER_BLOCK)
    never = torch.zeros((len(tasks), copies), dtype=torch.bool, device=meaning.device)
    return TMaze(corridor_length, meaning, meaning.new_tensor(MAZE_MOVES), noise, never)


def _spec(obs_size: int, num_actions: int, horizon: int, *, tells_marks: bool) -> EnvSpec:
    """Return the spec of a grid in which a cell is seen as marks, one-hot or a sign, or as x and y."""
    marks = range(obs_size if tells_marks else 0)
    return EnvSpec(obs_size, ActionSpec("discrete", num_actions), horizon, flags=tuple(marks))


def grid_navi_suite(name: str, size: int, horizon: int) -> Suite:
    """Return gridnavi on a grid of `size` x `size` cells with episodes of `horizon` steps; the tasks are all goals."""
    return native_suite(
        name,
        f"A {size} x {size} grid with a hidden goal cell: 1 on it, -0.1 elsewhere, {horizon} steps from the corner.",
        "Zintgraf et al. 2020 (VariBAD), section 5.1, as in lmzintgraf/varibad environments/navigation/gridworld.py: "
        "the goal is uniform outside of the 2 x 2 cells around the start (0, 0) and does not end the episode, what is "
        "seen is x and y, actions are stay, up, right, down, left. There 4 episodes are a trial.",
        TaskDistribution({"goal": Choice(goal_cells(size))}, held_out=False),
        _spec(2, len(MOVES), horizon, tells_marks=False),
        partial(_begin_navi, size, (0, 0), STEP_REWARD, False),
        success=ON_THE_GOAL,
    )


def dark_room_suite(name: str, source: str, size: int, start: Cell, horizon: int, *, one_hot: bool) -> Suite:
    """Return the dark room of `size` x `size` cells with a hidden goal anywhere; each step on it pays 1."""
    return native_suite(
        name,
        f"A dark {size} x {size} room with a hidden goal: 1 for each step on it, 0 elsewhere, {horizon} steps.",
        source,
        TaskDistribution({"goal": Choice(cells(size))}),
        _spec(size**2 if one_hot else 2, len(MOVES), horizon, tells_marks=one_hot),
        partial(_begin_navi, size, start, 0.0, one_hot),
        success=ON_THE_GOAL,
    )


SUITES: tuple[Suite, ...] = (
    grid_navi_suite("gridnavi-varibad-v1", 5, 15),
    dark_room_suite(
        "dark-room-dpt-v1",
        "Lee et al. 2023 (DPT), section 5.2, as in jon--lee/decision-pretrained-transformer: 100 steps from the corner "
        "(0, 0), what is seen is x and y, the goal does not end the episode. There 80 goals are for training, 20 for "
        "tests; here the splits of all families, 8 in 10, 1 in 10 and 1 in 10.",
        10,
        (0, 0),
        100,
        one_hot=False,
    ),
    dark_room_suite(
        "dark-room-ad-v1",
        "Laskin et al. 2022 (algorithm distillation), section 4, in the form of corl-team/toy-meta-gym dark_room.py: "
        "20 steps from the middle, the cell is seen one-hot, the goal does not end the episode.",
        9,
        (4, 4),
        20,
        one_hot=True,
    ),
    native_suite(
        "dark-key-to-door-v1",
        "A dark 9 x 9 room: find the hidden key, then the hidden door, within 50 steps.",
        "Laskin et al. 2022 (algorithm distillation), section 4, in the form of corl-team/toy-meta-gym "
        "dark_key_door.py: random start, reward 1 for the key and 1 for the door, which ends the episode; the cell is "
        "seen one-hot. Key and door are independent here and may share a cell.",
        TaskDistribution({"key": Choice(cells(9)), "door": Choice(cells(9))}),
        _spec(81, len(MOVES), 50, tells_marks=True),
        partial(_begin_dark, 9),
        success="the step by which the door is left with the key, the last one",
    ),
    native_suite(
        "tmaze-passive-v1",
        "A cue, seen at the first step only, says which way to turn at the end of a corridor of 10 cells.",
        "Bakker 2001, in the form of Ni et al. 2023, 'When do transformers shine in RL?', twni2016/Memory-RL "
        "envs/tmaze.py (TMazeClassicPassive): 11 steps, 1 at the last where the arm is right, -1/10 at each earlier "
        "one that is behind x = t. The cue is drawn for each episode, so that there is one task, and only memory "
        "within an episode helps: the best return is 1 with it and 0.5 without.",
        TaskDistribution({"meaning": Choice((1.0,))}, held_out=False),
        _spec(2, len(MAZE_MOVES), 11, tells_marks=True),
        partial(_begin_maze, 10),
        horizon_terminates=True,
        success="the last step, where it ends in the right arm",
    ),
)
"""The grids."""
