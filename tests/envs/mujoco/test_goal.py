import math

import numpy as np

from drml.envs.mujoco.goal import DIRECTION, FORWARD, GO_TO, HEADING, REACH, VELOCITY

PLACE = np.array([[3.0, 4.0], [1.0, -1.0]])
SPEED = np.array([[2.0, 0.0], [-1.0, 5.0]])


def scores(goal, values=None):
    return goal.score(goal.aim(np.array(values)), PLACE, SPEED).tolist()


def test_goals_by_hand():
    assert scores(FORWARD) == [2.0, -1.0]
    assert scores(DIRECTION, [-1.0, 1.0]) == [-2.0, -1.0]
    assert scores(VELOCITY, [2.5, 2.5]) == [-0.5, -3.5]
    assert scores(GO_TO, [[0.0, 0.0], [1.0, 1.0]]) == [-7.0, -2.0]
    assert scores(REACH, [[0.0, 0.0], [1.0, 1.0]]) == [-5.0, -2.0]
    # cos 90° is 6e-17 in float64
    np.testing.assert_allclose(scores(HEADING, [math.pi, math.pi / 2]), [-2.0, 5.0], rtol=1e-15)


def test_goals_name_their_parameter():
    assert FORWARD.parameters == frozenset()
    assert [goal.parameter for goal in (DIRECTION, HEADING, VELOCITY, GO_TO, REACH)] == [
        "direction",
        "angle",
        "velocity",
        "goal",
        "goal",
    ]
