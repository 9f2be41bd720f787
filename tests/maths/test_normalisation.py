"""What is normalised is what was earned: in any unit, and nothing where no action made a difference."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from numeric import POLICY, SPEC, random_history, random_params, random_rollout

from drml.algos.api import LearnerState
from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.core.rng import Streams
from drml.core.tree import flatten, params_map
from drml.core.types import EnvSpec, MetaEpisode
from drml.learning.adapt import InnerConfig
from drml.learning.advantages import estimate_advantages
from drml.learning.linear_baseline import LinearFeatureBaseline
from drml.learning.optim.first_order import adam_init

of = partial(MetaEpisode, (), ())  # of no tasks and agents: the history is all that these learners look at
RNG = Streams(0)


NUM_TASKS = 2


def whole_episodes(steps, copies=20, num_tasks=NUM_TASKS):
    """A float32 rollout in which every episode reaches the horizon."""
    template = random_rollout(random_params(), num_tasks, seed=3)
    index = torch.arange(copies) % template.reward.shape[2]
    rollout = template.map(lambda x: x[:, torch.arange(steps) % x.shape[1]][:, :, index if x.shape[2] > 1 else [0]])
    rollout = rollout.map(lambda x: x.float() if x.is_floating_point() else x)
    noise = torch.randn(rollout.obs.shape, generator=torch.Generator().manual_seed(4))
    last = torch.arange(steps) == steps - 1
    flags = torch.zeros_like(rollout.valid)
    return replace(
        rollout,
        obs=rollout.obs + noise,
        terminated=flags,
        truncated=flags | last.view(1, -1, 1),
        elapsed=torch.arange(steps).view(1, -1, 1).expand(flags.shape).contiguous(),
    )


def with_reward(rollout, reward):
    return replace(rollout, reward=torch.broadcast_to(torch.as_tensor(reward), rollout.reward.shape).clone())


def advantages(rollout, gamma=1.0, horizon=None):
    horizon = rollout.reward.shape[1] if horizon is None else horizon
    return estimate_advantages(rollout, LinearFeatureBaseline(horizon, gamma), 1.0).advantage


NOISE = torch.randn((NUM_TASKS, 10, 20), generator=torch.Generator().manual_seed(8))
NO_DIFFERENCE = {
    "constant": torch.ones(()),
    "zero": torch.zeros(()),
    "a function of the time": torch.arange(10.0).sin().view(1, -1, 1),
    "only at the end": (torch.arange(10) == 9).float().view(1, -1, 1),
    "of one task each": torch.tensor([0.1, 3.0]).view(-1, 1, 1),
    "one but for rounding": (1.0 - NOISE.sin().square()) + NOISE.sin().square(),
}


@pytest.mark.parametrize("gamma", [1.0, 0.99, 0.5])
@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("name", NO_DIFFERENCE)
def test_where_no_action_made_a_difference_advantages_are_zero(name, unit, gamma):
    rollout = with_reward(whole_episodes(10), unit * NO_DIFFERENCE[name])
    assert not advantages(rollout, gamma).any()


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e-4, 1e4, 1e9, 1e30])
def test_advantages_do_not_depend_on_the_unit_of_the_rewards(unit):
    rollout = whole_episodes(10)
    expected = advantages(rollout, 0.9)
    assert bool((expected.square().mean((1, 2)) - 1.0).abs().max() < 1e-5)
    found = advantages(with_reward(rollout, unit * rollout.reward), 0.9)
    # scaled rewards are rounded once more, by 2^-24 each; advantages are sums of ten such numbers of size 1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_difference_of_a_ten_thousandth_is_one():
    rollout = with_reward(whole_episodes(10), 10.0)
    rollout.reward[0, 4, 7] += 1e-3
    found = advantages(rollout)
    assert float(found[0].square().mean()) == pytest.approx(1.0, abs=1e-5) and not found[1].any()


class TestOneEpisodeAlone:
    """There is no other to compare it with, so it is compared with itself."""

    def test_of_constant_reward_teaches_nothing(self):
        for gamma in (1.0, 0.9):
            assert not advantages(with_reward(whole_episodes(10, copies=1), 0.3), gamma).any()

    def test_of_any_other_is_learned_from(self):
        rollout = whole_episodes(30, copies=1)
        found = advantages(with_reward(rollout, NOISE.view(1, -1, 1)[:, :30]), 0.9)
        torch.testing.assert_close(found.square().mean((1, 2)), torch.ones(NUM_TASKS))

    def test_of_one_step_teaches_nothing(self):
        assert not advantages(whole_episodes(1, copies=1)).any()


def test_episodes_of_one_step_are_compared_with_each_other():
    rollout = with_reward(whole_episodes(1), NOISE[:, :1])
    assert bool(advantages(rollout).any((1, 2)).all())
    assert not advantages(with_reward(rollout, 1.0)).any()


def test_constant_rewards_of_episodes_that_end_at_different_times_are_a_difference():
    rollout = with_reward(random_rollout(random_params(), NUM_TASKS, seed=1), 1.0)  # some terminate, some are cut
    assert bool(advantages(rollout, 1.0, SPEC.horizon).any((1, 2)).all())


def test_what_episodes_that_were_cut_have_earned_is_compared_too():
    rollout = with_reward(whole_episodes(10), 1.0)
    rollout.reward[0, 2, 5] = 2.0
    found = advantages(rollout, horizon=20)  # a rollout shorter than an episode: none is complete
    assert bool(found[0].any()) and not found[1].any()


def float32(history):
    return [rollout.map(lambda x: x.float() if x.is_floating_point() else x) for rollout in history]


def learners(horizon):
    spec = EnvSpec(SPEC.obs_size, SPEC.action, horizon)
    for order in (1, 2):
        yield MAML(spec, POLICY, MAMLConfig(InnerConfig(gamma=1.0), order=order))
    yield ProMP(spec, POLICY, ProMPConfig(InnerConfig(gamma=1.0)))


def test_of_constant_rewards_no_learner_takes_a_step():
    params = params_map(lambda x: x.float(), random_params())
    pre = with_reward(whole_episodes(10), 1.0)
    acting = POLICY.unroll(params, pre)
    pre = replace(pre, acting=acting, log_prob=acting.log_prob(pre.action))  # on policy: the KL has no slope either
    for learner in learners(10):
        state = LearnerState(params, adam_init(params).tree())
        agent = learner.adapt(learner.prior(state.shared, None, 1, None), pre, 0, RNG)
        assert all(bool((agent.params[name] == params[name]).all()) for name in params)
        after, metrics = learner.update(state, of([pre, pre]), RNG)
        assert torch.equal(flatten(after.shared), flatten(params))
        assert metrics.get("step_accepted", 0.0) == 0.0
        assert metrics["tasks_without_difference"] == 1.0


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_an_update_does_not_depend_on_the_unit_of_the_rewards(unit):
    params = params_map(lambda x: x.float(), random_params())
    history = float32(random_history(1, num_tasks=NUM_TASKS))
    scaled = [with_reward(rollout, unit * rollout.reward) for rollout in history]
    for learner in learners(SPEC.horizon):
        state = LearnerState(params, adam_init(params).tree())
        one, other = (flatten(learner.update(state, of(h), RNG)[0].shared) for h in (history, scaled))
        moved = (one - flatten(params)).norm()
        assert float((other - one).norm()) < 1e-3 * float(moved) or float(moved) == 0.0
