"""Planar walker: two legs that walk in a direction, at a velocity, or with a physics of their own in each task.

The robot is Gymnasium's Walker2d-v5: 9 joint positions, 6 motors, physics steps of 0.002 s. Its feet have friction 1.9
both; in the model that the code bases below used, one of them had 0.9. An episode is over where the torso leaves 0.8 to
2 m or leans by 1 rad.
"""

from dataclasses import replace

from drml.envs.api import Suite
from drml.envs.mujoco.goal import DIRECTION, FORWARD, VELOCITY
from drml.envs.mujoco.robot import Range, Robot, Start, Variant, positions, velocities
from drml.envs.mujoco.variation import Body, random_physics
from drml.suites.robots.robot_suite import robot_suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform

ROBOT = Robot("walker2d", num_motors=6, place=positions(0, 1), start=Start(0.005, 0.005))
TASKS, VARIATIONS = random_physics(Body(bodies=7, fixed_dofs=3, dofs=6, geoms=8))

PROMP_DIRECTIONS = Variant(
    ROBOT,
    DIRECTION,
    TaskDistribution({"direction": Choice((-1.0, 1.0))}, held_out=False),
    horizon=200,
    frame_skip=8,
    observes=(positions(1, 9), velocities(9, limit=10.0)),
    action_scale=0.1,
    control_cost=0.001,
    alive=1.0,
    healthy=(Range("qpos", 1, 0.8, 2.0), Range("qpos", 2, -1.0, 1.0)),
)
PROMP_PARAMS = replace(PROMP_DIRECTIONS, goal=FORWARD, tasks=TASKS, frame_skip=4, varies=VARIATIONS)

WALK = "Walk forward on legs whose masses, damping and friction nothing but the motion tells."

SUITES: tuple[Suite, ...] = (
    robot_suite(
        "walker2d-params-promp-v1",
        WALK,
        "Rothfuss et al. 2019 (ProMP), Walker2DRandParams: mass, inertia, friction x 1.5^U(-3, 3), damping x 1.3^U(-3, "
        "3), r = v + 1 - 0.001 |u|^2, 4 physics steps per control step, 200 steps, actions scaled by 0.1.",
        PROMP_PARAMS,
    ),
    robot_suite(
        "walker2d-params-pearl-v1",
        WALK,
        "Rakelly et al. 2019 (PEARL): as walker2d-params-promp-v1, actions as they are; so in Zintgraf et al. 2020 "
        "(VariBAD).",
        replace(PROMP_PARAMS, action_scale=1.0),
    ),
    robot_suite(
        "walker2d-dir-promp-v1",
        "Walk forward or backward; the reward tells which.",
        "Rothfuss et al. 2019 (ProMP), Walker2DRandDirec: r = d v + 1 - 0.001 |u|^2, 8 physics steps per control step, "
        "200 steps, actions scaled by 0.1.",
        PROMP_DIRECTIONS,
    ),
    robot_suite(
        "walker2d-vel-promp-v1",
        "Walk forward at a velocity that only the reward tells.",
        "Rothfuss et al. 2019 (ProMP), Walker2DRandVel: v* ~ U[0, 10], r = 15 - |v - v*| - 0.001 |u|^2, 8 physics "
        "steps per control step, 200 steps, actions scaled by 0.1.",
        replace(
            PROMP_DIRECTIONS,
            goal=VELOCITY,
            tasks=TaskDistribution({"velocity": Uniform(0.0, 10.0, ood=(10.0, 12.0))}),
            alive=15.0,
        ),
    ),
)
