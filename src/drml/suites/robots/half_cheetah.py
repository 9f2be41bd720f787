"""Half-cheetah: run in the direction, or at the velocity, that the task asks for; or run on although something broke.

The robot is Gymnasium's HalfCheetah-v5: 9 joint positions, 6 motors, 5 physics steps of 0.01 s per control step, and
the rewards are

    direction   r = d · v − c ‖u‖²          d ∈ {−1, +1}
    velocity    r = −|v − v*| − c ‖u‖²      v* in m/s
    run on      r = v − c ‖u‖²              a motor is broken, or a load lies on the torso

Source: Finn et al. 2017, "Model-agnostic meta-learning for fast adaptation of deep networks", section 5.3; every suite
below names the code base whose horizon, observation, action scale and velocity range it has.
"""

from dataclasses import replace

import numpy as np

from drml.envs.api import Suite
from drml.envs.mujoco.goal import DIRECTION, FORWARD, VELOCITY
from drml.envs.mujoco.robot import Floats, Reading, Robot, Start, Variant, positions, velocities
from drml.envs.mujoco.variation import Variation, increased_by, zero_at
from drml.suites.robots.robot_suite import robot_suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform

TORSO_HEIGHT = 0.7  # m, of the torso where rootz is 0
TORSO = 1  # its body

ROBOT = Robot("half_cheetah", num_motors=6, place=positions(0, 1), start=Start(0.1, 0.1, "normal"))


def torso_position(root: Floats) -> Floats:
    """Return the torso's x, y and z from rootx and rootz; the robot moves in the x-z plane."""
    return np.stack([root[:, 0], np.zeros(len(root)), root[:, 1] + TORSO_HEIGHT], axis=1)


JOINTS = (positions(1, 9), velocities(9))
JOINTS_AND_TORSO = (*JOINTS, Reading("qpos", 0, 2, torso_position, 3, "the torso's x, y and z"))

DIRECTIONS = Variant(
    ROBOT,
    DIRECTION,
    TaskDistribution({"direction": Choice((-1.0, 1.0))}, held_out=False),
    horizon=100,
    frame_skip=5,
    observes=JOINTS,
    action_scale=0.1,
    control_cost=0.05,
)


def up_to(max_velocity: float) -> TaskDistribution:
    """Return velocities uniform on [0, max_velocity]; those up to 1 m/s beyond are out of distribution."""
    return TaskDistribution({"velocity": Uniform(0.0, max_velocity, ood=(max_velocity, max_velocity + 1.0))})


VELOCITIES = replace(DIRECTIONS, goal=VELOCITY, tasks=up_to(3.0))

FORWARD_BACKWARD = "Run forward or backward; the reward tells which."
REACH_VELOCITY = "Run forward at a velocity that only the reward tells."

