"""Hopper: a leg that hops forward, with a physics of its own in each task.

The robot is Gymnasium's Hopper-v5: 6 joint positions, 3 motors, 4 physics steps of 0.002 s per control step, and

    r = v + 1 − 0.001 ‖u‖²

until it stoops below 0.7 m, leans by 0.2 rad or moves out of all bounds.
"""

from dataclasses import replace

from drml.envs.api import Suite
from drml.envs.mujoco.goal import FORWARD
from drml.envs.mujoco.robot import Range, Robot, Start, Variant, positions, velocities
from drml.envs.mujoco.variation import Body, random_physics
from drml.suites.robots.robot_suite import robot_suite

ROBOT = Robot("hopper", num_motors=3, place=positions(0, 1), start=Start(0.005, 0.005))
TASKS, VARIATIONS = random_physics(Body(bodies=4, fixed_dofs=3, dofs=3, geoms=5))

PROMP = Variant(
    ROBOT,
    FORWARD,
    TASKS,
    horizon=200,
    frame_skip=4,
    observes=(positions(1, 6), velocities(6, limit=10.0)),
    action_scale=0.1,
    control_cost=0.001,
    alive=1.0,
    healthy=(
        Range("qpos", 1, 0.7, float("inf")),
        Range("qpos", 2, -0.2, 0.2),
        Range("qpos", 2, -100.0, 100.0, count=4),
        Range("qvel", 0, -100.0, 100.0, count=6),
    ),
    varies=VARIATIONS,
)

HOP = "Hop forward on a leg whose masses, damping and friction nothing but the motion tells."

SUITES: tuple[Suite, ...] = (
    robot_suite(
        "hopper-params-promp-v1",
        HOP,
        "Rothfuss et al. 2019 (ProMP), HopperRandParams: mass, inertia, friction x 1.5^U(-3, 3), damping x 1.3^U(-3, "
        "3), 200 steps, actions scaled by 0.1.",
        PROMP,
    ),
    robot_suite(
        "hopper-params-pearl-v1",
        HOP,
        "Rakelly et al. 2019 (PEARL): as hopper-params-promp-v1, actions as they are; so in Zintgraf et al. 2020 "
        "(VariBAD).",
        replace(PROMP, action_scale=1.0),
    ),
)
