"""Whole meta-iterations on products of choices and on hybrid actions: every learner acts, adapts and updates."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from drml.algos.registry import LEARNERS
from drml.envs.foreign.family import GymFamily
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice

from .playing import STEPS, played

SPACES = {
    "switches": gym.spaces.MultiBinary(12),  # 4,096 combinations
    "hybrid": gym.spaces.Dict(
        move=gym.spaces.Tuple((gym.spaces.Discrete(3, start=-1), gym.spaces.Box(-1.0, 1.0, (2,)))),
        say=gym.spaces.MultiDiscrete([2, 5]),
    ),
}


class Asked(gym.Env):
    """Pays for each entry of the action that lies near a number of its own."""

    observation_space = gym.spaces.Box(-9.0, 9.0, (2,))

    def __init__(self, kind, wanted):
        self.action_space, self.wanted = SPACES[kind], wanted

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        entries = gym.spaces.flatten(self.action_space, action)
        self.time += 1
        seen = np.array([self.time, entries[0]], np.float32)
        return seen, float(-np.abs(entries - self.wanted).mean()), self.time == 4, False, {}


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_acts_adapts_and_updates(name, kind):
    tasks = TaskDistribution({"wanted": Choice((0, 1, 2))}, held_out=False)
    family = GymFamily(kind, lambda wanted: Asked(kind, wanted), tasks, STEPS).suite()
    before, after, history = played(name, family)
    assert all(rollout.action.shape[3:] == family.spec.action.shape for rollout in history)
    assert all(bool(value.isfinite().all()) for value in after.shared.values())
    if name != "es_maml":  # which keeps the old one where none that it tried was better
        assert any(not torch.equal(value, before.shared[key]) for key, value in after.shared.items())
