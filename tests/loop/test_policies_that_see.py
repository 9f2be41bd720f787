"""Whole meta-iterations on pictures: every learner sees, adapts and updates, and a rollout holds bytes."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from drml.algos.registry import LEARNERS
from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.envs.foreign.family import GymFamily
from drml.policies.encoders.registry import EncoderConfig
from drml.policies.mlp import MLPConfig
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice
from drml.tasks.samplers.uniform import UniformSampler

from . import playing
from .playing import COPIES, STEPS, TASKS

SIZES = {"picture": (20, 20, 3), "grid": (5, 5)}


class Lights(gym.Env):
    """Shows a picture, or a grid of symbols, beside two numbers; the light that is on is to be named."""

    action_space = gym.spaces.Discrete(3)

    def __init__(self, shift=0, kind="picture"):
        self.shift, self.kind = int(shift), kind
        view = gym.spaces.Box(0, 255 if kind == "picture" else 4, SIZES[kind], np.uint8)
        self.observation_space = gym.spaces.Dict({"state": gym.spaces.Box(-9.0, 9.0, (2,)), "view": view})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._seen(), {}

    def _seen(self):
        self.light = int(self.np_random.integers(3))
        view = np.zeros(SIZES[self.kind], np.uint8)
        view[self.light * 2 : self.light * 2 + 2] = 200 if self.kind == "picture" else 1 + self.light
        return {"state": np.array([self.time, -0.5], np.float32), "view": view}

    def step(self, action):
        reward = float((action + self.shift) % 3 == self.light)
        self.time += 1
        return self._seen(), reward, self.time == 4, False, {}


def suite_of(kind):
    tasks = TaskDistribution({"shift": Choice((0, 1, 2))}, held_out=False)
    return GymFamily(f"lights-{kind}", lambda shift: Lights(shift, kind), tasks, STEPS).suite()


def played(learner, kind, encoder):
    family = suite_of(kind)
    return *playing.played(learner, family, encoder=EncoderConfig(encoder, 8, 4)), family


@pytest.mark.parametrize(
    ("kind", "encoder"), [("picture", "auto"), ("picture", "residual"), ("grid", "auto"), ("picture", "flat")]
)
@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_learns_from_pictures(learner, kind, encoder):
    before, after, history, family = played(learner, kind, encoder)
    assert all(rollout.obs.dtype == torch.uint8 for rollout in history)
    assert all(bool(value.isfinite().all()) for value in after.shared.values())
    moved = {name for name, value in after.shared.items() if not torch.equal(value, before.shared[name])}
    seeing = {name for name in before.shared if name.startswith("encoder.") and name.endswith("weight")}
    assert bool(seeing) == (encoder != "flat")
    assert seeing <= moved
    assert family.spec.parts


def test_a_rollout_of_pictures_takes_the_bytes_that_they_have():
    _, _, history, family = played("maml", "picture", "auto")
    rollout = history[0]
    assert family.spec.obs_size == 2 * 4 + 20 * 20 * 3
    pixels = TASKS * STEPS * COPIES * family.spec.obs_size
    assert rollout.obs.untyped_storage().nbytes() == pixels
    assert rollout.final.rows.untyped_storage().nbytes() == (1 + int(rollout.ended.sum())) * family.spec.obs_size
    there = rollout.final_obs[rollout.ended]
    times = there[:, :4].contiguous().view(torch.float32)[:, 0]  # the first number of the Dict
    assert set(times.tolist()) == {4.0, 2.0}  # the end of the episode, and of looking
    assert not rollout.final_obs[~rollout.ended].any()


def test_a_number_beside_a_picture_that_is_not_finite_is_a_fault():
    class Broken(Lights):
        def _seen(self):
            seen = super()._seen()
            return seen | {"state": seen["state"] / np.float32(self.time != 2 or self.shift != 1)}

    tasks = TaskDistribution({"shift": Choice((0, 1))}, held_out=False)
    family = GymFamily("broken", Broken, tasks, STEPS).suite()
    entry = LEARNERS["maml"]
    policy = entry.make_policy(family.spec, MLPConfig((4,), encoder=EncoderConfig("auto", 4)), entry.default)
    asked = UniformSampler().sample({}, family.tasks, "train", 4, Streams(1))
    learner = entry.make(family.spec, policy, entry.default)
    agent = learner.prior(learner.init(Streams(0)).shared, asked, 1, Streams(0))
    with np.errstate(divide="ignore"):
        rollout, faults = Collector(family.make(EnvOptions()), STEPS, 1, Phases()).with_faults(
            policy, agent, asked, Streams(0)
        )
    broken = asked.params["shift"].flatten() == 1
    assert 0 < int(broken.sum()) < 4
    assert torch.equal(~rollout.valid.all(1).flatten(), broken)
    assert {fault.kind for fault in faults} == {"not finite"}
