"""Ant: a body on four legs that walks in a direction, at a velocity or to a place; or walks on although it is broken.

The robot is Gymnasium's Ant-v5: 15 positions (those of the root are a place and a quaternion), 8 motors, 5 physics
steps of 0.01 s per control step. Its place is that of the torso.

The forces of contacts, which some of the code bases below observe and charge for (at most 0.042 a step), are left out:
since MuJoCo 2 they read zero there (openai/gym, issue 1541).
"""

import math
from dataclasses import replace

from drml.envs.api import Suite
from drml.envs.mujoco.goal import DIRECTION, FORWARD, GO_TO, HEADING, VELOCITY
from drml.envs.mujoco.robot import Range, Reading, Robot, Start, Variant, positions, velocities
from drml.envs.mujoco.variation import Variation, increased_by, zero_at
from drml.suites.robots.robot_suite import robot_suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Disc, Uniform

TORSO = 1  # its body
ROBOT = Robot(
    "ant",
    num_motors=8,
    place=Reading("xpos", 3 * TORSO, 2, meaning="the torso's x and y"),
    start=Start(0.1, 0.1, "normal"),
)

SENSES = (positions(2, 15), velocities(14))
WITH_PLACE = (positions(0, 15), velocities(14))
WITH_TORSO = (
    *SENSES,
    Reading("xmat", 9 * TORSO, 9, meaning="the torso's axes"),
    Reading("xpos", 3 * TORSO, 3, meaning="its x, y and z"),
)

TWO_WAYS = TaskDistribution({"direction": Choice((-1.0, 1.0))}, held_out=False)
ALL_WAYS = TaskDistribution({"angle": Uniform(0.0, 2.0 * math.pi)})

PROMP_DIRECTIONS = Variant(
    ROBOT,
    DIRECTION,
    TWO_WAYS,
    horizon=200,
    frame_skip=5,
    observes=SENSES,
    action_scale=0.1,
    control_cost=0.5,
    alive=1.0,
    healthy=(Range("qpos", 2, 0.0, 1.0),),
)
PEARL_DIRECTIONS = replace(PROMP_DIRECTIONS, action_scale=1.0, healthy=(Range("qpos", 2, 0.2, 1.0),))
MAML_DIRECTIONS = replace(
    PEARL_DIRECTIONS, horizon=100, observes=WITH_TORSO, action_scale=0.1, control_cost=0.005, alive=0.05
)
PROMP_GOALS = replace(
    PROMP_DIRECTIONS,
    goal=GO_TO,
    tasks=TaskDistribution({"goal": Disc(3.0, ood=(3.0, 4.0))}),
    observes=WITH_PLACE,
    control_cost=0.1,
    alive=0.0,
    healthy=(),
)
WALK_ON = replace(PROMP_DIRECTIONS, goal=FORWARD, observes=WITH_PLACE, control_cost=0.0, alive=0.05, healthy=())

TWO_DIRECTIONS = "Walk forward or backward; the reward tells which."
ANY_DIRECTION = "Walk in a direction of the plane that only the reward tells."
REACH_GOAL = "Walk to a place that only the reward tells."
PORT = "tristandeleu/pytorch-maml-rl, the port of cbfinn/maml_rl (whose ant is rllab's): "

