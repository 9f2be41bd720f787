"""Rewards and flags in arrays of one entry are that entry, and what is not one number is named in one line."""

import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from counters import Counter, Tape
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.envs.foreign.answers import only
from drml.envs.foreign.family import GymFamily
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Uniform

TASKS = TaskDistribution({"task": Uniform(0.0, 1.0)})
ASKED = Tasks({"task": torch.tensor([0.25, 0.75], dtype=torch.float64)}, torch.arange(2))
B = 3


def played(make, num=7):
    """The rewards and ends of `num` steps, and the faults."""
    env = GymFamily("f", make, TASKS, horizon=50).open(EnvOptions())
    env.reset(ASKED, B, Streams(0))
    steps = [env.step(torch.ones((2, B), dtype=torch.int64)) for _ in range(num)]
    numbers = [torch.stack([getattr(step, name) for step in steps]) for name in ("reward", "terminated", "truncated")]
    return numbers, env.take_faults()


def counter(reward=lambda x: x, flag=lambda x: x, **others):
    class Told(Counter):
        def step(self, action):
            obs, paid, terminated, truncated, info = super().step(action)
            return obs, reward(paid), flag(terminated), flag(truncated), info

    return Told


IN_AN_ARRAY = [
    lambda x: np.array([x]),
    lambda x: np.array([[x]]),
    np.array,
    lambda x: [x],
    lambda x: (x,),
    lambda x: np.array([x], dtype=object),
]


@pytest.mark.parametrize("form", IN_AN_ARRAY)
def test_one_entry_is_that_entry(form):
    plain, faults = played(Counter)
    for make in (counter(form), counter(flag=form), counter(form, form)):
        told, more = played(make)
        assert all(map(torch.equal, plain, told)) and not faults and not more


@pytest.mark.parametrize(
    ("form", "seen"),
    [
        (lambda x: np.array([x, x]), r"reward has shape \[2\]"),
        (lambda x: np.zeros((3, 1)), r"reward has shape \[3, 1\]"),
        (lambda x: np.array([]), r"reward has shape \[0\]"),
        (lambda x: {"reward": x}, "reward is a dict"),
        (lambda x: 1j, "reward is a complex"),
        (lambda x: np.array(["good"]), "reward is a str_"),
    ],
)
def test_what_is_not_one_number_is_named_with_its_line(form, seen):
    _, faults = played(counter(form), 1)
    assert len(faults) == 2
    for fault in faults:
        assert fault.moment == "step" and fault.kind == "raised" and fault.copy == 0
        assert re.fullmatch(rf"ValueError: {seen}, expected one number \(tests/envs/.*py:\d+\)", fault.message)


@pytest.mark.parametrize(
    ("form", "seen"),
    [(lambda x: np.array([x, x]), "has shape [2]"), (lambda x: [x, x], "has shape [2]"), (str, "is a str")],
)
def test_a_flag_that_is_not_one_is_named(form, seen):
    _, faults = played(counter(flag=form), 1)
    assert f"terminated {seen}, expected one number (tests/" in faults[0].message


@pytest.mark.parametrize("answer", [(np.zeros(4), 1.0, False, {}), [1, 2], np.zeros(4), (np.zeros(4),) * 6])
def test_another_number_of_values_is_named(answer):
    class Odd(Counter):
        def step(self, action):
            return answer

    _, faults = played(Odd, 1)
    got = f"{len(answer)} values" if isinstance(answer, tuple | list) else "a ndarray"
    assert (
        f"step returned {got}, expected five: observation, reward, terminated, truncated, info (" in faults[0].message
    )


def test_what_the_environment_raises_itself_stays_its_own():
    class Raises(Counter):
        def step(self, action):
            raise ValueError("too fast")

    _, faults = played(Raises, 1)
    assert faults[0].message.startswith("ValueError: too fast (tests/")


class Columns(Tape):
    """Says everything in the form that it is given."""

    form = staticmethod(lambda x: x)

    def __init__(self, num_envs, task):
        super().__init__(num_envs, task, AutoresetMode.DISABLED)
        self.action_space = batch_space(gym.spaces.Discrete(3, start=5), num_envs)

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, self.form(reward), self.form(terminated), self.form(truncated), info


def columns(form):
    kind = type("Odd", (Columns,), {"form": staticmethod(form)})
    return lambda task, num_envs: kind(num_envs, task)


def test_a_vector_environments_columns_are_rows():
    plain, _ = played(columns(lambda x: x), 2)
    for form in (lambda x: x[:, None], lambda x: x[None], list):
        told, faults = played(columns(form), 2)
        assert all(map(torch.equal, plain, told)) and not faults


@pytest.mark.parametrize(
    ("form", "shape"),
    [(lambda x: x[:1], r"\[1\]"), (lambda x: x[0], r"\[\]"), (lambda x: np.stack([x, x]), r"\[2, 3\]")],
)
def test_a_vector_environments_answer_for_one_copy_is_not_spread_over_all(form, shape):
    _, faults = played(columns(form), 1)
    assert re.search(rf"reward has shape {shape}, expected \[3\] \(tests/", faults[0].message)


def test_only_leaves_everything_else_as_it_is():
    for value in (1.0, True, None, "a", np.float32(2.0), {"a": 1}):
        assert only(value) is value
    several = np.zeros(2)
    assert only(several) is several
