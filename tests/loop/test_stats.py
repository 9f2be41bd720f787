import numpy as np
import pytest
import scipy.stats

from drml.core.errors import InputError
from drml.loop.stats import (
    estimand,
    half_width,
    half_width_of_groups,
    iqm,
    over_one_seed,
    over_seeds,
    probability_of_improvement,
    student_t,
)

SCORES = np.random.default_rng(0).standard_normal((5, 10))


def test_iqm_by_hand():
    # Eight numbers: the two lowest and two highest go, the mean of 3, 4, 5, 6 is left, wherever they stand.
    assert iqm([[100, 3, 4, 1], [5, 2, 6, -50]]) == np.mean([2, 3, 4, 5])
    assert iqm([5.0]) == 5.0
    assert iqm([1.0, 2.0, 9.0]) == 4.0  # floor(3 / 4) = 0: nothing is cut


@pytest.mark.parametrize("count", range(1, 14))
def test_iqm_is_the_quarter_trimmed_mean(count):
    scores = np.random.default_rng(count).standard_cauchy((3, count))
    # Equal up to the rounding of a sum of at most 39 numbers.
    np.testing.assert_allclose(iqm(scores), scipy.stats.trim_mean(scores, 0.25, axis=None), rtol=1e-13)
    np.testing.assert_allclose(iqm(scores, axis=1), scipy.stats.trim_mean(scores, 0.25, axis=1), rtol=1e-13)
    np.testing.assert_allclose(iqm(scores, axis=0), scipy.stats.trim_mean(scores, 0.25, axis=0), rtol=1e-13)


def test_probability_of_improvement_by_hand():
    # Task 0: pairs (1, 0) (1, 2) (3, 0) (3, 2): three wins of four. Task 1: all four tied: one half.
    assert probability_of_improvement([[1, 5], [3, 5]], [[0, 5], [2, 5]]) == (0.75 + 0.5) / 2


def test_probability_of_improvement_is_the_mann_whitney_statistic():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, (7, 4)).astype(float), rng.integers(0, 6, (9, 4)).astype(float)
    u = scipy.stats.mannwhitneyu(x, y, axis=0).statistic
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(u / (7 * 9)), abs=1e-15)
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 100, 10_000, 10_000_000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_student_t(freedom, confidence):
    # Midpoint rule on 2^18 cells: the error of a smooth integrand is O(cells^-2) = 1.5e-11 times a small constant.
    assert student_t(freedom, confidence) == pytest.approx(scipy.stats.t.ppf((1 + confidence) / 2, freedom), rel=1e-8)


@pytest.mark.parametrize("freedom", [1.1, 32 / 19, 2.5, 7.3])
def test_student_t_of_a_broken_number_of_degrees(freedom):
    # With 1 < freedom < 2 the density has no second derivative at the end of its range: cells^-freedom = 1e-6 at 1.1.
    assert student_t(freedom, 0.95) == pytest.approx(scipy.stats.t.ppf(0.975, freedom), rel=1e-6)


def test_the_interval_of_a_mean_is_students():
    values = [1.0, 2.0, 4.0, 9.0]
    low, high = scipy.stats.t.interval(0.9, 3, loc=4.0, scale=scipy.stats.sem(values))
    assert half_width(values, confidence=0.9) == pytest.approx((high - low) / 2, rel=1e-8)
    # Of two numbers the standard error is |a - b| / 2, and Student's t with one degree of freedom 12.7062.
    assert half_width([1.0, 3.0]) == pytest.approx(12.7062, abs=1e-4)


@pytest.mark.parametrize("values", [[3.25], [3.25, 3.25], [-200.0] * 40, [11.0714, 11.071400001], [0.0, 0.0]])
def test_what_has_no_spread_has_no_interval(values):
    assert half_width(values) is None