SUITES: tuple[Suite, ...] = (
    robot_suite(
        "ant-dir-promp-v1",
        TWO_DIRECTIONS,
        "Rothfuss et al. 2019 (ProMP), AntRandDirec: r = d v + 1 - 0.5 |u|^2, over where the torso leaves 0 to 1 m, "
        "200 steps, actions scaled by 0.1.",
        PROMP_DIRECTIONS,
    ),
    robot_suite(
        "ant-dir-maml-rl-pytorch-v1",
        TWO_DIRECTIONS,
        PORT + "r = d v + 0.05 - 0.005 |u|^2, over where the torso leaves 0.2 to 1 m, 100 steps, the torso's place and "
        "orientation observed, actions scaled by 0.1.",
        MAML_DIRECTIONS,
    ),
    robot_suite(
        "ant-dir-pearl-v1",
        TWO_DIRECTIONS,
        "Rakelly et al. 2019 (PEARL), AntDir with forward_backward: r = d v + 1 - 0.5 |u|^2, over where the torso "
        "leaves 0.2 to 1 m, 200 steps, actions as they are.",
        PEARL_DIRECTIONS,
    ),
    robot_suite(
        "ant-dir-varibad-v1",
        "Walk in one of two directions; the reward tells which.",
        "Zintgraf et al. 2020 (VariBAD), AntDir: as ant-dir-pearl-v1, but the code takes the two directions, -1 and 1, "
        "for angles: they are 1 rad to the right and to the left of straight on, not forward and backward.",
        replace(
            PEARL_DIRECTIONS,
            goal=HEADING,
            tasks=TaskDistribution({"angle": Choice((-1.0, 1.0))}, held_out=False),
        ),
    ),
    robot_suite(
        "ant-dir2d-promp-v1",
        ANY_DIRECTION,
        "Rothfuss et al. 2019 (ProMP), AntRandDirec2D: as ant-dir-promp-v1, directions uniform on the circle.",
        replace(PROMP_DIRECTIONS, goal=HEADING, tasks=ALL_WAYS),
    ),
    robot_suite(
        "ant-dir2d-pearl-v1",
        ANY_DIRECTION,
        "Rakelly et al. 2019 (PEARL), AntDir: as ant-dir-pearl-v1, directions uniform on the circle.",
        replace(PEARL_DIRECTIONS, goal=HEADING, tasks=ALL_WAYS),
    ),
    robot_suite(
        "ant-vel-maml-rl-pytorch-v1",
        "Walk forward at a velocity that only the reward tells.",
        PORT
        + "v* ~ U[0, 3], r = 1 - |v - v*| + 0.05 - 0.005 |u|^2, over where the torso leaves 0.2 to 1 m, 100 steps, the "
        "torso's place and orientation observed, actions scaled by 0.1.",
        replace(
            MAML_DIRECTIONS,
            goal=VELOCITY,
            tasks=TaskDistribution({"velocity": Uniform(0.0, 3.0, ood=(3.0, 4.0))}),
            alive=1.05,
        ),
    ),
    robot_suite(
        "ant-goal-promp-v1",
        REACH_GOAL,
        "Rothfuss et al. 2019 (ProMP), AntRandGoal: goals uniform on a disc of 3 m, r = -|p - g|_1 - 0.1 |u|^2, 200 "
        "steps, the place observed, actions scaled by 0.1.",
        PROMP_GOALS,
    ),
    robot_suite(
        "ant-goal-pearl-v1",
        REACH_GOAL,
        "Rakelly et al. 2019 (PEARL), AntGoal: as ant-goal-promp-v1, actions as they are; so in Zintgraf et al. 2020 "
        "(VariBAD).",
        replace(PROMP_GOALS, action_scale=1.0),
    ),
    robot_suite(
        "ant-goal-maml-rl-pytorch-v1",
        REACH_GOAL,
        PORT
        + "goals uniform on a square of 6 m, r = 4 - |p - g|_1 + 0.05 - 0.005 |u|^2, over where the torso leaves 0.2 "
        "to 1 m, 100 steps, the torso's place and orientation observed, actions scaled by 0.1.",
        replace(
            MAML_DIRECTIONS,
            goal=GO_TO,
            tasks=TaskDistribution({"goal": Uniform(-3.0, 3.0, shape=(2,))}),
            alive=4.05,
        ),
    ),
    robot_suite(
        "ant-broken-v1",
        "Walk forward although one motor is broken; nothing but the motion tells which.",
        "This package's own, after Nagabandi et al. 2019 (GrBAL), learning_to_adapt, AntEnv 'cripple', which disables "
        "a leg and shrinks it: here motors 2 to 7 break in training, and those of leg 4, motors 0 and 1, are out of "
        "distribution. r = v + 0.05, 200 steps, the place observed, actions scaled by 0.1.",
        replace(
            WALK_ON,
            tasks=TaskDistribution({"broken": Choice((2.0, 3.0, 4.0, 5.0, 6.0, 7.0), ood=(0.0, 1.0))}, held_out=False),
            varies=(Variation("broken", "actuator_gear", 0, 8, zero_at),),
        ),
    ),
    robot_suite(
        "ant-payload-v1",
        "Walk forward under a load whose weight nothing but the motion tells.",
        "This package's own: a point mass of U[0, 1] kg at the centre of the torso of a robot of 0.9 kg (1 to 1.5 kg "
        "are out of distribution). r = v + 0.05, 200 steps, the place observed, actions scaled by 0.1.",
        replace(
            WALK_ON,
            tasks=TaskDistribution({"payload": Uniform(0.0, 1.0, ood=(1.0, 1.5))}),
            varies=(Variation("payload", "body_mass", TORSO, 1, increased_by),),
        ),
    ),
)
