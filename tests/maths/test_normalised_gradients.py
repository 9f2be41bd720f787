"""Meta-gradients of learners behind a normaliser against finite differences, in float64.

The objective that is differenced is written here on observations that are normalised by hand; the learner is given what
environments show. Step and tolerance as in `test_finite_differences`.
"""

from dataclasses import replace
from functools import partial

import pytest
import torch
from numeric import (
    POLICY,
    SPEC,
    central_differences,
    of,
    random_history,
    random_params,
    relative,
    trust_region_inputs,
)

from drml.algos.api import LearnerState
from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.memory.rl2 import RL2, RL2Config, one_by_one
from drml.algos.normalised import NormalisedLearner
from drml.algos.registry import learner_entry
from drml.core.rng import Streams
from drml.core.tree import flatten, tree_map, unflatten
from drml.core.types import FinalObs, join_rollouts
from drml.learning.adapt import INNER_LOSSES, GradientAdaptation, InnerConfig
from drml.learning.advantages import estimate_advantages
from drml.learning.linear_baseline import LinearFeatureBaseline
from drml.learning.losses import likelihood_ratio
from drml.learning.optim.first_order import adam_init
from drml.learning.running_scale import RunningScale
from drml.policies.memory.registry import MemoryConfig
from drml.policies.normalised import Moments

STEP = 1e-5
SIZES, CONSTANTS = torch.tensor([30.0, 0.02]).double(), torch.tensor([-4.0, 1e3]).double()
SEEN = Moments(torch.tensor(50.0).double(), CONSTANTS + 0.3 * SIZES, 50.0 * (1.7 * SIZES).square())


def shown(obs):
    """Observations of unit size in the units of an environment."""
    return CONSTANTS + SIZES * obs


def by_hand(obs):
    """What an agent sees of these: (x − mean)/std; nothing here is ten standard deviations away."""
    seen = (obs - (CONSTANTS + 0.3 * SIZES)) / (1.7 * SIZES)
    assert float(seen.abs().max()) < 10.0
    return seen


def with_obs(rollout, fn):
    final = FinalObs(torch.cat([rollout.final.rows[:1], fn(rollout.final.rows[1:])]), rollout.final.at)
    return replace(rollout, obs=fn(rollout.obs), final=final)


def inner(num_steps):
    return InnerConfig(lr=0.2, later_lr=0.1, num_steps=num_steps, gamma=0.9, gae_lambda=0.8)


def surrogate(history, num_steps):
    """θ ↦ 1/K Σᵢ −E[ρ Â] of the adapted policies, whose advantages are those of what they saw."""
    advantages = [estimate_advantages(r, LinearFeatureBaseline(SPEC.horizon, 0.9), 0.8) for r in history]
    adaptation = GradientAdaptation(POLICY, INNER_LOSSES["log_likelihood"], inner(num_steps), order=2)

    def value(point):
        params = {name: x.requires_grad_() for name, x in unflatten(point.clone(), random_params()).items()}
        adapted = adaptation.unroll(params, history[:-1], advantages[:-1])
        ratio = likelihood_ratio(POLICY.unroll(adapted, history[-1]), history[-1])
        return -(ratio * advantages[-1].advantage * advantages[-1].weight).sum().item() / len(ratio)

    return value


@pytest.mark.parametrize("num_steps", [1, 2])
def test_maml_of_second_order(num_steps):
    history = [with_obs(rollout, shown) for rollout in random_history(num_steps)]
    maml = MAML(SPEC, POLICY, MAMLConfig(inner(num_steps), curvature_episodes=0))
    normalised = NormalisedLearner(SPEC, maml)
    params = random_params() | SEEN.params()
    found = trust_region_inputs(normalised, params, history).gradient
    differences = partial(central_differences, point=flatten(random_params()), step=STEP)
    seen = [with_obs(rollout, by_hand) for rollout in history]
    assert relative(found, differences(surrogate(seen, num_steps))) < 1e-6
    # without it the gradient is another, and so it is where the mean is not taken away
    assert relative(found, differences(surrogate(history, num_steps))) > 1e-2
    scaled = [with_obs(rollout, lambda x: x / (1.7 * SIZES)) for rollout in history]
    assert relative(found, differences(surrogate(scaled, num_steps))) > 1e-2


def rl2():
    config = RL2Config(
        episodes=2, gamma=0.9, gae_lambda=0.7, epochs=1, minibatches=1, entropy_coef=0.1, max_grad_norm=1e9
    )
    memory = MemoryConfig("gru", 3, head="linear")
    return RL2(SPEC, learner_entry("rl2").make_policy(SPEC, memory, config), config)


def test_rl2():
    learner = rl2()
    policy = learner.policy
    generator = torch.Generator().manual_seed(1)
    params = {
        name: value.double() + 0.3 * torch.randn(value.shape, generator=generator).double()
        for name, value in policy.init(Streams(0)).items()
    }
    first = tree_map(torch.Tensor.double, policy.initial_carry(3, 4))
    history = []
    for rollout in random_history(1):
        acting = replace(with_obs(rollout, shown), first_carry=first, last_carry=first)
        distribution = policy.evaluate(params, with_obs(acting, by_hand))[0]
        acts = {"acting": distribution, "log_prob": distribution.log_prob(rollout.action)}
        history.append(replace(acting, **acts))
    seen = [with_obs(rollout, by_hand) for rollout in history]
    training = learner.init(Streams(0)).training | {"adam": adam_init(params).tree()}
    trials = one_by_one(join_rollouts(seen))
    with torch.no_grad():
        loss = replace(learner._targets(params, trials, RunningScale.initial())[0], entropy_coef=0.1)

    def value(point, loss):
        return loss(unflatten(point, params), slice(None)).item()

    state = LearnerState(params | SEEN.params(), training)
    updated, _ = NormalisedLearner(SPEC, learner).update(state, of(history), Streams(0))
    gradient = flatten(updated.training["adam"]["first"]) / (1.0 - 0.9)
    differences = central_differences(partial(value, loss=loss), flatten(params), STEP)
    assert relative(gradient, differences) < 1e-6
    plain = replace(loss, trials=one_by_one(join_rollouts(history)))
    assert relative(gradient, central_differences(partial(value, loss=plain), flatten(params), STEP)) > 1e-2
