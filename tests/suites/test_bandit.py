"""Bandits: certain arms, exact means within derived tolerances, and the published settings."""

import math

import pytest
import torch

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.bandit import SUITES

SUITE = {suite.name: suite for suite in SUITES}
BERNOULLI, GAUSSIAN = SUITE["bandit-bernoulli-k5-n100-v1"], SUITE["bandit-gaussian-k5-n100-v1"]


def means(*rows: list[float]) -> Tasks:
    return Tasks({"mean": torch.tensor(rows, dtype=torch.float64)}, torch.arange(len(rows)))


def pull(suite, tasks: Tasks, action: torch.Tensor, steps: int) -> torch.Tensor:
    """Return the rewards `[K, T, B]` of pulling the arms `action [K, B]` at each step."""
    env = suite.make(EnvOptions())
    env.reset(tasks, action.shape[1], Streams(5))
    return torch.stack([env.step(action).reward for _ in range(steps)], 1)


def test_the_published_settings_are_there():
    assert set(SUITE) == {
        *(f"bandit-bernoulli-k{k}-n{n}-v1" for k, n in ((5, 10), (5, 20), (5, 100), (2, 100), (10, 100), (50, 100))),
        "bandit-gaussian-k5-n100-v1",
    }
    for suite in SUITES:
        arms, pulls = (int(part[1:]) for part in suite.name.split("-")[2:4])
        assert (suite.spec.action.size, suite.spec.horizon) == (arms, pulls)
        assert suite.tasks.params["mean"].shape == (arms,)


def test_certain_arms_pay_always_or_never():
    reward = pull(
        BERNOULLI, means([0.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]), torch.tensor([[0, 1]] * 2), 150
    )
    assert reward[0].unique(dim=0).tolist() == [[0.0, 1.0]]
    assert reward[1].unique(dim=0).tolist() == [[1.0, 0.0]]


def test_bernoulli_rewards_have_the_arms_probabilities():
    probability = [0.1, 0.3, 0.5, 0.7, 0.9]
    reward = pull(BERNOULLI, means(probability), torch.arange(5).expand(1, 5), 10_000)[0]  # [T, A]
    assert reward.unique().tolist() == [0.0, 1.0]
    for arm, p in enumerate(probability):
        tolerance = 5.0 * math.sqrt(p * (1.0 - p) / 10_000)
        assert reward[:, arm].mean().item() == pytest.approx(p, abs=tolerance)


def test_gaussian_rewards_have_the_arms_means_and_variance_one():
    mean = [0.0, 0.25, 0.5, 0.75, 1.0]
    reward = pull(GAUSSIAN, means(mean), torch.arange(5).expand(1, 5), 10_000)[0]  # [T, A]
    for arm, mu in enumerate(mean):
        assert reward[:, arm].mean().item() == pytest.approx(mu, abs=5.0 / math.sqrt(10_000))
        # The variance of a sample variance of n normal numbers is 2/(n − 1).
        assert reward[:, arm].var().item() == pytest.approx(1.0, abs=5.0 * math.sqrt(2.0 / 9_999))


def test_rewards_are_independent_between_copies_and_steps():
    centred = pull(GAUSSIAN, means([0.0] * 5), torch.zeros(1, 2, dtype=torch.int64), 10_000)[0]  # [T, B]
    tolerance = 5.0 / math.sqrt(9_999)  # products of independent standard normals have variance 1
    assert abs((centred[:, 0] * centred[:, 1]).mean().item()) < tolerance
    assert abs((centred[1:, 0] * centred[:-1, 0]).mean().item()) < tolerance


def test_an_episode_is_n_pulls_and_the_observation_says_nothing():
    env = SUITE["bandit-bernoulli-k5-n10-v1"].make(EnvOptions())
    obs = env.reset(means([0.5] * 5), 2, Streams(0))
    steps = [env.step(torch.zeros(1, 2, dtype=torch.int64)) for _ in range(20)]
    assert [step.truncated.all().item() for step in steps] == ([False] * 9 + [True]) * 2
    assert not any(step.terminated.any() for step in steps)
    seen = torch.stack([obs, *(step.obs for step in steps), *(step.final_obs for step in steps)])
    assert seen.unique().tolist() == [1.0]
