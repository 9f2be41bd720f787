"""Environments of the old `gym`, which is not installed here: a stand-in with its classes and its two interfaces."""

import sys
from types import ModuleType

import gymnasium
import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.envs.foreign.legacy import modern
from drml.envs.foreign.protocols import family_by_protocol

SPACES = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Tuple", "Dict", "Sequence", "Graph", "Text")


@pytest.fixture
def gym(monkeypatch):
    """The old package's modules, as far as Shimmy looks at them."""
    pytest.importorskip("shimmy")
    package, spaces, wrappers = ModuleType("gym"), ModuleType("gym.spaces"), ModuleType("gym.wrappers")
    for name in SPACES:
        setattr(spaces, name, getattr(gymnasium.spaces, name))
    package.Env = type("Env", (), {"__module__": "gym.core", "metadata": {}, "render_mode": None, "spec": None})
    package.Space, package.spaces, package.wrappers = gymnasium.Space, spaces, wrappers
    for name, module in {"gym": package, "gym.spaces": spaces, "gym.wrappers": wrappers}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "shimmy.openai_gym_compatibility", raising=False)
    yield package
    sys.modules.pop("shimmy.openai_gym_compatibility", None)


def old_env(gym, with_seed_in_reset):  # noqa: C901 — two small classes
    class Old(gym.Env):
        """Shows (goal, noise of the seed, t); ends after 3 steps, by its time limit if the goal is above 0."""

        observation_space = gym.spaces.Box(-10.0, 1e9, (3,), np.float64)
        action_space = gym.spaces.Discrete(2)
        goal = 0.0

        def seed(self, seed=None):
            self.random = np.random.default_rng(seed)

        def sample_tasks(self, num_tasks):
            return [{"goal": goal} for goal in self.random.uniform(-1.0, 1.0, num_tasks)]

        def set_task(self, task):
            self.goal = task["goal"]

        def start(self):
            self.t, self.noise = 0, float(self.random.integers(1000))
            return self.see()

        def see(self):
            return np.array([self.goal, self.noise, self.t])

        def close(self):
            pass

    class V21(Old):
        def reset(self):
            return self.start()

        def step(self, action):
            self.t += 1
            cut = self.t == 3 and self.goal > 0.0
            return self.see(), 1.0, self.t == 3, {"TimeLimit.truncated": True} if cut else {}

    class V26(Old):
        def reset(self, *, seed=None, options=None):
            if seed is not None:
                self.seed(seed)
            return self.start(), {}

        def step(self, action):
            self.t += 1
            return self.see(), 1.0, self.t == 3 and self.goal <= 0.0, self.t == 3 and self.goal > 0.0, {}

    return V26 if with_seed_in_reset else V21


def old_api_on_026(gym):  # noqa: C901 — two small classes
    """As on gym 0.26: the base class has a generator and no seed(), reset returns one value, and step four."""

    class Env(gym.Env):
        @property
        def np_random(self):
            if getattr(self, "_np_random", None) is None:
                self._np_random = np.random.default_rng()
            return self._np_random

        @np_random.setter
        def np_random(self, value):
            self._np_random = value

    class Unseeded(Env):
        observation_space = gym.spaces.Box(-10.0, 1e9, (3,), np.float64)
        action_space = gym.spaces.Discrete(2)
        goal = 0.0

        def sample_tasks(self, num_tasks):
            return [{"goal": goal} for goal in self.np_random.uniform(-1.0, 1.0, num_tasks)]

        def set_task(self, task):
            self.goal = task["goal"]

        def reset(self):
            self.t, self.noise = 0, float(self.np_random.integers(1000))
            return self.see()

        def see(self):
            return np.array([self.goal, self.noise, self.t])

        def step(self, action):
            self.t += 1
            cut = self.t == 3 and self.goal > 0.0
            return self.see(), 1.0, self.t == 3, {"TimeLimit.truncated": True} if cut else {}

        def close(self):
            pass

    return Unseeded


class Passes:
    """As gym's wrappers: what they take says nothing of what they wrap."""

    def __init__(self, env):
        self.env, self.unwrapped = env, env

    def __getattr__(self, name):
        return getattr(self.env, name)

    def reset(self, **kwargs):
        return self.env.reset(**kwargs)


def rollout(kind):
    family = family_by_protocol("old", kind, horizon=10)
    env = family.open(EnvOptions())
    asked = Tasks({"task": torch.arange(6, dtype=torch.float64)}, torch.arange(6))
    first = env.reset(asked, 2, Streams(0))
    return first, [env.step(torch.zeros((6, 2), dtype=torch.int64)) for _ in range(7)]


def test_both_interfaces_of_the_old_package_give_the_same_data(gym):
    first, steps = rollout(old_env(gym, with_seed_in_reset=False))
    again, others = rollout(old_env(gym, with_seed_in_reset=True))
    assert torch.equal(first, again) and first[..., 1].unique().numel() > 10, "each copy has a seed of its own"
    for step, other in zip(steps, others, strict=True):
        for name in ("obs", "reward", "terminated", "truncated", "final_obs"):
            assert torch.equal(getattr(step, name), getattr(other, name)), name


def test_a_base_class_without_seed_is_seeded_as_gym_026_does(gym):
    first, steps = rollout(old_env(gym, with_seed_in_reset=False))
    again, others = rollout(old_api_on_026(gym))
    assert torch.equal(first, again), "tasks and episodes are drawn from the same seeds"
    for step, other in zip(steps, others, strict=True):
        for name in ("obs", "reward", "terminated", "truncated", "final_obs"):
            assert torch.equal(getattr(step, name), getattr(other, name)), name


def test_a_wrapper_that_passes_everything_on_changes_nothing(gym):
    for kind in (old_env(gym, True), old_env(gym, False), old_api_on_026(gym)):
        first, steps = rollout(kind)
        wrapper = type("Wrapper", (Passes, gym.Env), {})
        wrapped, others = rollout(lambda wrapper=wrapper, kind=kind: wrapper(kind()))
        assert torch.equal(first, wrapped)
        assert torch.equal(steps[2].truncated, others[2].truncated)


def test_a_pair_that_is_an_observation_is_no_observation_with_info(gym):
    class Paired(gym.Env):
        observation_space = gymnasium.spaces.Tuple(
            (gymnasium.spaces.Discrete(2), gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)}))
        )
        action_space = gym.spaces.Discrete(2)

        def reset(self):
            return 1, {"a": 0}

    assert modern(Paired()).reset(seed=3) == ((1, {"a": 0}), {})


def test_a_time_limit_is_told_from_an_end(gym):
    first, steps = rollout(old_env(gym, with_seed_in_reset=False))
    positive = first[..., 0] > 0.0
    assert positive.any() and not positive.all()
    assert torch.equal(steps[2].truncated, positive) and torch.equal(steps[2].terminated, ~positive)


def test_without_shimmy_the_extra_is_named(gym, monkeypatch):
    env = old_env(gym, with_seed_in_reset=False)()
    monkeypatch.setitem(sys.modules, "shimmy.openai_gym_compatibility", None)
    with pytest.raises(InputError, match=r'pip install "drml\[shimmy\]"'):
        modern(env)
