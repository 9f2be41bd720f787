"""The field's older task conventions, each in a small environment written as its code bases write them."""

import random
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.envs.foreign.protocols import NUM_SAMPLED_TASKS, family_by_protocol


class Line(gym.Env):
    """Shows the goal."""

    observation_space = gym.spaces.Box(-10.0, 10.0, (1,))
    action_space = gym.spaces.Discrete(2)
    goal = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.float32([self.goal]), {}

    def step(self, action):
        return np.float32([self.goal]), 0.0, False, False, {}


class Learn2Learn(Line):
    """Draws tasks from NumPy's global generator, as learn2learn's environments do."""

    def sample_tasks(self, num_tasks):
        return [{"goal": goal} for goal in np.random.uniform(-1.0, 1.0, num_tasks)]  # noqa: NPY002

    def set_task(self, task):
        self.goal = task["goal"]

    def get_task(self):
        return {"goal": self.goal}


class Garage(Learn2Learn):
    def sample_tasks(self, num_tasks):
        return [{"goal": goal} for goal in self.np_random.uniform(-1.0, 1.0, num_tasks)]


class Directions(Learn2Learn):
    def sample_tasks(self, num_tasks):
        return [{"goal": random.choice([-1.0, 1.0])} for _ in range(num_tasks)]


class Pearl(Line):
    goals = np.linspace(-1.0, 1.0, 40)

    def get_all_task_idx(self):
        return range(len(self.goals))

    def reset_task(self, index):
        self.goal = self.goals[index]
        return self.reset()


class Varibad(Line):
    def sample_tasks(self, num_tasks):
        return self.np_random.uniform(-1.0, 1.0, num_tasks)

    def reset_task(self, task):
        self.goal = task


class ByOption(Line):
    tasks = tuple(np.linspace(-1.0, 1.0, 40))

    def reset(self, *, seed=None, options=None):
        self.goal = (options or {}).get("task", self.goal)
        return super().reset(seed=seed)


class ByOptionSampled(ByOption):
    tasks = None

    def sample_tasks(self, num_tasks):
        return list(self.np_random.uniform(-1.0, 1.0, num_tasks))


ALL = [Learn2Learn, Garage, Pearl, Varibad, ByOption, ByOptionSampled]


def goals(kind, indices=(0, 7, 3), copies=2):
    env = family_by_protocol("line", kind, horizon=5).open(EnvOptions())
    index = torch.tensor(indices, dtype=torch.float64)
    obs = env.reset(Tasks({"task": index}, torch.arange(len(indices))), copies, Streams(0))
    assert torch.equal(obs[:, :1].expand_as(obs), obs), "the copies of a task are of one task"
    return obs[:, 0, 0].tolist()


@pytest.mark.parametrize("kind", ALL)
def test_each_convention_gives_tasks_that_differ_and_are_the_same_each_time(kind):
    first = goals(kind)
    assert len(set(first)) == 3 and first == goals(kind) and goals(kind, (3, 0)) == [first[2], first[0]]


@pytest.mark.parametrize("kind", [Pearl, ByOption])
def test_a_listed_task_is_the_one_that_was_asked_for(kind):
    expected = np.linspace(-1.0, 1.0, 40)[[0, 7, 3]]
    np.testing.assert_allclose(goals(kind), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_the_splits_share_no_task(kind):
    family = family_by_protocol("line", kind, horizon=5)
    parameter = family.tasks.params["task"]
    assert parameter.num_values == (NUM_SAMPLED_TASKS if hasattr(kind, "sample_tasks") else 40)
    assert family.tasks.held_out


def test_repeated_tasks_are_one_and_too_few_are_shared():
    family = family_by_protocol("line", Directions, horizon=5)
    assert family.tasks.params["task"].num_values == 2 and not family.tasks.held_out
    assert sorted(goals(Directions, (0, 1))) == [-1.0, 1.0]


def test_the_global_generators_are_as_before():
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    family_by_protocol("line", Learn2Learn, horizon=5)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_environments_are_turned_not_built_again():
    made = []

    def make():
        made.append(1)
        return Learn2Learn()

    env = family_by_protocol("line", make, horizon=5).open(EnvOptions())
    made.clear()
    for indices in ((0, 1), (2, 3), (1, 4)):
        env.reset(Tasks({"task": torch.tensor(indices, dtype=torch.float64)}, torch.arange(2)), 3, Streams(0))
    assert len(made) == 6


def test_the_task_stays_through_resets_within_a_rollout():
    env = family_by_protocol("line", ByOption, horizon=2).open(EnvOptions())
    first = env.reset(Tasks({"task": torch.tensor([5.0, 9.0])}, torch.arange(2)), 2, Streams(0))
    for _ in range(7):
        assert torch.equal(env.step(torch.zeros((2, 2), dtype=torch.int64)).obs, first)


def test_tasks_that_are_drawn_anew_each_time_are_refused():
    class Entropy(Learn2Learn):
        def sample_tasks(self, num_tasks):
            return list(np.random.default_rng().uniform(size=num_tasks))

    with pytest.raises(InputError, match="draws other tasks each time, so a run could not be resumed"):
        family_by_protocol("line", Entropy, horizon=5)


def test_an_environment_without_tasks_is_told_what_to_write():
    with pytest.raises(InputError, match=r"bring no tasks .*@task_family"):
        family_by_protocol("line", Line, horizon=5)


def test_no_tasks_at_all_are_refused():
    class Empty(Pearl):
        goals = ()

    with pytest.raises(InputError, match="lists no tasks"):
        family_by_protocol("line", Empty, horizon=5)


def test_tasks_that_cannot_be_told_apart_are_refused():
    tasks = tuple({"goal": lambda: 1.0} for _ in range(3))
    with pytest.raises(InputError, match=r"line: telling tasks apart, made of numbers, .* raised \w+: .*lambda"):
        family_by_protocol("line", type("Listed", (ByOption,), {"tasks": tasks}), horizon=5)


def test_the_keys_of_a_task_may_be_of_several_kinds():
    tasks = ({"goal": 0.1, 2: 3}, {2: 3, "goal": 0.2}, {2: 3, "goal": 0.1})
    family = family_by_protocol("line", type("Listed", (ByOption,), {"tasks": tasks}), horizon=5)
    assert family.tasks.params["task"].num_values == 2


def test_an_environment_that_leaves_is_named_with_its_line():
    class Leaving(Learn2Learn):
        def sample_tasks(self, num_tasks):
            sys.exit(0)

    with pytest.raises(InputError, match=r"asking an environment for its tasks raised SystemExit: 0 \(tests/.*:\d+\)"):
        family_by_protocol("line", Leaving, horizon=5)


def test_an_environment_that_raises_is_named_with_its_line():
    class Broken(Learn2Learn):
        def sample_tasks(self, num_tasks):
            raise OSError("no map")

    with pytest.raises(
        InputError, match=r"asking an environment for its tasks raised OSError: no map \(tests/.*:\d+\)"
    ):
        family_by_protocol("line", Broken, horizon=5)
