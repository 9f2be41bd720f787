"""Classical bandit agents: choices worked out by hand, and the scores that were published."""

import math

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.references.bandit import (
    BanditAgent,
    Counts,
    Greedy,
    LikeliestThompson,
    OptimisticThompson,
    RandomAgent,
    Thompson,
    Ucb1,
    play,
)
from drml.references.bandit_optimum import bayes_optimal
from drml.references.gittins import discounted_gittins, finite_gittins

PUBLISHED_TRIALS = 1000  # behind each published mean


def counts(*arms: tuple[int, int], copies: int = 1) -> Counts:
    """Return counts of one task from (successes, failures) of each arm."""
    successes, failures = np.array(arms, dtype=float).T
    return Counts(*(np.broadcast_to(value, (1, copies, len(arms))) for value in (successes, failures)))


def tasks(num_tasks: int, num_arms: int) -> Tasks:
    mean = Streams(0)["tasks"].generator().random((num_tasks, num_arms))
    return Tasks({"mean": torch.from_numpy(mean)}, torch.arange(num_tasks))


def choices(agent: BanditAgent, seen: Counts) -> np.ndarray:
    return agent.act(seen, Streams(1)["agent"])[0]


def test_counts_are_what_was_seen():
    seen = Counts(np.zeros((2, 1, 2)), np.zeros((2, 1, 2)))
    seen = seen.after(np.array([[0], [1]]), np.array([[1.0], [0.0]])).after(np.array([[0], [0]]), np.zeros((2, 1)))
    assert seen.successes[:, 0].tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert seen.failures[:, 0].tolist() == [[1.0, 0.0], [1.0, 1.0]]
    assert seen.num_pulls == 2
    assert seen.posterior_mean[:, 0].tolist() == [[0.5, 0.5], [1 / 3, 1 / 3]]  # (1 + 1)/(2 + 2), 1/2; 1/3, 1/3


def test_greedy_takes_the_largest_posterior_mean():
    assert choices(Greedy(), counts((1, 1), (5, 3), (0, 0))).tolist() == [1]  # 1/2, 6/10, 1/2
    assert choices(Greedy(), counts((1, 0), (6, 4))).tolist() == [0]  # 2/3, 7/12


def test_ucb1_weighs_uncertainty():
    seen = counts((6, 4), (0, 0))  # m = 7/12 and 1/2; √(2 ln 10/12) = 0.619, √(2 ln 10/2) = 1.517
    assert choices(Ucb1(1.0), seen).tolist() == [1]
    assert choices(Ucb1(0.09), seen).tolist() == [0]  # 0.583 + 0.056 > 0.5 + 0.137
    assert choices(Ucb1(0.1), seen).tolist() == [1]  # 0.583 + 0.062 < 0.5 + 0.152


def test_random_pulls_each_arm_as_often():
    copies = 10_000
    share = np.bincount(choices(RandomAgent(), counts((9, 0), (0, 9), (0, 0), copies=copies))) / copies
    assert share == pytest.approx(1 / 3, abs=5.0 * math.sqrt(2 / 9 / copies))


def test_thompson_pulls_an_arm_with_the_probability_that_it_is_best():
    copies = 20_000
    # P(θ₁ > θ₂) for θ₁ ~ Beta(2, 1), θ₂ uniform is E[θ₁] = 2/3.
    tolerance = 5.0 * math.sqrt(2 / 9 / copies)
    seen = counts((1, 0), (0, 0), copies=copies)
    assert (choices(Thompson(), seen) == 0).mean() == pytest.approx(2 / 3, abs=tolerance)
    # With max(θ, m): m = 2/3 and 1/2. P(θ₂' > θ₁'): θ₂ has to exceed 2/3; there θ₁ has density 2θ, so
    # P(second) = ∫_{2/3}^1 P(θ₁ < x) dx = ∫ x² dx = (1 − 8/27)/3 = 19/81.
    assert (choices(OptimisticThompson(), seen) == 0).mean() == pytest.approx(62 / 81, abs=tolerance)


