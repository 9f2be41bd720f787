"""Reacher: bring the fingertip of an arm to a place that only the reward tells.

The robot is Gymnasium's Reacher-v5 without its target: 2 joints, 2 motors, 2 physics steps of 0.01 s per control step,

    r = −‖p − g‖₂ − ‖u‖²

where p is the fingertip's place. Observed are the cosines and sines of the angles, their velocities and p.
"""

import numpy as np

from drml.envs.api import Suite
from drml.envs.mujoco.goal import REACH
from drml.envs.mujoco.robot import Reading, Robot, Start, Variant, velocities
from drml.suites.robots.robot_suite import robot_suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Disc

FINGERTIP = Reading("xpos", 9, 2, meaning="the fingertip's x and y")
ROBOT = Robot("reacher", num_motors=2, place=FINGERTIP, start=Start(0.1, 0.005))

HIDDEN_GOALS = Variant(
    ROBOT,
    REACH,
    TaskDistribution({"goal": Disc(0.2)}),
    horizon=50,
    frame_skip=2,
    observes=(
        Reading("qpos", 0, 2, np.cos, meaning="cos qpos"),
        Reading("qpos", 0, 2, np.sin, meaning="sin qpos"),
        velocities(2),
        FINGERTIP,
    ),
    action_scale=0.1,
    control_cost=1.0,
)

SUITES: tuple[Suite, ...] = (
    robot_suite(
        "reacher-goal-v1",
        "Reach a place on the table that only the reward tells.",
        "This package's own, after Gymnasium's Reacher-v5: goals uniform on a disc of 0.2 m, which are not observed "
        "and stay for all episodes of a task. 50 steps, actions scaled by 0.1.",
        HIDDEN_GOALS,
    ),
)
