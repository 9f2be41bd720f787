"""Humanoid: walk in a direction that only the reward tells, without falling.

The robot is Gymnasium's Humanoid-v5: 24 positions (those of the root are a place and a quaternion), 17 motors whose
control is 0.4 at most, 5 physics steps of 0.003 s per control step. Its place is its centre of mass, and

    r = 1.25 v · d + 5 − 0.1 ‖u‖²

until its root leaves 1 to 2 m. Observed are positions (but the place), velocities, the bodies' inertias and velocities
about the centre of mass, and the motors' torques. The forces of contacts, which the code bases below observe and charge
for as well, are left out: since MuJoCo 2 they read zero there (openai/gym, issue 1541); so are the world's inertia and
velocity and the torques at the root, which are zero for anyone.
"""

import math
from dataclasses import replace

from drml.envs.api import Suite
from drml.envs.mujoco.goal import DIRECTION, HEADING
from drml.envs.mujoco.robot import Range, Reading, Robot, Start, Variant, positions, velocities
from drml.suites.robots.robot_suite import robot_suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform

BODIES = 13  # but the world, which comes first
ROBOT = Robot(
    "humanoid",
    num_motors=17,
    place=Reading("subtree_com", 0, 2, meaning="the centre of mass's x and y"),
    start=Start(0.01, 0.01),
    motor_limit=0.4,
)

PROMP_DIRECTIONS = Variant(
    ROBOT,
    DIRECTION,
    TaskDistribution({"direction": Choice((-1.0, 1.0))}, held_out=False),
    horizon=200,
    frame_skip=5,
    observes=(
        positions(2, 24),
        velocities(23),
        Reading("cinert", 10, 10 * BODIES),
        Reading("cvel", 6, 6 * BODIES),
        Reading("qfrc_actuator", 6, 17),
    ),
    action_scale=0.1,
    progress=1.25,
    control_cost=0.1,
    alive=5.0,
    healthy=(Range("qpos", 2, 1.0, 2.0),),
)
PROMP_HEADINGS = replace(PROMP_DIRECTIONS, goal=HEADING, tasks=TaskDistribution({"angle": Uniform(0.0, 2.0 * math.pi)}))

ANY_DIRECTION = "Walk in a direction of the plane that only the reward tells."

SUITES: tuple[Suite, ...] = (
    robot_suite(
        "humanoid-dir-promp-v1",
        "Walk forward or backward; the reward tells which.",
        "Rothfuss et al. 2019 (ProMP), HumanoidRandDirec: 200 steps, actions scaled by 0.1 (a control is 0.04 times "
        "the policy's output).",
        PROMP_DIRECTIONS,
    ),
    robot_suite(
        "humanoid-dir2d-promp-v1",
        ANY_DIRECTION,
        "Rothfuss et al. 2019 (ProMP), HumanoidRandDirec2D: as humanoid-dir-promp-v1, directions uniform on the "
        "circle.",
        PROMP_HEADINGS,
    ),
    robot_suite(
        "humanoid-dir2d-pearl-v1",
        ANY_DIRECTION,
        "Rakelly et al. 2019 (PEARL), HumanoidDir: as humanoid-dir2d-promp-v1, actions as they are (a control is 0.4 "
        "times the policy's output); so in Zintgraf et al. 2020 (VariBAD).",
        replace(PROMP_HEADINGS, action_scale=1.0),
    ),
)
