"""Grids against walks worked out by hand."""

from collections.abc import Callable

import pytest
import torch

from drml.core.rng import Streams
from drml.core.types import Step, Tasks
from drml.envs.api import EnvOptions, Suite
from drml.suites.grid import SUITES, goal_cells

NAVI, DPT, AD, DARK, MAZE = SUITES
STAY, UP, RIGHT, DOWN, LEFT = range(5)
MAZE_RIGHT, MAZE_UP, MAZE_LEFT, MAZE_DOWN = range(4)


def begin(suite: Suite, copies: int = 1, **params: list) -> tuple[torch.Tensor, Callable[[int | torch.Tensor], Step]]:
    """Return the first observations, and a function that does one action in all copies, or `[K, B]` actions."""
    values = {name: torch.tensor(value, dtype=torch.float64) for name, value in params.items()}
    tasks = Tasks(values, torch.arange(len(next(iter(values.values())))))
    env = suite.make(EnvOptions())
    obs = env.reset(tasks, copies, Streams(0))
    return obs, lambda action: env.step(torch.as_tensor(action).expand(obs.shape[:2]).contiguous())


def test_gridnavi_pays_on_the_goal_and_charges_elsewhere():
    obs, act = begin(NAVI, goal=[[0.0, 2.0], [4.0, 4.0]])
    assert obs.tolist() == [[[0.0, 0.0]]] * 2
    steps = [act(action) for action in (UP, UP, STAY, UP)]
    assert [step.obs[0, 0].tolist() for step in steps] == [[0.0, 1.0], [0.0, 2.0], [0.0, 2.0], [0.0, 3.0]]
    assert [round(step.reward[0, 0].item(), 6) for step in steps] == [-0.1, 1.0, 1.0, -0.1]
    assert [round(step.reward[1, 0].item(), 6) for step in steps] == [-0.1] * 4
    assert not any(step.terminated.any() for step in steps)


