import math

import gymnasium as gym
import numpy as np
import pytest
import torch

from drml.collect.collector import Collector
from drml.core.errors import InputError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent, Tasks
from drml.envs.api import EnvOptions
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.suites import classic
from drml.tasks.samplers.uniform import UniformSampler

BY_NAME = {suite.name: suite for suite in classic.SUITES}
ANY = pytest.mark.parametrize("suite", classic.SUITES, ids=list(BY_NAME))


def opened(suite):
    if "lander" in suite.name:
        pytest.importorskip("Box2D")
    return suite.make(EnvOptions())


def run(name, copies=1, steps=4, swap=False, **params):
    """Observations and rewards of one task under a fixed row of actions."""
    env, spec = opened(BY_NAME[name]), BY_NAME[name].spec
    tasks = Tasks({key: torch.tensor([value], dtype=torch.float64) for key, value in params.items()}, torch.tensor([3]))
    rows, rewards = [env.reset(tasks, copies, Streams(0))], []
    for t in range(steps):
        if spec.action.kind == "continuous":
            action = torch.full((1, copies, spec.action.size), 0.5)
        else:
            index, last = t % spec.action.size, spec.action.size - 1
            swapped = -index % 4 if "lander" in name else last - index  # of the lander, 0 and 2 are no sides
            action = torch.full((1, copies), swapped if swap else index)
        step = env.step(action)
        rows.append(step.obs)
        rewards.append(step.reward)
    return torch.stack(rows), torch.stack(rewards)


@ANY
def test_the_environments_are_what_the_suites_declare(suite):
    env = opened(suite)  # compares the spec that is written down with what is built
    assert env.spec == suite.spec
    tasks = UniformSampler().sample({}, suite.tasks, "train", 2, Streams(1))
    policy = mlp_policy(suite.spec, MLPConfig(hidden=(4,)))
    collect = Collector(env, 25, 3, Phases())
    rollout = collect(policy, Agent(policy.init(Streams(2)), {}), tasks, Streams(3))
    again = collect(policy, Agent(policy.init(Streams(2)), {}), tasks, Streams(3))
    assert rollout.valid.all() and rollout.obs.shape == (2, 25, 3, suite.spec.obs_size)
    assert torch.equal(rollout.obs, again.obs) and torch.equal(rollout.reward, again.reward)


@ANY
def test_listing_them_builds_nothing_and_says_where_they_come_from(suite):
    assert suite.source.startswith("Gymnasium's ") and suite.summary.endswith(".")


def test_the_pole_obeys_gymnasiums_own_equations_with_the_tasks_length_and_mass():
    obs, reward = run("cartpole-varied-v1", copies=2, length=0.3, mass=0.4, wiring=1.0)
    for b in range(2):
        env = gym.make("CartPole-v1").unwrapped
        env.length, env.masspole, env.total_mass, env.polemass_length = 0.3, 0.4, 1.4, 0.12
        env.reset(seed=0)
        env.state = obs[0, 0, b].double().numpy()
        for t in range(4):
            expected, *_ = env.step(t % 2)
            np.testing.assert_allclose(obs[t + 1, 0, b], expected, atol=1e-6)  # float32 of a float64 state
    assert reward.eq(1.0).all()


def test_the_pendulum_obeys_its_equation():
    obs, _ = run("pendulum-varied-v1", gravity=12.0, length=0.7, mass=1.2)
    cos, sin, speed = obs[0, 0, 0].double().tolist()
    torque = 1.0  # 0.5 of the bound of 2 Nm
    acceleration = 3 * 12.0 / (2 * 0.7) * sin + 3.0 / (1.2 * 0.7**2) * torque
    expected = speed + acceleration * 0.05
    assert obs[1, 0, 0, 2].item() == pytest.approx(expected, abs=1e-5)
    assert math.atan2(sin, cos) + expected * 0.05 == pytest.approx(math.atan2(*obs[1, 0, 0, [1, 0]].tolist()), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("cartpole-varied-v1", {"length": 0.5, "mass": 0.1}),
        ("acrobot-varied-v1", {"mass_1": 1.0, "mass_2": 1.0}),
        ("mountain-car-varied-v1", {"gravity": 0.0025}),
        ("lunar-lander-varied-v1", {"gravity": -8.0, "wind": 5.0, "turbulence": 1.0}),
    ],
)
def test_swapped_wires_swap_the_actions(name, params):
    straight, swapped = run(name, wiring=1.0, **params)[0], run(name, wiring=-1.0, swap=True, **params)[0]
    assert torch.equal(straight, swapped)
    assert not torch.equal(straight, run(name, wiring=-1.0, **params)[0])


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("acrobot-varied-v1", {"mass_1": 1.0, "mass_2": 1.0, "wiring": 1.0}),
        ("mountain-car-varied-v1", {"gravity": 0.0025, "wiring": 1.0}),
        ("lunar-lander-varied-v1", {"gravity": -8.0, "wind": 5.0, "turbulence": 1.0, "wiring": 1.0}),
    ],
)
def test_each_parameter_changes_what_happens_after_the_same_start(name, params):
    plain = run(name, **params)[0]
    for changed in params:
        other = run(name, **{**params, changed: -params[changed] if changed == "wiring" else 0.8 * params[changed]})[0]
        assert not torch.equal(plain[-1], other[-1]), changed
        if "lander" not in name:  # whose gravity already acts within its reset
            assert torch.equal(plain[0], other[0]), changed


def test_without_box2d_the_extra_is_named(monkeypatch):
    def make(*_, **__):
        raise gym.error.DependencyNotInstalled("Box2D is not installed")

    monkeypatch.setattr(gym, "make", make)
    with pytest.raises(InputError, match=r'needs Box2D: pip install "drml\[box2d\]"'):
        classic.lunar_lander(gravity=-8.0, wind=0.0, turbulence=0.0, wiring=1)
