"""Backward recursion against worlds of two states."""

import numpy as np
import pytest

from drml.references.finite import Finite, walks

STAY_OR_GO = np.array([[0, 1], [0, 1]])  # action a leads to state a


def test_values_by_hand():
    world = Finite(STAY_OR_GO, np.array([[0.0, 1.0], [3.0, 0.0]]), np.zeros((2, 2), np.bool_))
    assert world.values(3, np.max).tolist() == [5.0, 7.0]  # 1 + 3 + 1 and 3 + 1 + 3
    assert world.values(1, np.mean).tolist() == [0.5, 1.5]
    assert world.values(2, np.mean).tolist() == [1.5, 2.5]


def test_an_end_is_the_end_or_a_beginning():
    ends = np.array([[False, True], [False, False]])
    reward = np.array([[0.0, 1.0], [0.0, 0.0]])
    assert Finite(STAY_OR_GO, reward, ends).values(5, np.max).tolist() == [1.0, 1.0]
    assert Finite(STAY_OR_GO, reward, ends, num_starts=1).values(5, np.max).tolist() == [5.0, 4.0]


def test_walks_stop_at_walls():
    assert walks(2, ((0, 0), (1, 0), (0, -1))).tolist() == [[0, 2, 0], [1, 3, 0], [2, 2, 2], [3, 3, 2]]
    assert walks(3, ((-1, 0),))[:, 0].tolist() == pytest.approx([0, 1, 2, 0, 1, 2, 3, 4, 5])
