"""Every learner at the ends of what a family can be: one arm, one step, one copy, one task, rewards of any size."""

from dataclasses import replace

import pytest
import torch

from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.algos.memory.rl2 import RL2, RL2Config
from drml.algos.registry import LEARNERS
from drml.collect.collector import Collector
from drml.core.errors import NumericError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import tree_leaves
from drml.core.types import Step
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.loop.train import meta_train
from drml.loop.trainer import Trainer, init_progress
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.suites.bandit import bandit_suite
from drml.suites.registry import suite
from drml.tasks.samplers.uniform import UniformSampler


def memory_learner(family, **changes):
    config = RL2Config(minibatches=2, **changes)
    policy = LEARNERS["rl2"].make_policy(family.spec, MemoryConfig("gru", 4), config)
    return RL2(family.spec, policy, config)


def gradient_learner(kind, config):
    return lambda family: kind(family.spec, mlp_policy(family.spec, MLPConfig((4,))), config())


MAKERS = {
    "maml": gradient_learner(MAML, MAMLConfig),
    "fomaml": gradient_learner(MAML, lambda: MAMLConfig(order=1)),
    "promp": gradient_learner(ProMP, ProMPConfig),
    "rl2": memory_learner,
    "rl2 of one episode": lambda family: memory_learner(family, episodes=1),  # nothing is ever remembered
}


def train(learner, family, num_tasks=2, copies=3, pays=None):
    """Return the state and the rows after three meta-iterations."""
    config = TrainConfig(meta_iters=3, num_tasks=num_tasks, copies=copies, validate_every=3, validation_tasks=1)
    env = family.make(EnvOptions())
    collect = Collector(env if pays is None else _Paid(env, pays), family.spec.horizon, copies, Phases())
    trainer = Trainer(learner, family.tasks, UniformSampler(), collect, config, Streams(0))
    rows = []
    progress, _ = meta_train(trainer, init_progress(trainer), [lambda _, new: rows.extend(new)])
    return progress.state, rows


class _Paid:
    """An environment that pays something else."""

    def __init__(self, env, pays):
        self.env, self.pays = env, pays

    def reset(self, *args):
        return self.env.reset(*args)

    def step(self, action) -> Step:
        step = self.env.step(action)
        return replace(step, reward=self.pays(step.reward))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("arms", "pulls", "num_tasks", "copies"),
    [(1, 5, 2, 3), (2, 1, 2, 3), (1, 1, 1, 1), (2, 5, 1, 1), (2, 5, 3, 1), (2, 1, 1, 1)],
    ids=["one arm", "one step", "one of everything", "one task and copy", "one copy", "one step, task and copy"],
)
def test_small_families(name, arms, pulls, num_tasks, copies):
    family = bandit_suite(arms, pulls)
    state, rows = train(MAKERS[name](family), family, num_tasks, copies)
    assert all(bool(value.isfinite().all()) for _, value in tree_leaves(state.tree()))
    numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert all(torch.tensor(numbers).isfinite())


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8, 1e30])
@pytest.mark.parametrize("family", ["bandit-bernoulli-k5-n10-v1", "probe-goal-flip-v1"])
def test_rewards_of_any_size(name, size, family):
    family = suite(family)
    state, _ = train(MAKERS[name](family), family, pays=lambda reward: size * reward)
    assert all(bool(value.isfinite().all()) for _, value in tree_leaves(state.tree()))


def test_a_step_size_that_overflows_an_optimiser_is_said_and_not_kept():
    family = suite("navigation-maml-v1")
    policy = mlp_policy(family.spec, MLPConfig((8,)))
    learner = ProMP(family.spec, policy, ProMPConfig(meta_lr=1e10))
    with pytest.raises(NumericError, match="not finite; lower the step sizes"):
        train(learner, family)
