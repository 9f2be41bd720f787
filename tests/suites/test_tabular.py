"""Random MDPs: deterministic ones by hand, a tiny stochastic one by enumeration."""

import itertools
import math

import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import BlockNoise, Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.tabular import SUITES, tabular_env
from drml.tasks.samplers.uniform import UniformSampler

REWARD = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)  # [S, A]
TRANSITION = torch.tensor([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7]]], dtype=torch.float64)  # [S, A, S']
ACTIONS = (1, 0, 1)  # what is done at steps 0, 1, 2


def tasks_of(reward: torch.Tensor, transition: torch.Tensor) -> Tasks:
    return Tasks({"reward_mean": reward[None], "transition": transition[None]}, torch.arange(1))


def run(env, tasks: Tasks, copies: int, actions: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return states before each step and rewards, `[T, B]`, of the first task."""
    obs, states, rewards = env.reset(tasks, copies, Streams(11)), [], []
    for action in actions:
        states.append(obs[0].argmax(-1))
        step = env.step(torch.full((1, copies), action))
        rewards.append(step.reward[0])
        obs = step.obs
    return torch.stack(states), torch.stack(rewards)


def test_a_deterministic_mdp_goes_as_on_paper():
    # Action 0 goes on (0 -> 1 -> 2 -> 2), action 1 goes home; R(s, a) = 10 s + a.
    transition = torch.zeros(3, 2, 3, dtype=torch.float64)
    transition[[0, 1, 2], 0, [1, 2, 2]] = 1.0
    transition[:, 1, 0] = 1.0
    reward = torch.tensor([[0.0, 1.0], [10.0, 11.0], [20.0, 21.0]], dtype=torch.float64)
    env = tabular_env(3, 2, horizon=6, options=EnvOptions(), reward_std=0.0)
    states, rewards = run(env, tasks_of(reward, transition), 1, (0, 0, 0, 1, 1, 0, 0))
    assert states[:, 0].tolist() == [0, 1, 2, 2, 0, 0, 0]  # the sixth step leads to state 1, but the episode is over
    assert rewards[:, 0].tolist() == [0.0, 10.0, 20.0, 21.0, 1.0, 0.0, 0.0]


def test_the_last_observation_of_an_episode_is_the_true_one():
    transition = torch.zeros(2, 1, 2, dtype=torch.float64)
    transition[..., 1] = 1.0
    env = tabular_env(2, 1, horizon=2, options=EnvOptions())
    obs = env.reset(tasks_of(torch.zeros(2, 1, dtype=torch.float64), transition), 1, Streams(0))
    first, second = (env.step(torch.zeros(1, 1, dtype=torch.int64)) for _ in range(2))
    assert obs.tolist() == [[[1.0, 0.0]]]
    assert first.obs.tolist() == first.final_obs.tolist() == [[[0.0, 1.0]]]
    assert second.truncated.item() and not second.terminated.item()
    assert second.final_obs.tolist() == [[[0.0, 1.0]]]
    assert second.obs.tolist() == [[[1.0, 0.0]]]


def paths() -> list[tuple[tuple[int, ...], float, float]]:
    """Return each path of three states with its probability and mean return."""
    listed = []
    for states in itertools.product((0, 1), repeat=2):
        path = (0, *states)
        moves = zip(path, ACTIONS, path[1:], strict=False)
        probability = math.prod(TRANSITION[s, a, following].item() for s, a, following in moves)
        listed.append((path, probability, sum(REWARD[s, a].item() for s, a in zip(path, ACTIONS, strict=True))))
    return listed


def test_a_tiny_mdp_matches_the_enumeration_of_its_paths():
    copies = 20_000
    env = tabular_env(2, 2, horizon=3, options=EnvOptions(), reward_std=0.5)
    states, rewards = run(env, tasks_of(REWARD, TRANSITION), copies, ACTIONS)
    for path, probability, _ in paths():
        frequency = (states == torch.tensor(path)[:, None]).all(0).double().mean().item()
        assert frequency == pytest.approx(probability, abs=5.0 * math.sqrt(probability * (1.0 - probability) / copies))
    mean = sum(probability * value for _, probability, value in paths())
    # Variance of the return: that of the mean return over paths, and 0.5² of each of three rewards.
    variance = sum(probability * (value - mean) ** 2 for _, probability, value in paths()) + 3 * 0.25
    returns = rewards.sum(0)
    assert returns.mean().item() == pytest.approx(mean, abs=5.0 * math.sqrt(variance / copies))
    noise = rewards - REWARD.float()[states, torch.tensor(ACTIONS)[:, None]]
    # 3 * 20000 normal numbers of variance 0.25: their sample variance has standard deviation 0.25 √(2/60000).
    assert noise.var().item() == pytest.approx(0.25, abs=5.0 * 0.25 * math.sqrt(2.0 / (3 * copies)))


def test_impossible_transitions_are_never_drawn():
    transition = torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0], dtype=torch.float64).expand(5, 1, 5)
    env = tabular_env(5, 1, horizon=50, options=EnvOptions())
    states, _ = run(env, tasks_of(torch.zeros(5, 1, dtype=torch.float64), transition), 200, (0,) * 50)
    assert states[1:].unique().tolist() == [1, 3]


def test_even_a_uniform_number_of_zero_draws_no_impossible_state(monkeypatch):
    monkeypatch.setattr(BlockNoise, "row", lambda noise, index: torch.zeros(1, 1))
    transition = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(2, 1, 2)
    env = tabular_env(2, 1, horizon=2, options=EnvOptions())
    env.reset(tasks_of(torch.zeros(2, 1, dtype=torch.float64), transition), 1, Streams(0))
    assert env.step(torch.zeros(1, 1, dtype=torch.int64)).obs.tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize("row", [[0.5, 0.4], [1.5, -0.5]])
def test_rows_that_are_no_probabilities_are_refused(row):
    env = tabular_env(2, 1, horizon=2, options=EnvOptions())
    transition = torch.tensor(row, dtype=torch.float64).expand(2, 1, 2)
    with pytest.raises(InputError, match="'transition' must hold probabilities"):
        env.reset(tasks_of(torch.zeros(2, 1, dtype=torch.float64), transition), 1, Streams(0))


def test_each_task_has_its_own_tables():
    reward = torch.stack([REWARD, REWARD + 100.0])
    transition = torch.stack([torch.eye(2, dtype=torch.float64)[[0, 0]].expand(2, 2, 2), torch.ones(2, 2, 2) * 0.0])
    transition[1, :, :, 1] = 1.0  # task 0 stays in state 0, task 1 goes to state 1
    env = tabular_env(2, 2, horizon=5, options=EnvOptions(), reward_std=0.0)
    env.reset(Tasks({"reward_mean": reward, "transition": transition}, torch.arange(2)), 1, Streams(0))
    first, second = (env.step(torch.ones(2, 1, dtype=torch.int64)) for _ in range(2))
    assert first.reward[:, 0].tolist() == [-2.0, 98.0]
    assert second.reward[:, 0].tolist() == [-2.0, 103.0]


def test_random_play_on_the_published_family_earns_ten_per_episode():
    suite = SUITES[0]
    num_tasks, copies = 60, 20
    tasks = UniformSampler().sample({}, suite.tasks, "train", num_tasks, Streams(1)["tasks"])
    env = suite.make(EnvOptions())
    env.reset(tasks, copies, Streams(1)["env"])
    play = Streams(1)["play"].uniform((10, num_tasks, copies)).mul(5).long()
    returns = torch.stack([env.step(action).reward for action in play]).sum(0).mean(1)  # [K]
    # The mean reward is 1, so a return's mean is 10; tasks are independent, so their spread gives the error.
    assert returns.mean().item() == pytest.approx(10.0, abs=5.0 * returns.std().item() / math.sqrt(num_tasks))
    assert returns.std().item() < 4.0  # so that the tolerance above is below 2.6: a missing step would show at 1.0
