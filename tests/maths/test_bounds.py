"""No bound of the standard deviation absorbs: what was driven to it, or beyond it, comes back when that pays."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from numeric import ACTION_SIZE, OBS_SIZE, SPEC, random_params, random_rollout

from drml.algos.api import LearnerState
from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.core.rng import Streams
from drml.core.tree import held_within, params_map, stack_shared
from drml.core.types import Advantages, MetaEpisode
from drml.learning.adapt import INNER_LOSSES, GradientAdaptation, InnerConfig
from drml.learning.optim.first_order import adam_init, adam_step
from drml.policies.mlp import MAX_LOG_STD, GaussianMLP

of = partial(MetaEpisode, (), ())  # of no tasks and agents: the history is all that these learners look at
RNG = Streams(0)


POLICY = GaussianMLP(OBS_SIZE, ACTION_SIZE, hidden=(2,), init_std=1.0, min_std=0.5)
LOW, HIGH = POLICY.bounds["log_std"]
NUM_TASKS = 3


def history(params, pays, seed, num_steps=1):
    """Rollouts in which actions far from the mean (pays > 0), or near it (pays < 0), earn more."""
    params = held_within(params, POLICY.bounds)
    rollouts = []
    for j in range(num_steps + 1):
        rollout = random_rollout(random_params(), NUM_TASKS, seed=10 * seed + j)
        acting = POLICY.unroll(params, rollout)
        noise = torch.randn(rollout.action.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        action = acting.sample(noise)
        acting = type(acting)(acting.mean, acting.log_std.expand_as(acting.mean))
        reward = pays * noise.square().sum(-1)
        rollouts.append(replace(rollout, action=action, acting=acting, log_prob=acting.log_prob(action), reward=reward))
    return rollouts


def episode(params, pays):
    """One rollout and its advantages."""
    rollout = history(params_map(torch.detach, params), pays, seed=1, num_steps=0)[0]
    weight = torch.full_like(rollout.reward, 1.0 / rollout.reward[0].numel())
    return rollout, Advantages(rollout.reward - rollout.reward.mean((1, 2), keepdim=True), weight)


def learners():
    inner = InnerConfig(lr=0.05, num_steps=1)
    yield MAML(SPEC, POLICY, MAMLConfig(inner, order=2, curvature_episodes=0))
    yield MAML(SPEC, POLICY, MAMLConfig(inner, order=1, curvature_episodes=0))
    yield ProMP(SPEC, POLICY, ProMPConfig(inner, meta_lr=0.01))


@pytest.mark.parametrize("beyond", [0.0, 3.0])
@pytest.mark.parametrize(("bound", "inwards"), [(LOW, 1.0), (HIGH, -1.0)])
def test_learners_come_back_from_a_bound(bound, inwards, beyond):
    for learner in learners():
        params = random_params() | {"log_std": torch.full((ACTION_SIZE,), bound - inwards * beyond).double()}
        state = LearnerState(params, adam_init(params).tree())
        for i in range(5):
            state, _ = learner.update(state, of(history(state.shared, inwards, seed=i)), RNG)
            assert bool(((state.shared["log_std"] >= LOW) & (state.shared["log_std"] <= HIGH)).all())
        assert bool((inwards * (state.shared["log_std"] - bound) > 1e-3).all())


@pytest.mark.parametrize(("bound", "outwards"), [(LOW, -1.0), (HIGH, 1.0)])
def test_learners_stop_at_a_bound(bound, outwards):
    for learner in learners():
        params = random_params() | {"log_std": torch.full((ACTION_SIZE,), bound - 1e-3 * outwards).double()}
        state = LearnerState(params, adam_init(params).tree())
        for i in range(5):
            state, _ = learner.update(state, of(history(state.shared, outwards, seed=i)), RNG)
            assert bool((outwards * (state.shared["log_std"] - bound) <= 0.0).all())
        assert state.shared["log_std"].tolist() == pytest.approx([bound] * ACTION_SIZE, abs=1e-2)  # a step of any size


@pytest.mark.parametrize("inner_loss", INNER_LOSSES)
def test_inner_steps_come_back_too_and_the_derivative_passes_through_the_bound(inner_loss):
    adaptation = GradientAdaptation(POLICY, INNER_LOSSES[inner_loss], InnerConfig(lr=5.0, later_lr=0.1), order=2)
    params = random_params() | {"log_std": torch.full((ACTION_SIZE,), LOW + 0.01).double()}
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    at_bound = adaptation.step(stack_shared(leaves, NUM_TASKS), *episode(leaves, pays=-1.0), 0)
    assert at_bound["log_std"].unique().tolist() == [LOW]
    slope = torch.autograd.grad(at_bound["log_std"].sum(), leaves["log_std"], retain_graph=True)[0]
    assert bool((slope != 0.0).all())
    back = adaptation.step(at_bound, *episode(at_bound, pays=1.0), 1)
    assert bool((back["log_std"] > LOW + 1e-3).all())


def test_ten_thousand_adversarial_steps_leave_a_standard_deviation_above_zero():
    """Step size 10, gradients of up to 1e8 of either sign: C2 of the standards, by construction."""
    policy = GaussianMLP(OBS_SIZE, ACTION_SIZE, hidden=(2,))
    params = {"log_std": torch.zeros(ACTION_SIZE)}
    adam, rng = adam_init(params), torch.Generator().manual_seed(0)
    for _ in range(10_000):
        scale = 10.0 ** torch.randint(-8, 9, (), generator=rng)
        grads = {"log_std": scale * torch.randn(ACTION_SIZE, generator=rng)}
        params, adam = adam_step(params, grads, adam, lr=10.0)
        params = held_within(params, policy.bounds)
        std = params["log_std"].exp()
        assert bool((std >= 0.99e-6).all()) and bool((std <= 1.01 * math.exp(MAX_LOG_STD)).all())


def test_within_bounds_parameters_keep_their_bits_and_others_are_untouched():
    params = {"log_std": torch.tensor([-20.0, 0.1, 9.0]), "weight": torch.tensor([1e9])}
    held = held_within(params, {"log_std": (-1.0, 5.0)})
    assert held["log_std"].tolist() == [-1.0, params["log_std"][1].item(), 5.0] and held["weight"] is params["weight"]
    free = {name: value.requires_grad_() for name, value in params.items()}
    held = held_within(free, {"log_std": (-1.0, 5.0)})
    assert held["log_std"].tolist() == [-1.0, params["log_std"][1].item(), 5.0]
    assert torch.autograd.grad(held["log_std"].sum(), params["log_std"])[0].tolist() == [1.0, 1.0, 1.0]
