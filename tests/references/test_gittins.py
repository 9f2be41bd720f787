"""Gittins indices: by hand, against published tables, and against the restart formulation."""

import numpy as np
import pytest

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.references.bandit import Counts, Greedy
from drml.references.gittins import discounted_gittins, finite_gittins, finite_horizon_index, gittins_index

PRINTED = 5e-5  # half of the last printed digit


@pytest.mark.parametrize(
    ("gamma", "successes", "failures", "published"),
    [  # Gittins, Glazebrook and Weber 2011, tables of the Bernoulli index, uniform prior
        (0.9, 0, 0, 0.7029),
        (0.9, 1, 0, 0.8001),
        (0.9, 2, 0, 0.8452),
        (0.9, 0, 1, 0.5001),
        (0.9, 0, 2, 0.3796),
        (0.9, 1, 1, 0.6346),
        (0.9, 2, 2, 0.6010),
        (0.9, 9, 1, 0.8695),
        (0.99, 0, 0, 0.8699),
    ],
)
def test_published_indices(gamma: float, successes: int, failures: int, published: float):
    index = gittins_index(np.array(successes), np.array(failures), gamma, depth=400)
    assert index.item() == pytest.approx(published, abs=PRINTED)


def by_restart(successes: int, failures: int, gamma: float, depth: int, rounds: int) -> float:
    """Return (1 − γ) V of the problem where at each step one may start again from this arm's state.

    Source: Katehakis and Veinott, 1987, "The multi-armed bandit problem: decomposition and computation".
    """
    won, lost = np.indices((depth + 1, depth + 1))
    mean = (successes + won + 1.0) / (successes + failures + won + lost + 2.0)
    value = np.zeros((depth + 1, depth + 1))
    for _ in range(rounds):
        goes_on = mean[:-1, :-1] * (1.0 + gamma * value[1:, :-1]) + (1.0 - mean[:-1, :-1]) * gamma * value[:-1, 1:]
        value[:-1, :-1] = np.maximum(goes_on, goes_on[0, 0])
        value[-1], value[:, -1] = value[0, 0], value[0, 0]  # beyond the table: start again
    return (1.0 - gamma) * value[0, 0]


@pytest.mark.parametrize(("successes", "failures"), [(0, 0), (3, 1), (1, 6)])
def test_the_restart_formulation_agrees(successes: int, failures: int):
    index = gittins_index(np.array(successes), np.array(failures), 0.8)
    # Value iteration leaves 0.8^150 = 3e-15; what lies beyond 120 pulls is worth less than 0.8^120 / 0.2 = 1e-11.
    assert index.item() == pytest.approx(by_restart(successes, failures, 0.8, 120, 150), abs=1e-9)


def test_the_stated_accuracy():
    arms = np.array([0, 5, 0]), np.array([0, 5, 3])
    for gamma, accuracy in ((0.9, 1e-9), (0.99, 1e-4)):
        error = gittins_index(*arms, gamma, depth=800) - gittins_index(*arms, gamma)
        assert (error > -1e-12).all() and (error < accuracy).all()


def test_without_a_future_the_index_is_the_mean():
    arms = np.array([0, 3, 1]), np.array([0, 1, 4])
    mean = (arms[0] + 1.0) / (arms[0] + arms[1] + 2.0)
    np.testing.assert_allclose(gittins_index(*arms, 0.0), mean, rtol=1e-12)
    np.testing.assert_allclose(finite_horizon_index(*arms, 1), mean, rtol=1e-12)


def test_two_and_three_pulls_by_hand():
    # Two pulls: again after a success only: (1/2 + 1/2 · 2/3) / (1 + 1/2) = 5/9.
    assert finite_horizon_index(np.array(0), np.array(0), 2).item() == pytest.approx(5 / 9, abs=1e-12)
    # Three: on while there was no failure: (1/2 + 1/3 + 1/3 · 3/4) / (1 + 1/2 + 1/3) = (13/12) / (11/6) = 13/22; a
    # third pull after success and failure, at mean 1/2, would only lower that.
    assert finite_horizon_index(np.array(0), np.array(0), 3).item() == pytest.approx(13 / 22, abs=1e-12)


def test_time_and_success_raise_the_index_and_failure_lowers_it():
    horizons = [finite_horizon_index(np.array([0, 2, 1]), np.array([0, 1, 3]), h) for h in range(1, 30)]
    assert (np.diff(horizons, axis=0) > 0.0).all()
    successes, failures = np.indices((6, 6))
    index = gittins_index(successes, failures, 0.9)
    assert (np.diff(index, axis=0) > 0.0).all() and (np.diff(index, axis=1) < 0.0).all()


def test_tables_hold_the_indices():
    finite, discounted = finite_gittins(6), discounted_gittins(6, 0.9)
    for s, f in ((0, 0), (2, 1), (0, 4)):
        arm = np.array(s), np.array(f)
        assert discounted.index[3, s, f] == pytest.approx(gittins_index(*arm, 0.9).item(), abs=1e-12)
        assert finite.index[s + f, s, f] == pytest.approx(finite_horizon_index(*arm, 6 - s - f).item(), abs=1e-12)
        assert finite.index[5, s, f] == pytest.approx((s + 1) / (s + f + 2), abs=1e-12)


def test_the_agent_explores_early_and_is_greedy_at_the_end():
    agent = finite_gittins(8)
    tried = Counts(np.array([[[1.0, 0.0]]]), np.array([[[1.0, 0.0]]]))  # both at mean 1/2, the second untried
    assert agent.act(tried, Streams(0)).item() == 1
    last = Counts(np.array([[[4.0, 0.0]]]), np.array([[[3.0, 0.0]]]))  # 5/9 against 1/2, with one pull left
    assert agent.act(last, Streams(0)).item() == Greedy().act(last, Streams(0)).item() == 0
    with pytest.raises(InputError, match="made for 8 pulls, asked for pull 9"):
        agent.act(Counts(np.array([[[8.0, 0.0]]]), np.zeros((1, 1, 2))), Streams(0))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="gamma is 1, expected 0 <= gamma < 1"):
        gittins_index(np.array(0), np.array(0), 1.0)
    with pytest.raises(InputError, match="at least 1 pull to look ahead, got 0"):
        finite_horizon_index(np.array(0), np.array(0), 0)
