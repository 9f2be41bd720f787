"""Agents for random MDPs: planning against enumeration, beliefs by hand, and the scores that were published."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.references.tabular import (
    PUBLISHED_PRIOR,
    TRUE_PRIOR,
    VAGUE_PRIOR,
    Beb,
    Belief,
    EpsilonGreedy,
    Prior,
    Psrl,
    TabularAgent,
    Ucrl2,
    _small_dirichlet,
    backward_induction,
    optimal_return,
    play,
)

PUBLISHED_TRIALS = 1000  # behind each published mean
ROUNDING = 1e-12  # of a few float64 operations on numbers near 1


def random_tasks(num_tasks: int, num_states: int = 10, num_actions: int = 5) -> Tasks:
    generator = Streams(4)["tasks"].generator()
    shape = (num_tasks, num_states, num_actions)
    reward = generator.normal(1.0, 1.0, shape)
    transition = generator.dirichlet(np.ones(num_states), shape)
    params = {"reward_mean": torch.from_numpy(reward), "transition": torch.from_numpy(transition)}
    return Tasks(params, torch.arange(num_tasks))


def arrays(tasks: Tasks) -> tuple[np.ndarray, np.ndarray]:
    return tasks.params["reward_mean"].numpy(), tasks.params["transition"].numpy()


def value_of(policy: tuple[int, ...], reward: np.ndarray, transition: np.ndarray, horizon: int) -> float:
    """Return the expected return from state 0 of a policy that lists an action for each step and state."""
    at, total = np.eye(len(reward))[0], 0.0
    for actions in np.reshape(policy, (horizon, len(reward))):
        states = np.arange(len(reward))
        total += float(at @ reward[states, actions])
        at = at @ transition[states, actions]
    return total


def test_backward_induction_finds_the_best_of_all_policies():
    tasks = random_tasks(3, num_states=3, num_actions=2)
    returns = optimal_return(tasks, horizon=3)
    for k, (reward, transition) in enumerate(zip(*arrays(tasks), strict=True)):
        policies = itertools.product((0, 1), repeat=9)
        best = max(value_of(policy, reward, transition, 3) for policy in policies)
        assert returns[k].item() == pytest.approx(best, abs=ROUNDING)


def test_a_bonus_counts_once_per_step_left():
    # One state, one action: Q_2 = 1, Q_1 = 1 + 1 b + Q_2, Q_0 = 1 + 2 b + Q_1, with b = 1/4.
    one = np.ones((1, 1, 1))
    values = backward_induction(one, np.ones((1, 1, 1, 1)), 3, bonus_per_step_left=one / 4)
    assert values.ravel().tolist() == [3.75, 2.25, 1.0]


def test_the_most_optimistic_transition_takes_from_the_worst():
    # V = (1, 2, 3), p = (0.5, 0.3, 0.2), distance 0.4: the best state gains 0.2, the worst loses it.
    reward = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    transition = np.broadcast_to([0.5, 0.3, 0.2], (1, 3, 1, 3))
    for radius, following in ((0.0, 1.7), (0.4, 0.3 + 0.6 + 1.2), (1.4, 0.1 * 2 + 0.9 * 3), (9.0, 3.0)):
        values = backward_induction(reward, transition, 2, radius=np.full((1, 3, 1), radius))
        np.testing.assert_allclose(values[0, 0, :, 0], reward[0, :, 0] + following, atol=ROUNDING)


def test_the_posterior_by_hand():
    belief = Prior(alpha=1.0, mean=1.0, precision=1.0).belief(1, 2, 1)
    state, action = np.array([1]), np.array([0])
    belief = belief.after_reward(state, action, np.array([4.0])).after_reward(state, action, np.array([-2.0]))
    assert belief.precision[0, :, 0].tolist() == [1.0, 3.0]
    np.testing.assert_allclose(belief.reward_mean[0, :, 0], [1.0, 1.0], atol=ROUNDING)  # (1 + 4 − 2)/3
    belief = belief.after_transition(state, action, np.array([0])).after_transition(state, action, np.array([0]))
    assert belief.counts[0, :, 0].tolist() == [[1.0, 1.0], [3.0, 1.0]]
    assert belief.transition[0, :, 0].tolist() == [[0.5, 0.5], [0.75, 0.25]]


def test_draws_have_the_posteriors_moments():
    count = 20_000
    shape = (count, 1, 1)
    belief = Belief(np.full(shape, 2.0), np.full(shape, 4.0), np.broadcast_to([3.0, 1.0], (*shape, 2)))
    reward, transition = belief.sample(Streams(0)["draw"])
    assert reward.mean() == pytest.approx(2.0, abs=5.0 * 0.5 / math.sqrt(count))  # standard deviation 1/√4
    assert reward.var() == pytest.approx(0.25, abs=5.0 * 0.25 * math.sqrt(2.0 / count))
    # Beta(3, 1): mean 3/4, variance 3/(16 · 5).
    assert transition[..., 0].mean() == pytest.approx(0.75, abs=5.0 * math.sqrt(3 / 80 / count))
    np.testing.assert_allclose(transition.sum(-1), 1.0, atol=ROUNDING)


def test_draws_of_a_vague_posterior_are_distributions_too():
    count, alpha = 20_000, VAGUE_PRIOR.alpha
    belief = Prior(alpha=alpha, precision=1e-4).belief(count, 1, 1)
    belief = Belief(belief.reward_mean, belief.precision, np.full((count, 1, 1, 10), alpha))
    transition = belief.sample(Streams(0)["draw"])[1][:, 0, 0]
    np.testing.assert_allclose(transition.sum(-1), 1.0, atol=ROUNDING)
    largest = transition.argmax(-1)
    # nearly all of the weight is on one state: E Σ p² = (1 + α)/(1 + 10 α), each of the ten being as likely
    assert (transition**2).sum(-1).mean() == pytest.approx((1.0 + alpha) / (1.0 + 10.0 * alpha), abs=1e-3)
    assert np.abs(np.bincount(largest, minlength=10) - count / 10).max() < 5.0 * math.sqrt(count * 0.09)


def test_draws_by_logarithms_are_those_of_a_dirichlet():
    alpha, count = np.array([3.0, 1.0]), 20_000
    draws = _small_dirichlet(np.broadcast_to(alpha, (count, 2)), Streams(0))
    assert draws[:, 0].mean() == pytest.approx(0.75, abs=5.0 * math.sqrt(3 / 80 / count))  # Beta(3, 1), as above
    assert draws[:, 0].var() == pytest.approx(3 / 80, abs=5.0 * (3 / 80) * math.sqrt(2.0 / count))


def test_posterior_sampling_from_a_vague_prior_plans_instead_of_guessing():
    values = Psrl(prior=VAGUE_PRIOR).plan(VAGUE_PRIOR.belief(50, 10, 5), 0, 10, Streams(0))
    assert np.isfinite(values).all()


@pytest.mark.parametrize("bad", [{"alpha": 0.0}, {"alpha": math.nan}, {"precision": 0.0}, {"precision": -1.0}])
def test_a_prior_that_is_none_is_refused(bad):
    with pytest.raises(InputError, match=f"prior {next(iter(bad))}"):
        Prior(**bad)


def test_optimistic_sampling_takes_the_largest_of_its_draws():
    belief = TRUE_PRIOR.belief(2, 3, 2)
    rng = Streams(0)["plan"]
    several = Psrl(3).plan(belief, 0, 4, rng)
    draws = [backward_induction(*belief.sample(rng["draw", i]), 4) for i in range(3)]
    assert np.array_equal(several, np.maximum(np.maximum(draws[0], draws[1]), draws[2]))
    assert np.array_equal(Psrl().plan(belief, 0, 4, rng), draws[0])


def test_bonuses_by_hand():
    # Prior mean 1, precision 1, two states of α = 1; H = 1: 1 + 1/(1 + 1). H = 2 adds V = 1.5 and 2 c 2³/(2 + 1).
    belief = TRUE_PRIOR.belief(1, 2, 1)
    assert Beb(0.3).plan(belief, 0, 1, Streams(0)).ravel().tolist() == [1.5, 1.5]
    np.testing.assert_allclose(Beb(0.3).plan(belief, 0, 2, Streams(0))[0, 0, :, 0], 3.0 + 1.6, atol=ROUNDING)
    # Untried, episode 1, δ = 0.05, S A = 2: r̂ + √(4 ln(2 · 2 · 2/0.05)), prior mean 0 and n taken as 1.
    agent = Ucrl2(1.0)
    values = agent.plan(agent.prior.belief(1, 2, 1), 0, 1, Streams(0))
    np.testing.assert_allclose(values.ravel(), math.sqrt(4.0 * math.log(160.0)), atol=ROUNDING)


def test_equal_values_are_drawn_by_lot():
    count = 4000
    tasks = Tasks(
        {"reward_mean": torch.eye(2)[None].repeat(count, 1, 1), "transition": torch.full((count, 2, 2, 2), 0.5)},
        torch.arange(count),
    )
    # One step each: nothing is known, so that half of the tasks get 1 and half 0, plus noise of variance 1.
    returns = play(EpsilonGreedy(0.0), tasks, 1, 1, Streams(0))
    assert returns.mean().item() == pytest.approx(0.5, abs=5.0 * math.sqrt(1.25 / count))


@dataclass(frozen=True)
class Informed:
    """Knows the MDPs."""

    tasks: Tasks
    prior: Prior = VAGUE_PRIOR
    epsilon: float = 0.0

    def plan(self, belief: Belief, episode: int, horizon: int, rng: Streams) -> np.ndarray:
        return backward_induction(*arrays(self.tasks), horizon)


def test_who_knows_the_mdp_earns_the_optimum():
    tasks = random_tasks(200)
    returns = play(Informed(tasks), tasks, 5, 10, Streams(0))
    surplus = returns.mean(1) - optimal_return(tasks, 10)
    assert surplus.mean().item() == pytest.approx(0.0, abs=4.0 * surplus.std().item() / math.sqrt(200))
    assert surplus.std().item() < 3.0  # so that the tolerance above is below 0.9, of 22


@pytest.mark.parametrize(
    ("agent", "published"),
    [  # Duan et al. 2016, table 2, n = 10; ε, N and c chosen by the score, as there
        (EpsilonGreedy(1.0), 100.1),
        (Psrl(prior=PUBLISHED_PRIOR), 138.1),
        (Psrl(10, prior=PUBLISHED_PRIOR), 144.1),
        (Ucrl2(0.1), 146.6),
        (Beb(10**-2.8, prior=PUBLISHED_PRIOR), 150.2),
        (EpsilonGreedy(0.1), 132.8),
        (EpsilonGreedy(0.0), 134.8),
    ],
    ids=["random", "psrl", "opsrl", "ucrl2", "beb", "epsilon-greedy", "greedy"],
)
def test_published_scores_of_ten_episodes(agent: TabularAgent, published: float):
    num_tasks = 400
    total = play(agent, random_tasks(num_tasks), 10, 10, Streams(1)).sum(1)
    error = total.std().item() * math.sqrt(1.0 / num_tasks + 1.0 / PUBLISHED_TRIALS)
    assert total.mean().item() == pytest.approx(published, abs=0.05 + 4.0 * error)  # about 6
    assert total.std().item() < 30.0  # so that random, PSRL and BEB are told apart


def test_the_true_prior_beats_the_published_one():
    tasks = random_tasks(400)
    told, misled = (
        play(Beb(10**-2.8, prior=prior), tasks, 10, 10, Streams(1)).sum(1) for prior in (TRUE_PRIOR, PUBLISHED_PRIOR)
    )
    gain = told - misled
    assert gain.mean().item() > 2.0 * gain.std().item() / math.sqrt(400)
    low = play(Beb(1e-4), tasks, 10, 10, Streams(1)).sum(1)  # with the truth told, less exploration is better
    assert (low - misled).mean().item() > 4.0 * (low - misled).std().item() / math.sqrt(400)


def test_an_evaluation_needs_an_episode():
    with pytest.raises(InputError, match="episodes is 0, expected at least 1"):
        play(Psrl(), random_tasks(1), 0, 10, Streams(0))