def test_gridnavi_has_walls_and_ends_after_fifteen_steps():
    _, act = begin(NAVI, goal=[[4.0, 4.0]])
    walk = [LEFT, DOWN, *[RIGHT] * 5, *[UP] * 5, DOWN, LEFT, STAY]
    steps = [act(action) for action in walk]
    seen = [tuple(step.final_obs[0, 0].long().tolist()) for step in steps]
    assert seen[:7] == [(0, 0), (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (4, 0)]
    assert seen[7:] == [(4, 1), (4, 2), (4, 3), (4, 4), (4, 4), (4, 3), (3, 3), (3, 3)]
    assert [step.truncated.item() for step in steps] == [False] * 14 + [True]
    assert steps[-1].obs.tolist() == [[[0.0, 0.0]]]


def test_gridnavi_goals_lie_outside_of_the_corner():
    goals = NAVI.tasks.all_tasks().params["goal"].long().tolist()
    assert len(goals) == 21 and not {(0, 0), (0, 1), (1, 0), (1, 1)} & {tuple(goal) for goal in goals}
    assert [tuple(goal) for goal in goals] == list(goal_cells(5))


def cell_of(obs: torch.Tensor) -> tuple[int, int]:
    assert obs.sum().item() == 1.0
    return divmod(int(obs.argmax()), 9)


def walk(act: Callable[..., Step], start: tuple[int, int], goal: tuple[int, int]) -> list[Step]:
    """Go to a cell, first along x."""
    dx, dy = goal[0] - start[0], goal[1] - start[1]
    actions = [RIGHT if dx > 0 else LEFT] * abs(dx) + [UP if dy > 0 else DOWN] * abs(dy)
    return [act(action) for action in actions]


def test_the_dark_room_needs_the_key_before_the_door():
    obs, act = begin(DARK, key=[[0.0, 8.0]], door=[[8.0, 0.0]])
    start = cell_of(obs[0, 0])
    to_door = walk(act, start, (8, 0))
    assert not any(step.terminated.any() for step in to_door)  # no key yet
    assert sum(step.reward.item() for step in to_door) == 0.0  # along x first: the key is not met
    to_key = walk(act, (8, 0), (0, 8))
    assert [step.reward.item() for step in to_key] == [0.0] * 15 + [1.0]
    assert act(STAY).reward.item() == 0.0  # the key pays once
    back = walk(act, (0, 8), (8, 0))
    assert [step.reward.item() for step in back] == [0.0] * 15 + [1.0]
    assert [step.terminated.item() for step in back] == [False] * 15 + [True]
    assert cell_of(back[-1].final_obs[0, 0]) == (8, 0)


def test_a_new_episode_in_the_dark_room_has_no_key():
    _, act = begin(DARK, key=[[4.0, 4.0]], door=[[4.0, 4.0]])
    first = act(STAY)
    for _ in range(2):
        start = cell_of(first.obs[0, 0])
        if start == (4, 4):
            act(RIGHT)
            start = (5, 4)
        first = walk(act, start, (4, 4))[-1]
        assert first.reward.item() == 2.0 and first.terminated.item()  # key and door share the cell


def test_the_dark_room_starts_anywhere():
    copies = 40_500
    obs, act = begin(DARK, copies, key=[[0.0, 0.0]], door=[[0.0, 0.0]])
    frequency = obs[0].mean(0)
    # 81 cells, 500 starts expected in each: standard deviation √(80/81²/40500).
    assert (frequency - 1 / 81).abs().max().item() < 5.0 * (80 / 81**2 / copies) ** 0.5
    step = [act(UP) for _ in range(50)][-1]
    assert step.truncated.all() and not step.terminated.any()  # nobody entered (0, 0), where key and door are


def test_the_cue_of_the_maze_is_seen_once():
    obs, act = begin(MAZE, 2000, meaning=[1.0])
    cue = obs[0, :, 1]
    assert (obs[..., 0] == 0.0).all() and cue.unique().tolist() == [-1.0, 1.0]
    assert abs(cue.mean().item()) < 5.0 / 2000**0.5
    corridor = [act(MAZE_RIGHT) for _ in range(10)]
    assert not torch.stack([step.obs for step in corridor[:-1]]).any()
    assert torch.equal(corridor[-1].obs[0], torch.tensor([[1.0, 0.0]]).expand(2000, 2))
    assert not torch.stack([step.reward for step in corridor]).any()
    last = act(torch.where(cue > 0, MAZE_UP, MAZE_DOWN))
    assert last.reward.unique().tolist() == [1.0]
    assert last.terminated.all() and not last.truncated.any()
    assert torch.equal(last.final_obs[0], torch.stack([torch.ones_like(cue), cue], -1))
    assert not torch.equal(last.obs[0, :, 1], cue)  # a new cue for the next episode


@pytest.mark.parametrize(("meaning", "share"), [(1.0, 1.0), (-1.0, 0.0)])
def test_the_meaning_says_which_arm_pays(meaning: float, share: float):
    obs, act = begin(MAZE, 50, meaning=[meaning])
    for _ in range(10):
        act(MAZE_RIGHT)
    assert act(torch.where(obs[..., 1] > 0, MAZE_UP, MAZE_DOWN)).reward.mean().item() == share


def test_the_maze_charges_for_being_behind_and_has_walls():
    _, act = begin(MAZE, meaning=[1.0])
    # x after the steps: 0 (wall), 0 (wall), 1, 0, 1 .. 6; behind x = t at each but the last, which pays for an arm.
    steps = [act(action) for action in (MAZE_UP, MAZE_LEFT, MAZE_RIGHT, MAZE_LEFT, *[MAZE_RIGHT] * 7)]
    assert [round(step.reward.item(), 6) for step in steps] == [-0.1] * 10 + [0.0]
    assert steps[2].obs.tolist() == [[[0.0, 0.0]]]  # no cue on the way, nor where it was seen first
    assert steps[3].obs.tolist() == [[[0.0, 0.0]]]