def test_groups_that_are_given_are_not_drawn_anew():
    # Means 1 and 101, each of two numbers that differ by 2: variances 2 / 2 = 1 each, of the mean of means 2 / 4, and
    # 2² / (1 + 1) = 2 degrees of freedom. How far the groups lie apart does not matter.
    expected = scipy.stats.t.ppf(0.975, 2) * 0.5**0.5
    assert half_width_of_groups([[0.0, 2.0], [100.0, 102.0]]) == pytest.approx(expected, rel=1e-8)


def test_groups_may_lack_numbers():
    # Variances 2 / 2 = 1 and 1 / 3; degrees of freedom (4/3)² / (1 / 1 + (1/9) / 2) = (16/9) / (19/18) = 32/19.
    expected = scipy.stats.t.ppf(0.975, 32 / 19) * (4 / 3) ** 0.5 / 2
    assert half_width_of_groups([[0.0, 2.0, np.nan], [1.0, 2.0, 3.0]]) == pytest.approx(expected, rel=1e-8)
    assert half_width_of_groups([[0.0, np.nan], [1.0, 2.0]]) is None  # one number does not say how it varies


def test_one_group_is_the_interval_of_its_mean():
    assert half_width_of_groups(SCORES[:1]) == half_width(SCORES[0])


def test_over_seeds_each_seed_is_one_number():
    found = over_seeds([1.0, 3.0], [0.0, 4.0])
    assert (found.mean, found.iqm, found.over, found.count) == (2.0, 2.0, "seeds", 2)
    assert found.half_width == half_width([1.0, 3.0]) and found.iqm_half_width == half_width([0.0, 4.0])
    unknown = over_seeds([1.0, 3.0], [None, 4.0])
    assert (unknown.iqm, unknown.iqm_half_width) == (None, None)


def test_one_seed_says_what_its_interval_is_over():
    rounds = np.array([[0.0, 2.0, np.nan], [100.0, 102.0, 104.0]])
    drawn, given = over_one_seed(rounds, "tasks"), over_one_seed(rounds, "episodes")
    assert (drawn.mean, drawn.iqm) == (given.mean, given.iqm) == (51.5, 51.5)
    assert (drawn.over, drawn.count, given.over, given.count) == ("tasks", 2, "episodes", 2)
    assert drawn.half_width == half_width([1.0, 102.0])
    assert given.half_width == half_width_of_groups(rounds)


def test_facts_hold_the_interval_beside_what_it_is_over():
    assert over_seeds([1.0, 3.0], [None, None]).facts() == {
        "mean": 2.0,
        "mean_half_width_95": half_width([1.0, 3.0]),
        "over": "seeds",
        "count": 2,
        "iqm": None,
        "iqm_half_width_95": None,
    }


@pytest.mark.parametrize(
    ("over", "count", "words"),
    [
        ("seeds", 5, "over 5 seeds"),
        ("tasks", 20000, "over 20,000 tasks, one seed"),
        ("episodes", 1, "over episodes on 1 task, one seed"),
    ],
)
def test_an_interval_says_what_it_is_over(over, count, words):
    assert estimand(over, count) == words


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iqm([]), "at least one score"),
        (lambda: half_width([1.0, 2.0], confidence=95), "confidence is 95"),
        (lambda: half_width([]), r"groups have shape \[1, 0\]"),
        (lambda: half_width_of_groups([1.0, 2.0]), r"groups have shape \[2\], expected \[groups, numbers\]"),
        (lambda: half_width([1.0, np.inf]), "1 of 2 numbers are not finite"),
        (lambda: probability_of_improvement([[1.0]], [[1.0, 2.0]]), "x has 1 tasks and y has 2"),
        (lambda: probability_of_improvement([1.0], [1.0]), r"x has shape \[1\], expected \[runs, tasks\]"),
        (lambda: probability_of_improvement([[np.nan]], [[1.0]]), "1 of 1 numbers are not finite"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(InputError, match=message) as failure:
        call()
    assert "\n" not in str(failure.value)
