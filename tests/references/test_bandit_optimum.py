"""The Bayes-optimal bandit: by hand, by plain recursion without symmetry, and against known optima."""

from functools import cache

import numpy as np
import pytest

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.references.bandit import Counts
from drml.references.bandit_optimum import bayes_optimal, num_states

ROUNDING = 1e-10  # of sums of at most 100 rounded products below 100, relative to them 2^-53 each


@cache
def plain(arms: tuple[tuple[int, int], ...], remaining: int) -> float:
    """Return the value of ordered arms (successes, failures)."""
    if remaining == 0:
        return 0.0
    values = []
    for i, (s, f) in enumerate(arms):
        m = (s + 1) / (s + f + 2)
        after = [(*arms[:i], arm, *arms[i + 1 :]) for arm in ((s + 1, f), (s, f + 1))]
        values.append(m * (1.0 + plain(after[0], remaining - 1)) + (1.0 - m) * plain(after[1], remaining - 1))
    return max(values)


def test_two_pulls_of_two_arms_by_hand():
    # 1/2, then 2/3 on the same arm after a success, 1/2 on the other after a failure: 1/2 + (2/3 + 1/2)/2.
    assert bayes_optimal(2, 2).expected_return == pytest.approx(13 / 12, abs=ROUNDING)


@pytest.mark.parametrize("pulls", [1, 7])
def test_one_arm_leaves_no_choice(pulls: int):
    assert bayes_optimal(1, pulls).expected_return == pytest.approx(pulls / 2, abs=ROUNDING)


@pytest.mark.parametrize(("arms", "pulls"), [(2, 9), (3, 6), (4, 5), (6, 3)])
def test_it_is_the_plain_recursion(arms: int, pulls: int):
    expected = plain(((0, 0),) * arms, pulls)
    assert bayes_optimal(arms, pulls).expected_return == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize(
    ("arms", "pulls", "optimum"),
    [
        (2, 20, 12.4313),
        (2, 50, 31.9967),
        (5, 10, 6.6600),
        (5, 20, 14.2873),
        pytest.param(2, 100, 64.9184, marks=pytest.mark.slow),
    ],
)
def test_known_optima(arms: int, pulls: int, optimum: float):
    assert bayes_optimal(arms, pulls).expected_return == pytest.approx(optimum, abs=5e-5)  # four printed digits


@pytest.mark.parametrize(("arms", "pulls"), [(1, 5), (2, 8), (4, 6), (10, 4)])
def test_states_are_counted_without_listing_them(arms: int, pulls: int):
    assert bayes_optimal(arms, pulls).num_states == num_states(arms, pulls)


def test_the_agent_picks_the_arm_that_the_recursion_picks():
    agent = bayes_optimal(3, 6)
    generator = np.random.Generator(np.random.Philox(1))
    for _ in range(50):
        spent = generator.multinomial(generator.integers(0, 6), [1 / 3] * 3)
        successes = generator.binomial(spent, 0.5)
        arms = [(int(s), int(n - s)) for s, n in zip(successes, spent, strict=True)]
        counts = Counts(successes[None, None].astype(float), (spent - successes)[None, None].astype(float))
        chosen = int(agent.act(counts, Streams(0))[0, 0])
        remaining = 6 - int(spent.sum())
        s, f = arms[chosen]
        m = (s + 1) / (s + f + 2)
        won, lost = ((*arms[:chosen], arm, *arms[chosen + 1 :]) for arm in ((s + 1, f), (s, f + 1)))
        value = m * (1.0 + plain(won, remaining - 1)) + (1.0 - m) * plain(lost, remaining - 1)
        assert value == pytest.approx(plain(tuple(arms), remaining), abs=ROUNDING)


def test_the_agent_knows_what_it_was_planned_for():
    agent = bayes_optimal(2, 3)
    nothing, three = np.zeros((1, 1, 3)), np.array([[[3.0, 0.0]]])
    with pytest.raises(InputError, match="asked about 3 arms after 0 pulls"):
        agent.act(Counts(nothing, nothing), Streams(0))
    with pytest.raises(InputError, match="asked about 2 arms after 3 pulls"):
        agent.act(Counts(three, nothing[..., :2]), Streams(0))


@pytest.mark.parametrize(("arms", "pulls"), [(5, 100), (50, 10)])
def test_what_is_too_large_is_refused_at_once(arms: int, pulls: int):
    with pytest.raises(InputError, match=f"{arms} arms and {pulls} pulls have .* states"):
        bayes_optimal(arms, pulls)
    with pytest.raises(InputError, match="expected at least 1 of each"):
        bayes_optimal(0, pulls)
