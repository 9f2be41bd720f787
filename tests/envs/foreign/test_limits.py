"""Time limits of the environments' own: each task keeps its own, or the family is refused."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from counters import Counter
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from drml.core.errors import EnvError, InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.envs.foreign.family import GymFamily, family_of, task_family
from drml.envs.foreign.limits import proposed_horizon, time_limit
from drml.envs.foreign.protocols import family_by_protocol
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform

ENDLESS = "Endless-v0"


class Endless(gym.Env):
    """Pays 1 per step and never ends."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, False, False, {}


class Counted(Endless):
    """Keeps its limit itself, as MiniGrid's environments do."""

    def __init__(self, limit=10):
        self.max_steps, self.t = int(limit), 0

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.t += 1
        return np.zeros(1, np.float32), 1.0, False, self.t >= self.max_steps, {}


class Turned(Counted):
    """Gets its limit with its task, by a protocol."""

    def sample_tasks(self, n):
        return [20, 5]

    def set_task(self, task):
        self.max_steps = task


@pytest.fixture(autouse=True)
def registered():
    gym.register(ENDLESS, Endless)
    yield
    del gym.registry[ENDLESS]


def function(limits, horizon):
    return task_family(limit=limits, horizon=horizon, held_out=False)(lambda limit: TimeLimit(Endless(), int(limit)))


def by_make(limits, horizon):
    return GymFamily(
        "made", lambda limit: gym.make(ENDLESS, max_episode_steps=int(limit)), distribution(limits), horizon
    )


def of_its_own(limits, horizon):
    return GymFamily("counted", Counted, distribution(limits), horizon)


def a_class(limits, horizon):
    steps = horizon

    class Limited:
        params = {"limit": limits}  # noqa: RUF012 — as a user writes it
        held_out = False
        horizon = steps

        def make(self, limit):
            return TimeLimit(Endless(), int(limit))

    return family_of(Limited)


def vector(limits, horizon):
    def make(limit, num_envs):
        return SyncVectorEnv([lambda: TimeLimit(Endless(), int(limit))] * num_envs)

    return GymFamily("vector", make, distribution(limits), horizon)


def wrapped_vector(limits, horizon):
    def make(limit, num_envs):
        return gym.wrappers.vector.TransformReward(
            SyncVectorEnv([lambda: TimeLimit(Endless(), int(limit))] * num_envs), lambda reward: reward
        )

    return GymFamily("wrapped", make, distribution(limits), horizon)


def distribution(limits):
    return TaskDistribution({"limit": limits}, held_out=not isinstance(limits, Choice))


FORMS = [function, by_make, of_its_own, a_class, vector, wrapped_vector]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limits", [Choice((20, 5)), Choice((5, 20)), Choice((20, 5, 11))])
def test_without_a_horizon_tasks_that_differ_in_their_limit_are_refused_whatever_their_order(form, limits):
    with pytest.raises(
        InputError, match=r"limits of their own \(5 steps with limit=5, .*20 steps with limit=20\), .*horizon=20, or"
    ):
        form(limits, 0).suite()


@pytest.mark.parametrize("form", [function, by_make, of_its_own, vector])
def test_limits_of_a_range_are_refused_too(form):
    family = form(Choice(tuple(range(3, 31))), 0)
    with pytest.raises(InputError, match=r"3 steps with limit=3, 17 steps with limit=17, 30 steps with limit=30"):
        family.suite()
    with pytest.raises(InputError, match="tasks have time limits of their own"):
        GymFamily(
            "f", lambda limit: TimeLimit(Endless(), int(limit)), TaskDistribution({"limit": Uniform(3.0, 30.0)})
        ).suite()


@pytest.mark.parametrize("form", FORMS)
def test_within_a_horizon_each_task_keeps_its_own(form):
    env = form(Choice((20, 5)), 20).suite().make(EnvOptions())
    tasks = Tasks({"limit": torch.tensor([20.0, 5.0], dtype=torch.float64)}, torch.arange(2))
    env.reset(tasks, 2, Streams(0))
    steps = [env.step(torch.zeros((2, 2), dtype=torch.int64)) for _ in range(20)]
    truncated = torch.stack([step.truncated for step in steps])  # [T, K, B]
    returns = torch.stack([step.reward for step in steps]).sum(0) / truncated.sum(0)
    assert returns.tolist() == [[20.0, 20.0], [5.0, 5.0]]


