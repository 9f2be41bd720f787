import time

import numpy as np
import pytest
import scipy.stats

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.stats import iqm, mean_interval, probability_of_improvement, stratified_bootstrap, student_t

RNG = Streams(7)
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


def test_bootstrap_gives_the_numbers_of_rliable():
    # rliable 1.2.0 on these scores: IQM 0.08256, interval [-0.174, 0.375].
    interval = stratified_bootstrap(SCORES, rng=RNG)
    assert interval.estimate == pytest.approx(0.08256, abs=5e-6)
    # Monte-Carlo error of a 2.5 % quantile: sqrt(p (1 - p) / reps) / density = sqrt(.024 / 20000) / 0.43 = 0.0026 for
    # a normal of standard deviation 0.14 (density 0.058 / 0.14 = 0.42); two such quantiles differ by sqrt(2) times as
    # much, rounding of the reference adds 0.0005: four standard errors are 0.015.
    assert interval.low == pytest.approx(-0.174, abs=0.015)
    assert interval.high == pytest.approx(0.375, abs=0.015)


def test_bootstrap_of_the_mean_of_many_runs_is_the_normal_interval():
    interval = stratified_bootstrap(SCORES.T, statistic=np.mean, rng=RNG)  # 10 runs, 5 tasks
    # The variance of a resampled task mean is the population variance over the number of runs.
    spread = np.sqrt(SCORES.T.var(axis=0).sum() / 10) / 5
    assert interval.estimate == pytest.approx(SCORES.mean(), abs=1e-15)
    # A sum of 50 draws: kurtosis moves its 2.5 % quantile by a few per cent of 1.96 spread; Monte Carlo adds 2 %.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * spread, rel=0.06)


def test_with_several_runs_tasks_are_not_resampled():
    # Tasks differ, runs agree: another set of runs would change nothing.
    scores = np.tile(np.arange(8.0), (3, 1))
    interval = stratified_bootstrap(scores, rng=RNG)
    assert interval.low == interval.estimate == interval.high == 3.5


def test_with_one_run_tasks_are_resampled():
    interval = stratified_bootstrap([[0.0, 1.0]], statistic=np.mean, confidence=0.4, rng=RNG)
    # Means of two draws: 0 (1/4), 1/2 (1/2), 1 (1/4): the middle 40 % are all 1/2, the middle 95 % are not.
    assert (interval.low, interval.estimate, interval.high) == (0.5, 0.5, 0.5)
    wide = stratified_bootstrap([[0.0, 1.0]], statistic=np.mean, rng=RNG)
    assert (wide.low, wide.estimate, wide.high) == (0.0, 0.5, 1.0)


def test_a_single_score_has_no_spread():
    interval = stratified_bootstrap([[3.25]], rng=RNG)
    assert (interval.low, interval.estimate, interval.high) == (3.25, 3.25, 3.25)


def test_the_interval_is_a_function_of_the_stream():
    assert stratified_bootstrap(SCORES, rng=RNG) == stratified_bootstrap(SCORES, rng=RNG)
    assert stratified_bootstrap(SCORES, rng=RNG["other"]) != stratified_bootstrap(SCORES, rng=RNG)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    # 200 experiments of 30 runs of one task. The percentile interval of a mean of 30 covers 94 % (its width lacks the
    # factor sqrt(30 / 29) and the t quantile); the standard error of 200 trials is 1.7 %: four of them below is 87 %.
    draws = np.random.default_rng(3).standard_normal((200, 30, 1))
    intervals = [stratified_bootstrap(x, np.mean, 1000, rng=RNG[i]) for i, x in enumerate(draws)]
    covered = sum(interval.low <= 0.0 <= interval.high for interval in intervals)
    assert 174 <= covered < 200


def test_bootstrap_takes_a_blink():
    scores = np.random.default_rng(0).standard_normal((5, 40))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        stratified_bootstrap(scores, rng=RNG)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5  # measured 0.07 s on one core; a loop over 20000 replicates takes seconds


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


def test_mean_interval_is_students():
    values = [1.0, 2.0, 4.0, 9.0]
    expected = scipy.stats.t.interval(0.9, 3, loc=4.0, scale=scipy.stats.sem(values))
    interval = mean_interval(values, confidence=0.9)
    assert interval.estimate == 4.0
    np.testing.assert_allclose((interval.low, interval.high), expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iqm([]), "at least one score"),
        (lambda: stratified_bootstrap([1.0, 2.0], rng=RNG), r"scores has shape \[2\], expected \[runs, tasks\]"),
        (lambda: stratified_bootstrap(np.zeros((3, 0)), rng=RNG), "at least one of each"),
        (lambda: stratified_bootstrap([[1.0, np.nan]], rng=RNG), "1 of 2 numbers are not finite"),
        (lambda: stratified_bootstrap([[1.0]], confidence=95, rng=RNG), "confidence is 95"),
        (lambda: probability_of_improvement([[1.0]], [[1.0, 2.0]]), "x has 1 tasks and y has 2"),
        (lambda: mean_interval([1.0]), "at least two values"),
        (lambda: mean_interval([1.0, np.inf]), "not finite"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(InputError, match=message) as failure:
        call()
    assert "\n" not in str(failure.value)
