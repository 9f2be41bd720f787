"""The Bayes-optimal search of gridnavi: against all action sequences of small problems, and in the environment."""

import itertools

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.references.grid import GridSearch, bayes_optimal_search, follow, informed_returns
from drml.suites.grid import MOVES, goal_cells, grid_navi_suite

ROUNDING = 1e-9  # of sums of a few hundred numbers below 20


def trial_return(goal: tuple[int, int], actions: tuple[int, ...], size: int, horizon: int) -> float:
    """Return the total of a trial that follows the actions until the goal is found, then the best it can."""
    position, total, found = (0, 0), 0.0, False
    for t, action in enumerate(actions):
        if t % horizon == 0:
            position = (0, 0)
        move = MOVES[action]
        if found:  # one step along x, or along y, towards the goal
            dx, dy = (int(np.sign(g - p)) for g, p in zip(goal, position, strict=True))
            move = (dx, 0) if dx else (0, dy)
        x, y = (min(max(p + m, 0), size - 1) for p, m in zip(position, move, strict=True))
        position = (x, y)
        found = found or position == goal
        total += 1.0 if position == goal else -0.1
    return total


@pytest.mark.parametrize(("horizon", "episodes"), [(5, 1), (3, 2), (2, 3)])
def test_no_sequence_of_actions_is_better(horizon: int, episodes: int):
    goals = goal_cells(3)
    best = max(
        sum(trial_return(goal, actions, 3, horizon) for goal in goals)
        for actions in itertools.product(range(1, 5), repeat=horizon * episodes)  # staying shows nothing
    )
    search = bayes_optimal_search(3, horizon, episodes)
    assert search.returns.sum() == pytest.approx(best, abs=ROUNDING)


def test_a_single_episode_by_hand():
    # 3 x 3, 6 steps: the 5 goals lie on an L, entered at steps 2 to 6: ρ(τ) = (7 − τ) − 0.1 (τ − 1) = 7.1 − 1.1 τ.
    search = bayes_optimal_search(3, 6, 1)
    assert search.expected_returns.tolist() == pytest.approx([7.1 - 1.1 * 4], abs=ROUNDING)


def test_the_published_problem():
    search = bayes_optimal_search()
    # The first episode enters new goals at steps 2 to 15, which nobody can improve on: 14 x 16.1 − 1.1 (2 + .. + 15)
    # = 94.5, less 1.5 for each of the 7 others: 84/21. The second reaches these 7 without detours.
    known = [16.1 - 1.1 * (x + y) for x, y in goal_cells(5)]
    expected = [4.0, np.mean(known), np.mean(known), np.mean(known)]
    assert search.expected_returns.tolist() == pytest.approx(expected, abs=ROUNDING)
    assert informed_returns().tolist() == pytest.approx(known, abs=ROUNDING)
    assert np.mean(known) == pytest.approx(155 / 14, abs=ROUNDING)


@pytest.mark.parametrize("search", [bayes_optimal_search(), bayes_optimal_search(4, 7, 3)], ids=["5x5", "4x4"])
def test_the_environment_pays_what_was_computed(search: GridSearch):
    tasks = grid_navi_suite("gridnavi", search.size, search.horizon).tasks.all_tasks()
    returns = follow(search, tasks, Streams(0))
    # float32 rewards: at most 15 additions of numbers below 15.
    np.testing.assert_allclose(returns.double().numpy(), search.returns, atol=2e-5)
    goals = [tuple(goal) for goal in tasks.params["goal"].long().tolist()]
    assert goals == list(goal_cells(search.size))


def test_a_goal_out_of_reach_is_never_found():
    search = bayes_optimal_search(4, 3, 2)
    goals = goal_cells(4)
    far = [i for i, (x, y) in enumerate(goals) if x + y > 3]
    np.testing.assert_allclose(search.returns[far], -0.3, atol=ROUNDING)
    assert torch.isfinite(torch.from_numpy(search.returns)).all()


@pytest.mark.parametrize("problem", [(2, 5, 1), (8, 5, 1), (5, 0, 1), (5, 5, 0)])
def test_bad_problems_are_refused(problem: tuple[int, int, int]):
    with pytest.raises(InputError, match="expected 3 <= size <= 7 and at least 1 step and episode"):
        bayes_optimal_search(*problem)