@pytest.mark.parametrize("horizon", [0, 5])
def test_a_task_that_the_edges_did_not_show_is_refused_when_it_is_met(horizon):
    family = GymFamily(
        "f",
        lambda limit: TimeLimit(Endless(), 7 if limit == 3 else 20),
        TaskDistribution({"limit": Choice(tuple(range(1, 10)))}, held_out=False),
        horizon,
    )
    env = family.suite().make(EnvOptions())
    tasks = Tasks({"limit": torch.tensor([3.0], dtype=torch.float64)}, torch.arange(1))
    if horizon:
        env.reset(tasks, 1, Streams(0))
        return
    with pytest.raises(EnvError, match=r"f: tasks .* \(7 steps with limit=3, 20 steps with other tasks\)"):
        env.reset(tasks, 1, Streams(0))


def test_a_limit_that_comes_with_a_protocols_task_is_its_own_too():
    with pytest.raises(InputError, match=r"\(5 steps with task=1, 20 steps with task=0\)"):
        family_by_protocol("turned", Turned).suite()
    assert family_by_protocol("turned", Turned, 20).suite().spec.horizon == 20


def test_a_slot_that_is_turned_to_a_task_of_another_limit_says_so():
    def give(env, task):
        env.max_steps = 7 if task["limit"] == 3 else 20

    tasks = TaskDistribution({"limit": Choice(tuple(range(1, 10)))}, held_out=False)
    env = GymFamily("f", lambda limit: Counted(), tasks, give=give).suite().make(EnvOptions())
    one, other = (Tasks({"limit": torch.tensor([k], dtype=torch.float64)}, torch.arange(1)) for k in (2.0, 3.0))
    env.reset(one, 1, Streams(0))
    with pytest.raises(EnvError, match=r"f: tasks .* \(7 steps with limit=3, 20 steps with other tasks\)"):
        env.reset(other, 1, Streams(0))


def test_a_task_at_the_edge_that_cannot_be_built_is_its_own_fault():
    def make(limit):
        if limit > 8:
            raise RuntimeError("no motor")
        return TimeLimit(Endless(), 20)

    family = GymFamily("f", make, TaskDistribution({"limit": Choice(tuple(range(1, 10)))}, held_out=False))
    assert family.suite().spec.horizon == 20


@pytest.mark.parametrize(("name", "limit"), [("_max_episode_steps", 11), ("max_episode_steps", 12), ("max_steps", 13)])
def test_an_environment_says_its_limit_by_one_of_these_names(name, limit):
    env = Endless()
    setattr(env, name, limit)
    assert time_limit(gym.wrappers.TransformReward(env, lambda reward: reward)) == limit
    assert time_limit(TimeLimit(env, 9)) == 9
    setattr(env, name, True)
    assert time_limit(env) == 0


@pytest.mark.parametrize("name", ["max_path_length", "horizon", "episode_length", "duration", "max_timesteps"])
def test_what_looks_like_a_limit_is_proposed(name):
    env = Endless()
    setattr(env, name, 150)
    with pytest.raises(InputError, match=rf"has no time limit, .*: horizon=150 \(its {name} is 150\)"):
        GymFamily("f", lambda task: env, TaskDistribution({"task": Uniform(0.0, 1.0)})).suite()
    assert proposed_horizon(Counter()) == "horizon=STEPS, such as horizon=200"


@pytest.mark.parametrize(("limit", "horizon"), [(19, 20), (5, 20), (20, 20), (30, 20), (20, 0)])
def test_a_limit_below_the_horizon_is_said(limit, horizon):
    tasks = TaskDistribution({"task": Uniform(0.0, 1.0)})
    note = GymFamily("f", lambda task: TimeLimit(Endless(), limit), tasks, horizon).suite().limit_note
    said = f"the environment's own, {limit} steps, lies below the horizon of 20: episodes end there"
    assert note == (said if limit < horizon else "")
