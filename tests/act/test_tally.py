"""Tally of returns against sums and intervals worked by hand."""

import math

import numpy as np
import pytest

from drml.act.tally import Change, Tally


def test_returns_are_counted_by_copy_from_the_start_of_the_episode():
    tally = Tally(1, 2)
    for reward, ended in (([1.0, 10.0], [False, True]), ([2.0, 20.0], [True, False]), ([4.0, 40.0], [False, True])):
        tally.add(np.array([reward]), np.array([ended]), np.ones((1, 2), bool))
    assert tally.after == [[10.0, 3.0, 60.0]]
    assert tally.running.tolist() == [[4.0, 0.0]]


def test_what_was_not_taken_counts_nothing():
    tally = Tally(1, 1)
    tally.add(np.array([[5.0]]), np.array([[False]]), np.array([[False]]))
    tally.add(np.array([[1.0]]), np.array([[True]]), np.array([[True]]))
    assert tally.after == [[1.0]]


def test_a_step_moves_what_was_after_it_before_it_session_by_session():
    tally, every = Tally(2, 1), np.ones((2, 1), bool)
    tally.add(np.array([[1.0], [2.0]]), every, every)
    tally.step(1, np.array([False]))
    tally.add(np.array([[3.0], [4.0]]), every, every)
    assert tally.change(0) == Change((), (1.0, 3.0))
    assert tally.change(1) == Change((2.0,), (4.0,))


def test_a_session_is_ready_once_when_it_has_as_many_episodes_after_as_before():
    tally, every = Tally(1, 1), np.ones((1, 1), bool)
    one = np.array([[1.0]])
    assert [tally.add(one, every, every) for _ in range(3)] == [[], [0], []]  # two tell something
    tally.step(0, np.array([False]))
    assert [tally.add(one, every, every) for _ in range(4)] == [[], [], [0], []]


def test_an_episode_that_a_step_has_cut_in_two_tells_of_neither_side():
    tally, one, every = Tally(1, 2), np.ones((1, 2)), np.ones((1, 2), bool)
    tally.add(one, np.array([[False, True]]), every)
    tally.step(0, np.array([True, False]))  # copy 0 is within an episode
    tally.add(one, every, every)
    assert tally.change(0) == Change((1.0,), (1.0,))
    tally.add(one, every, every)
    assert tally.change(0) == Change((1.0,), (1.0, 1.0, 1.0))


def test_what_was_seen_before_a_step_was_taken_back_is_compared_with_nothing():
    tally, one, every = Tally(1, 1), np.ones((1, 1)), np.ones((1, 1), bool)
    for reward in (1.0, 5.0):
        tally.add(reward * one, every, every)
        tally.step(0, np.array([False]))
    tally.add(9.0 * one, every, every)
    tally.take_back(0, np.array([False]))
    tally.add(5.0 * one, every, every)
    assert tally.change(0) == Change((), (5.0,))


def test_the_interval_is_welchs():
    # means 2 and 6, variances 2 and 8 over 2 each: deviation √(2/2 + 8/2) = √5 and
    # (1 + 4)² / (1²/1 + 4²/1) = 25/17 degrees of freedom
    from scipy.stats import t

    change = Change((1.0, 3.0), (4.0, 8.0))
    assert change.difference == 4.0
    assert change.half_width == pytest.approx(t.ppf(0.975, 25 / 17) * math.sqrt(5.0), rel=1e-6)


def test_harm_is_told_where_the_whole_interval_lies_below_zero():
    assert Change((10.0, 10.1, 9.9), (0.0, 0.1, -0.1)).is_worse
    assert not Change((0.0, 0.1, -0.1), (10.0, 10.1, 9.9)).is_worse
    assert not Change((10.0, -10.0), (0.0, -1.0)).is_worse  # nothing is known
    assert not Change((10.0,), (0.0,)).is_worse  # one each tells nothing
    assert Change((1.0, 1.0), (0.5, 0.5)).is_worse  # all say the same
    assert not Change((1.0, 1.0), (1.0, 1.0)).is_worse


def test_nothing_is_said_of_what_is_not_known():
    assert math.isnan(Change((), (1.0,)).difference)
    assert "nothing is known" in Change((1.0,), ()).describe()
    assert Change((1.0, 3.0), (4.0, 8.0)).describe().startswith("mean return 2 before, 6 after: +4 ± ")
