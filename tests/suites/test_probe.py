"""Probes: the answers on paper are what the environments pay."""

import math

import pytest
import torch

from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.suites.probe import (
    DISCOUNT,
    DOOR,
    DOOR_FLIP,
    GOAL_FLIP,
    HORIZON,
    IDENTICAL,
    OBSERVATION,
    POLICY,
    PROBES,
    TERMINATION,
    TRUNCATION,
    Probe,
)

COPIES = 400
GAMMA = 0.9
LOOK_AHEAD = 300  # what lies beyond is worth at most 0.9^300 / 0.1 ≈ 2e-13


def name_of(probe: Probe) -> str:
    return probe.suite.name.removeprefix("probe-").removesuffix("-v1")


def best_action(probe: Probe, obs: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return what the best policy that knows the task does, `[K, B, A]`."""
    if probe is DOOR_FLIP:
        return torch.stack([factor.float()[:, None].expand(obs.shape[:2]), torch.full(obs.shape[:2], DOOR)], -1)
    return obs if probe is POLICY else factor.float()[:, None, None].expand_as(obs)


def play(probe: Probe, steps: int, act):
    tasks = probe.suite.tasks.all_tasks()
    env = probe.suite.make(EnvOptions())
    obs, seen = env.reset(tasks, COPIES, Streams(2)), []
    for _ in range(steps):
        step = env.step(act(obs, tasks.params["factor"]))
        seen.append((obs, step))
        obs = step.obs
    return seen


@pytest.mark.parametrize("probe", PROBES, ids=name_of)
def test_best_return_is_what_the_best_policy_gets(probe):
    seen = play(probe, probe.suite.spec.horizon, lambda obs, factor: best_action(probe, obs, factor))
    returns = torch.stack([step.reward for _, step in seen]).sum(0)
    if probe is OBSERVATION:
        assert returns.mean().item() == pytest.approx(probe.best_return, abs=5.0 / COPIES**0.5)  # ±1, variance 1
    else:
        assert returns.unique().tolist() == [probe.best_return]
    last = seen[-1][1]
    assert (last.terminated | last.truncated).all()


@pytest.mark.parametrize("probe", [p for p in PROBES if p is not OBSERVATION], ids=name_of)
def test_best_value_is_the_discounted_sum_up_to_a_termination(probe):
    seen = play(probe, LOOK_AHEAD, lambda obs, factor: best_action(probe, obs, factor))
    value, alive = torch.zeros(1, dtype=torch.float64), torch.ones_like(seen[0][1].reward, dtype=torch.bool)
    for t, (_, step) in enumerate(seen):
        value = value + GAMMA**t * step.reward.double() * alive
        alive = alive & ~step.terminated
    torch.testing.assert_close(value, torch.full_like(value, probe.best_value(GAMMA)), atol=1e-9, rtol=0.0)


def test_the_observation_probe_pays_what_it_shows():
    seen = play(OBSERVATION, 50, lambda obs, factor: torch.zeros_like(obs))
    shown = torch.stack([obs[..., 0] for obs, _ in seen])
    assert torch.equal(shown, torch.stack([step.reward for _, step in seen]))
    assert shown.unique().tolist() == [-1.0, 1.0]
    assert shown.mean().item() == pytest.approx(OBSERVATION.best_value(GAMMA), abs=5.0 / (50 * COPIES) ** 0.5)
    assert all(step.terminated.all() for _, step in seen)


def test_the_discount_probe_pays_at_the_end():
    (first_obs, first), (second_obs, second) = play(DISCOUNT, 2, lambda obs, factor: torch.zeros_like(obs))
    assert first_obs.unique().tolist() == [0.0] and second_obs.unique().tolist() == [1.0]
    assert first.reward.unique().tolist() == [0.0] and second.reward.unique().tolist() == [1.0]
    assert not first.terminated.any() and second.terminated.all()


@pytest.mark.parametrize("action", [-2.0, -1.0, -0.3, 0.0, 0.5, 1.0, 3.0])
def test_no_prior_gains_on_goal_flip_and_the_known_task_pays_all(action):
    seen = play(GOAL_FLIP, HORIZON, lambda obs, factor: torch.full_like(obs, action))
    returns = torch.stack([step.reward for _, step in seen]).sum(0)  # [K, B], the tasks −1 and +1
    assert torch.equal(returns[0], GOAL_FLIP.best_unadapted_return - returns[1])
    clipped = max(-1.0, min(1.0, action))
    assert returns[:, 0].tolist() == pytest.approx([-HORIZON * clipped, HORIZON * clipped], abs=1e-5)  # 10 sums near 10


def test_identical_has_one_task_and_the_flips_have_two():
    assert len(IDENTICAL.suite.tasks.all_tasks()) == 1
    for probe in (GOAL_FLIP, DOOR_FLIP):
        assert probe.suite.tasks.all_tasks().params["factor"].tolist() == [-1.0, 1.0]


def clipped_mean(mean: float, limit: float) -> float:
    """E clip(x, ±L) for x ~ N(m, 1), from ∫ of Φ: m + (−L − m) Φ(−L − m) + φ(−L − m) + (L − m) Φ(m − L) − φ(L − m)."""
    unit = torch.distributions.Normal(0.0, 1.0)
    low, high = torch.tensor(-limit - mean).double(), torch.tensor(limit - mean).double()
    density = [x.square().mul(-0.5).exp() / math.sqrt(2.0 * math.pi) for x in (low, high)]
    return float(mean + low * unit.cdf(low) + density[0] + high * unit.cdf(-high) - density[1])


def test_the_closed_form_is_that_of_clipping():
    assert clipped_mean(0.0, 1.0) == pytest.approx(0.0, abs=1e-12)
    assert clipped_mean(0.7, 50.0) == pytest.approx(0.7, abs=1e-12)  # nothing is clipped
    assert clipped_mean(40.0, 6.0) == pytest.approx(6.0, abs=1e-12)  # everything is
    grid = torch.linspace(-9.0, 9.0, 20_001, dtype=torch.float64)
    weight = (-0.5 * (grid - 0.4).square()).exp()
    assert clipped_mean(0.4, 1.0) == pytest.approx(float((weight * grid.clamp(-1, 1)).sum() / weight.sum()), abs=1e-6)


@pytest.mark.parametrize("lever", [-0.5, 0.0, 2.0])
@pytest.mark.parametrize("door", [0.0, 1.5, DOOR, 9.0])
def test_door_flip_pays_what_the_closed_form_says(lever, door):
    """Per step E clip(d/D, ±1) + c E clip(a, ±1) Φ(m − D), for Gaussian actions with standard deviation 1."""
    noise = torch.randn((HORIZON, 2, COPIES, 2), generator=torch.Generator().manual_seed(1)).unbind(0)
    at = torch.tensor([lever, door])
    draws = iter(noise)
    seen = play(DOOR_FLIP, HORIZON, lambda obs, factor: at + next(draws))
    returns = torch.stack([step.reward for _, step in seen]).sum(0)  # [K, B], the tasks −1 and +1
    opened = float(torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(door - DOOR)))
    shared, own = clipped_mean(door, DOOR) / DOOR, clipped_mean(lever, 1.0) * opened
    # A step's reward lies within ±2, so the mean of 400 episodes of 10 has a standard deviation below 2 √10 / 20.
    expected = [HORIZON * (shared - own), HORIZON * (shared + own)]
    assert returns.mean(1).tolist() == pytest.approx(expected, abs=4.0 * 2.0 * HORIZON**0.5 / COPIES**0.5)
    assert HORIZON * shared <= DOOR_FLIP.best_unadapted_return  # over the tasks, whatever the lever does


def test_without_the_door_both_tasks_of_door_flip_are_one():
    action = torch.linspace(-8.0, DOOR - 1e-3, COPIES).view(1, -1, 1)
    seen = play(DOOR_FLIP, 1, lambda obs, factor: torch.cat([torch.ones_like(obs), action.expand(obs.shape)], -1))
    assert torch.equal(seen[0][1].reward[0], seen[0][1].reward[1])


NETWORKS = (MLPConfig(), MLPConfig((100, 100), "relu"), MLPConfig((8,)), MLPConfig((8, 8), "relu"))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda config: f"{config.activation}{config.hidden}")
def test_no_untrained_policy_opens_the_door(network):
    policy = mlp_policy(DOOR_FLIP.suite.spec, network)
    for seed in range(200):
        acting, _ = policy.step(policy.init(Streams(seed)["init"]), torch.ones(1, 1, 1), {})
        assert float(acting.tensors()["mean"][..., 1].abs()) < 2.0 and not acting.tensors()["log_std"].any()
    assert float(torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(2.0 - DOOR))) == pytest.approx(3.2e-5, rel=0.02)


def test_truncation_and_termination_differ_in_nothing_but_the_ending():
    runs = [play(probe, 2 * HORIZON, lambda obs, factor: torch.zeros_like(obs)) for probe in (TRUNCATION, TERMINATION)]
    for (obs_a, a), (obs_b, b) in zip(*runs, strict=True):
        assert torch.equal(obs_a, obs_b) and torch.equal(a.reward, b.reward) and torch.equal(a.final_obs, b.final_obs)
        assert torch.equal(a.truncated, b.terminated)
        assert not a.terminated.any() and not b.truncated.any()
    ends = [step.truncated.all().item() for _, step in runs[0]]
    assert ends == ([False] * (HORIZON - 1) + [True]) * 2
    difference = TRUNCATION.best_value(GAMMA) - TERMINATION.best_value(GAMMA)
    assert difference == pytest.approx(GAMMA**HORIZON / (1.0 - GAMMA), rel=1e-12)


def test_the_observation_of_the_ending_probes_is_the_time():
    seen = play(TERMINATION, HORIZON, lambda obs, factor: torch.zeros_like(obs))
    shown = torch.tensor([obs[0, 0, 0].item() for obs, _ in seen])
    torch.testing.assert_close(shown, torch.arange(HORIZON) / HORIZON, atol=1e-6, rtol=0.0)  # ten sums below 1