def test_the_likeliest_of_one_draw_is_thompson_sampling():
    copies = 20_000
    seen = counts((1, 0), (0, 0), copies=copies)
    share = (choices(LikeliestThompson(1), seen) == 0).mean()
    assert share == pytest.approx(2 / 3, abs=5.0 * math.sqrt(2 / 9 / copies))


def test_the_likeliest_of_many_draws_is_near_the_mode():
    seen = counts((8, 2), (2, 8), copies=500)  # modes 0.8 and 0.2
    assert (choices(LikeliestThompson(50), seen) == 0).all()
    # A single draw may well be the wrong way round: means 3/4 and 1/4, standard deviations 0.12.
    assert (choices(Thompson(), counts((8, 2), (2, 8), copies=20_000)) == 1).any()


def tolerance(returns: torch.Tensor) -> float:
    """Return the rounding of one printed digit and 4 standard errors of the difference of two means."""
    return 0.05 + 4.0 * returns.std().item() * math.sqrt(1.0 / len(returns) + 1.0 / PUBLISHED_TRIALS)


@pytest.mark.parametrize(
    ("agent", "published"),
    [  # Duan et al. 2016, table 1, n = 10, k = 5; c and N chosen by the score, as there
        (RandomAgent(), 5.0),
        (finite_gittins(10), 6.6),
        (Thompson(), 5.7),
        (LikeliestThompson(10), 6.5),
        (Ucb1(0.1), 6.7),
        (Greedy(), 6.6),
    ],
    ids=["random", "gittins", "thompson", "likeliest", "ucb1", "greedy"],
)
def test_published_scores_of_ten_pulls_of_five_arms(agent: BanditAgent, published: float):
    returns = play(agent, tasks(3000, 5), 10, 1, Streams(2))
    assert returns.mean().item() == pytest.approx(published, abs=tolerance(returns))  # about 0.35


@pytest.mark.parametrize(
    ("agent", "published"),
    [  # the same, n = 100, k = 10
        (RandomAgent(), 49.9),
        (Thompson(), 76.7),
        (LikeliestThompson(20), 81.4),
        (Ucb1(0.2), 82.4),
        (Greedy(), 77.1),
        (discounted_gittins(100, 0.95, depth=60), 82.8),
    ],
    ids=["random", "thompson", "likeliest", "ucb1", "greedy", "gittins"],
)
def test_published_scores_of_a_hundred_pulls_of_ten_arms(agent: BanditAgent, published: float):
    returns = play(agent, tasks(500, 10), 100, 1, Streams(2))
    assert returns.mean().item() == pytest.approx(published, abs=tolerance(returns))  # about 2.5


def test_nobody_earns_more_than_the_optimum():
    optimum = bayes_optimal(5, 10)
    given = tasks(4000, 5)
    earned = {
        name: play(agent, given, 10, 1, Streams(3))
        for name, agent in {"best": optimum, "gittins": finite_gittins(10), "thompson": Thompson()}.items()
    }
    error = {name: 4.0 * returns.std().item() / math.sqrt(len(returns)) for name, returns in earned.items()}  # 0.14
    assert earned["best"].mean().item() == pytest.approx(optimum.expected_return, abs=error["best"])
    assert earned["gittins"].mean().item() == pytest.approx(optimum.expected_return, abs=error["gittins"])
    assert earned["thompson"].mean().item() < optimum.expected_return - 3.0 * error["thompson"]


def test_rewards_of_a_task_do_not_depend_on_the_tasks_beside_it():
    given = tasks(4, 3)
    together = play(Greedy(), given, 12, 2, Streams(5))
    apart = play(Greedy(), given.select(torch.tensor([2])), 12, 2, Streams(5))
    assert together.shape == (4, 2)
    assert torch.equal(together[2:3], apart)


def test_an_evaluation_needs_a_pull():
    with pytest.raises(InputError, match="pulls is 0, expected at least 1"):
        play(Greedy(), tasks(1, 2), 0, 1, Streams(0))
