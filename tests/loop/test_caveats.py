"""Warnings about a meta-iteration: each for what it names, and none for what is as it should be."""

from dataclasses import replace

import pytest
import torch

from drml.algos.registry import LEARNERS
from drml.envs.api import EnvOptions
from drml.loop.caveats import caveats
from drml.loop.config import TrainConfig
from drml.loop.rows import warnings_of
from drml.loop.train import meta_train
from drml.loop.trainer import init_progress
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.run.config import RunConfig
from drml.run.session import make_trainer
from drml.run.setup import set_up

SIZE = TrainConfig(meta_iters=1, num_tasks=2, copies=3, validation_tasks=1)
POLICIES = {"maml": MLPConfig((4,)), "promp": MLPConfig((4,)), "rl2": MemoryConfig("gru", 4)}


def trained(learner, pays, family="bandit-bernoulli-k5-n10-v1"):
    """Return the first rows of a training in which `pays` maps each reward to what is paid instead."""
    setup = set_up(RunConfig(family, learner, LEARNERS[learner].default, POLICIES[learner], SIZE))
    trainer = make_trainer(setup, EnvOptions(), lambda: False)
    env = trainer.collect.env

    class Paid:
        def reset(self, *args):
            return env.reset(*args)

        def step(self, action):
            step = env.step(action)
            return replace(step, reward=pays(step.reward))

    rows = []
    paid = replace(trainer, collect=replace(trainer.collect, env=Paid()))
    start = init_progress(paid)
    progress, _ = meta_train(paid, start, [lambda _, new: rows.extend(new)])
    return rows, start.state, progress.state


@pytest.mark.parametrize("learner", POLICIES)
@pytest.mark.parametrize("unit", [1.0, 1e-2, 1e2])
def test_of_rewards_as_they_should_be_nothing_is_said(learner, unit):
    assert warnings_of(trained(learner, lambda reward: unit * reward)[0]) == {}


@pytest.mark.parametrize("learner", POLICIES)
def test_nothing_to_learn(learner):
    rows, before, after = trained(learner, lambda reward: torch.full_like(reward, 0.7))
    warnings = warnings_of(rows)
    assert list(warnings) == ["nothing-to-learn"] and "all actions earned the same" in warnings["nothing-to-learn"]
    assert all(torch.equal(before.shared[name], value) for name, value in after.shared.items())


@pytest.mark.parametrize("learner", POLICIES)
@pytest.mark.parametrize(("unit", "said"), [(1e-12, "1.0e-12"), (1e12, "1.0e+12")])
def test_rewards_beyond_the_range_are_learned_from_and_named(learner, unit, said):
    rows, before, after = trained(learner, lambda reward: unit * reward)
    assert said in warnings_of(rows)["reward-range"]
    assert any(not torch.equal(before.shared[name], value) for name, value in after.shared.items())
    assert all(bool(value.isfinite().all()) for value in after.shared.values())


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_what_a_memory_cannot_take_in_is_named_for_a_memory_alone(unit):
    assert list(warnings_of(trained("rl2", lambda reward: unit * reward)[0])) == ["memory-input"]
    assert warnings_of(trained("promp", lambda reward: unit * reward)[0]) == {}


def test_trials_that_are_not_sound_are_named_before_what_follows_from_it():
    rollout = _Rewarded(torch.ones(1, 2, 3))
    metrics = {"sound_trials": 0.0, "tasks_without_difference": 1.0}
    assert [w["name"] for w in caveats([rollout], metrics)] == ["unsound-trials"]
    assert caveats([], metrics) == []
    assert caveats([_Rewarded(torch.ones(0, 2, 3))], {}) == []


class _Rewarded:
    """As much of a rollout as is looked at."""

    def __init__(self, reward):
        self.reward, self.first_carry = reward, {}
