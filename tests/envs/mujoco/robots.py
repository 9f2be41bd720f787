"""What the tests of the robots share: variants, tasks, actions, and runs of an environment."""

from dataclasses import replace

import torch

from drml.core.rng import Streams
from drml.core.types import Step, Tasks
from drml.envs.api import EnvOptions
from drml.suites.robots.half_cheetah import DIRECTIONS

SEED = Streams(7)
DIRECTION = replace(DIRECTIONS, action_scale=1.0)  # the half-cheetah's, with actions as they are


def tasks_with(first_id=0, **params):
    """Return tasks with these values of their parameters, one list each."""
    values = {name: torch.tensor(value, dtype=torch.float64) for name, value in params.items()}
    count = len(next(iter(values.values())))
    return Tasks(values, torch.arange(first_id, first_id + count))


def directions(*values, first_id=0):
    return tasks_with(first_id, direction=list(values))


def make(variant=DIRECTION, threads=1):
    from drml.envs.mujoco.robot_env import RobotEnv

    return RobotEnv(variant, EnvOptions(threads=threads))


def actions(*shape):
    return SEED["action"].uniform(shape) * 2.0 - 1.0


def run(env, tasks, copies, action):
    """Return the steps taken under actions [T, K, B, A], from a reset."""
    env.reset(tasks, copies, SEED["reset"])
    return [env.step(a) for a in action]


def assert_same(step: Step, other: Step, index=slice(None), other_index=slice(None)):
    for name, value in vars(step).items():
        if name == "success":
            assert value is vars(other)[name] is None
            continue
        assert torch.equal(value[index], vars(other)[name][other_index]), name
