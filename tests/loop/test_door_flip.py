"""Door-flip with real learners: what one adaptation step earns from an untrained prior, and from a good one."""

import math

import pytest
import torch

from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.learning.adapt import InnerConfig
from drml.loop.config import TrainConfig
from drml.loop.meet import meta_episode
from drml.loop.train import meta_train
from drml.loop.trainer import Trainer, init_progress
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.suites.probe import DOOR_FLIP, HORIZON
from drml.tasks.samplers.stratified import StratifiedSampler

SUITE = DOOR_FLIP.suite
COPIES, ROUNDS = 20, 10  # rounds of each of the two tasks
SEEDS = range(20)
LEARNERS = {"maml": (MAML, MAMLConfig), "promp": (ProMP, ProMPConfig)}
NETWORKS = (MLPConfig(), MLPConfig((100, 100), "relu"), MLPConfig((8,)))


def make(name, network, lr, **config):
    learner, config_of = LEARNERS[name]
    return learner(SUITE.spec, mlp_policy(SUITE.spec, network), config_of(inner=InnerConfig(lr=lr), **config))


def collector():
    return Collector(SUITE.make(EnvOptions()), HORIZON, COPIES, Phases())


def returns(learner, shared, seed):
    """Return the mean return over both tasks, before and after one step."""
    tasks = SUITE.tasks.all_tasks().repeated(ROUNDS)
    played = meta_episode(learner, shared, tasks, collector(), Streams(seed)["test"], 1)
    return [float(rollout.reward.sum(1).mean()) for rollout in played.history]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda config: f"{config.activation}{config.hidden}")
@pytest.mark.parametrize("lr", [0.1, 0.5])
@pytest.mark.parametrize("name", LEARNERS)
def test_one_step_from_an_untrained_prior_fails(name, lr, network):
    """The door unseen, both tasks give the same data, and H is the bound; in truth the step stops far from the door."""
    learner = make(name, network, lr)
    for seed in SEEDS:
        pre, post = returns(learner, learner.init(Streams(seed)["init"]).shared, seed)
        # H E clip(d/D, ±1) <= H m/D = 10 x 2/6 with |m| < 2; the rest is sampling
        assert abs(pre) < 4.0
        assert post < DOOR_FLIP.best_unadapted_return - 2.0


@pytest.mark.parametrize("network", NETWORKS, ids=lambda config: f"{config.activation}{config.hidden}")
@pytest.mark.parametrize("name", LEARNERS)
def test_one_step_from_the_best_prior_wins(name, network):
    """A constant policy: d about 8 and a about 0, with standard deviation 0.1, so that the door is always open."""
    learner = make(name, network, lr=0.5)
    last = f"layer{len(network.hidden)}"
    for seed in SEEDS:
        params = learner.init(Streams(seed)["init"]).shared
        params |= {f"{last}.weight": torch.zeros_like(params[f"{last}.weight"])}
        params |= {f"{last}.bias": torch.tensor([0.0, 8.0]), "log_std": torch.full((2,), math.log(0.1))}
        pre, post = returns(learner, params, seed)
        # 400 episodes of ten actions with standard deviation 0.1: five standard deviations of their mean
        assert pre == pytest.approx(
            DOOR_FLIP.best_unadapted_return, abs=5.0 * 0.1 * (HORIZON / (2 * ROUNDS * COPIES)) ** 0.5
        )
        assert post > 0.9 * DOOR_FLIP.best_return


@pytest.mark.parametrize("seed", range(3))
def test_meta_training_finds_the_best_prior(seed):
    config = TrainConfig(meta_iters=50, num_tasks=4, copies=COPIES, validate_every=50, validation_tasks=2)
    learner = make("promp", MLPConfig(), lr=0.1, meta_lr=3e-3)
    trainer = Trainer(learner, SUITE.tasks, StratifiedSampler(), collector(), config, Streams(seed))
    progress, _ = meta_train(trainer, init_progress(trainer), [])
    pre, post = returns(learner, progress.state.shared, seed)
    assert pre == pytest.approx(DOOR_FLIP.best_unadapted_return, abs=1.0)
    assert post > 0.95 * DOOR_FLIP.best_return