SUITES: tuple[Suite, ...] = (
    robot_suite(
        "half-cheetah-dir-promp-v1",
        FORWARD_BACKWARD,
        "Rothfuss et al. 2019 (ProMP), branch full_code, HalfCheetahRandDirec: 100 steps, actions scaled by 0.1.",
        DIRECTIONS,
    ),
    robot_suite(
        "half-cheetah-dir-promp-h200-v1",
        FORWARD_BACKWARD,
        "Rothfuss et al. 2019 (ProMP), the authors' sweep for the comparison with PEARL: 200 steps.",
        replace(DIRECTIONS, horizon=200),
    ),
    robot_suite(
        "half-cheetah-dir-maml-v1",
        FORWARD_BACKWARD,
        "Finn et al. 2017 (MAML), cbfinn/maml_rl: 200 steps, the torso's position observed, actions scaled by 0.1. "
        "There the position is that of the robot's centre of mass; here, as in the ports, the torso's.",
        replace(DIRECTIONS, horizon=200, observes=JOINTS_AND_TORSO),
    ),
    robot_suite(
        "half-cheetah-dir-maml-rl-pytorch-v1",
        FORWARD_BACKWARD,
        "tristandeleu/pytorch-maml-rl: 100 steps, the torso's position observed, actions scaled by 0.1.",
        replace(DIRECTIONS, observes=JOINTS_AND_TORSO),
    ),
    robot_suite(
        "half-cheetah-dir-varibad-v1",
        FORWARD_BACKWARD,
        "Zintgraf et al. 2020 (VariBAD), HalfCheetahDir: 200 steps, actions as they are; so in Rakelly et al. 2019 "
        "(PEARL).",
        replace(DIRECTIONS, horizon=200, action_scale=1.0),
    ),
    robot_suite(
        "half-cheetah-vel-maml-v1",
        REACH_VELOCITY,
        "Finn et al. 2017 (MAML), cbfinn/maml_rl: v* ~ U[0, 2], 200 steps, the torso's position observed, actions "
        "scaled by 0.1. There the position is that of the robot's centre of mass; here, as in the ports, the torso's.",
        replace(VELOCITIES, horizon=200, observes=JOINTS_AND_TORSO, tasks=up_to(2.0)),
    ),
    robot_suite(
        "half-cheetah-vel-promp-v1",
        REACH_VELOCITY,
        "Rothfuss et al. 2019 (ProMP), HalfCheetahRandVel: v* ~ U[0, 3], 100 steps, actions scaled by 0.1 (200 steps "
        "in the authors' sweep for the comparison with PEARL).",
        VELOCITIES,
    ),
    robot_suite(
        "half-cheetah-vel-promp-h200-v1",
        REACH_VELOCITY,
        "Rothfuss et al. 2019 (ProMP), the authors' sweep for the comparison with PEARL: 200 steps.",
        replace(VELOCITIES, horizon=200),
    ),
    robot_suite(
        "half-cheetah-vel-maml-rl-pytorch-v1",
        REACH_VELOCITY,
        "tristandeleu/pytorch-maml-rl: v* ~ U[0, 2], 100 steps, the torso's position observed, actions scaled by 0.1.",
        replace(VELOCITIES, observes=JOINTS_AND_TORSO, tasks=up_to(2.0)),
    ),
    robot_suite(
        "half-cheetah-vel-pearl-v1",
        REACH_VELOCITY,
        "Rakelly et al. 2019 (PEARL), HalfCheetahVel: v* ~ U[0, 3], 200 steps, actions as they are; so in Zintgraf et "
        "al. 2020 (VariBAD).",
        replace(VELOCITIES, horizon=200, action_scale=1.0),
    ),
    robot_suite(
        "half-cheetah-broken-v1",
        "Run forward although one motor is broken; nothing but the motion tells which.",
        "This package's own, after Nagabandi et al. 2019 (GrBAL), learning_to_adapt, HalfCheetahEnv 'cripple': motors "
        "1 to 5 break in training, motor 0 is out of distribution. 200 steps, actions scaled by 0.1; the control cost "
        "is that of the controls asked for, the broken motor's included.",
        replace(
            DIRECTIONS,
            goal=FORWARD,
            tasks=TaskDistribution({"broken": Choice((1.0, 2.0, 3.0, 4.0, 5.0), ood=(0.0,))}, held_out=False),
            horizon=200,
            varies=(Variation("broken", "actuator_gear", 0, 6, zero_at),),
        ),
    ),
    robot_suite(
        "half-cheetah-payload-v1",
        "Run forward under a load whose weight nothing but the motion tells.",
        "This package's own: a point mass of U[0, 6] kg at the centre of the torso of a robot of 14 kg (6 to 9 kg are "
        "out of distribution). 200 steps, actions scaled by 0.1.",
        replace(
            DIRECTIONS,
            goal=FORWARD,
            tasks=TaskDistribution({"payload": Uniform(0.0, 6.0, ood=(6.0, 9.0))}),
            horizon=200,
            varies=(Variation("payload", "body_mass", TORSO, 1, increased_by),),
        ),
    ),
)
