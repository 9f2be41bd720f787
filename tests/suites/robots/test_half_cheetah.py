from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco")

from robots import DIRECTION, SEED, directions, make, tasks_with

from drml.envs.api import EnvOptions
from drml.suites.robots.half_cheetah import DIRECTIONS, JOINTS_AND_TORSO, SUITES, VELOCITIES


def test_observation_is_joint_state_and_torso_position():
    env = make(replace(DIRECTION, observes=JOINTS_AND_TORSO))
    obs = env.reset(directions(1.0, -1.0), 3, SEED)
    for k, b in ((0, 0), (1, 2)):
        qpos, qvel = env.pose(k, b).numpy(), env.simulation.qvel[3 * k + b]
        expected = np.concatenate([qpos[1:], qvel, [qpos[0], 0.0, qpos[1] + 0.7]])
        assert np.array_equal(obs[k, b].numpy(), expected.astype(np.float32))


def test_direction_reward_is_velocity_minus_cost():
    env = make(DIRECTIONS)
    env.reset(directions(1.0, -1.0), 2, SEED)
    before = env.simulation.qpos[:, 0].copy()
    step = env.step(torch.tensor([2.0, -3.0, 20.0, -20.0, 0.0, 10.0]).expand(2, 2, 6))
    control = [0.2, -0.3, 1.0, -1.0, 0.0, 1.0]  # scaled by 0.1, then clipped
    np.testing.assert_allclose(env.simulation.ctrl, np.tile(control, (4, 1)), rtol=1e-7)
    velocity = (env.simulation.qpos[:, 0] - before) / 0.05
    expected = np.array([1.0, 1.0, -1.0, -1.0]) * velocity - 0.05 * (0.04 + 0.09 + 3.0)
    np.testing.assert_allclose(step.reward.reshape(4).numpy(), expected, rtol=0, atol=1e-6)  # float32, |r| < 8


def test_velocity_reward_is_largest_at_the_target():
    env = make(replace(VELOCITIES, action_scale=1.0))
    tasks = tasks_with(velocity=[0.0, 2.5])
    env.reset(tasks, 2, SEED)
    before = env.simulation.qpos[:, 0].copy()
    step = env.step(torch.full((2, 2, 6), -0.5))
    velocity = (env.simulation.qpos[:, 0] - before) / 0.05
    expected = -np.abs(velocity - np.array([0.0, 0.0, 2.5, 2.5])) - 0.05 * 6 * 0.25
    np.testing.assert_allclose(step.reward.reshape(4).numpy(), expected, rtol=0, atol=1e-6)  # float32, |r| < 8


def test_tasks_are_the_published_ones():
    units, ids = np.array([[0.0], [0.75]]), torch.arange(2)
    by_name = {suite.name: suite.tasks for suite in SUITES}
    direction = by_name["half-cheetah-dir-promp-v1"].tasks(units, "test", ids)
    assert direction.params["direction"].tolist() == [-1.0, 1.0]
    beyond = by_name["half-cheetah-vel-maml-v1"].tasks(units, "ood", ids)  # U[0, 2], so 2 .. 3 is out of distribution
    assert beyond.params["velocity"].tolist() == [2.0, 2.75]
    assert by_name["half-cheetah-vel-pearl-v1"].describe().startswith("velocity  []  Uniform(0, 3)  ood Uniform(3, 4)")


def test_suites_have_their_published_constants():
    found = {
        suite.name: (suite.spec.horizon, suite.spec.obs_size, suite.make(EnvOptions(threads=1)).variant.action_scale)
        for suite in SUITES
    }
    assert found == {
        "half-cheetah-dir-promp-v1": (100, 17, 0.1),
        "half-cheetah-dir-promp-h200-v1": (200, 17, 0.1),
        "half-cheetah-dir-maml-v1": (200, 20, 0.1),
        "half-cheetah-dir-maml-rl-pytorch-v1": (100, 20, 0.1),
        "half-cheetah-dir-varibad-v1": (200, 17, 1.0),
        "half-cheetah-vel-maml-v1": (200, 20, 0.1),
        "half-cheetah-vel-promp-v1": (100, 17, 0.1),
        "half-cheetah-vel-promp-h200-v1": (200, 17, 0.1),
        "half-cheetah-vel-maml-rl-pytorch-v1": (100, 20, 0.1),
        "half-cheetah-vel-pearl-v1": (200, 17, 1.0),
        "half-cheetah-broken-v1": (200, 17, 0.1),
        "half-cheetah-payload-v1": (200, 17, 0.1),
    }
