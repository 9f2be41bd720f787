"""Goals that tasks set a robot, as a score of its place p and its mean velocity v over a control step.

    forward     v_x                        no parameter: the task is in the robot, not in the reward
    direction   d · v_x                    d ∈ {−1, +1}
    heading     v_x cos a + v_y sin a      a: the angle from the x-axis, in rad
    velocity    −|v_x − v*|                v*: a velocity, in m/s
    go to       −‖p − g‖₁                  g: a place, in m
    reach       −‖p − g‖₂                  g: a place, in m

Robots in the x-z plane have no y: their place and velocity have one number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Goal:
    """A task's demand: the score `[N]` of N robots, given their aims, places and velocities."""

    parameter: str | None
    """The task parameter that says what is asked for; `None` where all tasks ask for the same."""
    formula: str
    """The score, in the letters above."""
    score: Callable[[Floats, Floats, Floats], Floats]
    """Function from the aim `[N, ...]`, the place `[N, 1 or 2]` and the velocity `[N, 1 or 2]` to the score `[N]`."""
    aim: Callable[[Floats], Floats] = np.asarray
    """Function from the parameter's values `[N, ...]` to what `score` takes, worked out once at reset."""

    @property
    def parameters(self) -> frozenset[str]:
        """Return the name of the task parameter, if there is one."""
        return frozenset() if self.parameter is None else frozenset({self.parameter})


def _forward(aim: Floats, place: Floats, velocity: Floats) -> Floats:
    return velocity[:, 0]


def _direction(aim: Floats, place: Floats, velocity: Floats) -> Floats:
    return aim * velocity[:, 0]


def _heading(aim: Floats, place: Floats, velocity: Floats) -> Floats:
    return np.einsum("nx,nx->n", aim, velocity)


def _velocity(aim: Floats, place: Floats, velocity: Floats) -> Floats:
    return -np.abs(velocity[:, 0] - aim)


def _go_to(aim: Floats, place: Floats, velocity: Floats) -> Floats:
    return -np.abs(place - aim).sum(1)


def _reach(aim: Floats, place: Floats, velocity: Floats) -> Floats:
    away = place - aim
    return -np.sqrt(np.einsum("nx,nx->n", away, away))


def unit_vector(angle: Floats) -> Floats:
    """Return (cos a, sin a), `[N, 2]`."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


FORWARD = Goal(None, "v_x", _forward)
DIRECTION = Goal("direction", "direction · v_x", _direction)
HEADING = Goal("angle", "v_x cos(angle) + v_y sin(angle)", _heading, unit_vector)
VELOCITY = Goal("velocity", "−|v_x − velocity|", _velocity)
GO_TO = Goal("goal", "−‖p − goal‖₁", _go_to)
REACH = Goal("goal", "−‖p − goal‖₂", _reach)
