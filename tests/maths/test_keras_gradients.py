"""Meta-gradients through a Keras policy: those of the torch network of the same weights, and of finite differences.

`torch.func.functional_call` on a Keras model gives zeros without an error; nothing here may go that way. Float64, step
1e-5, as in test_finite_differences.
"""

import os

import pytest
import torch
from numeric import (
    POLICY,
    SPEC,
    central_differences,
    promp_value_and_gradient,
    random_history,
    random_params,
    relative,
    trust_region_inputs,
)

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

from drml.algos.gradient.maml import MAML, MAMLConfig  # noqa: E402 — the backend first
from drml.algos.gradient.promp import ProMP, ProMPConfig  # noqa: E402
from drml.core.rng import Streams  # noqa: E402
from drml.core.tree import flatten, unflatten  # noqa: E402
from drml.learning.adapt import InnerConfig  # noqa: E402
from drml.policies.module import ModulePolicy  # noqa: E402

STEP = 1e-5
NAMES = {"0_kernel": "layer0.weight", "1_bias": "layer0.bias", "2_kernel": "layer1.weight", "3_bias": "layer1.bias"}
TWIN = random_params()
PARAMS = {own: TWIN[name] for own, name in NAMES.items()} | {"log_std": TWIN["log_std"]}
INNER = InnerConfig(lr=0.2, later_lr=0.1, num_steps=2, gamma=0.9, gae_lambda=0.8)


@pytest.fixture(scope="module")
def policy():
    """POLICY of `numeric`, made by Keras, in float64."""
    layers = keras.layers
    network = keras.Sequential([keras.Input((2,)), layers.Dense(2, activation="tanh"), layers.Dense(2)])
    policy = ModulePolicy(network, SPEC)
    policy.module.double()
    assert list(policy.init(Streams(0))) == list(PARAMS)
    return policy


@pytest.mark.parametrize("inner_loss", ["log_likelihood", "likelihood_ratio"])
def test_maml_gradient_and_curvature(policy, inner_loss):
    config, history = MAMLConfig(INNER, inner_loss, curvature_episodes=0), random_history(2)
    seen = trust_region_inputs(MAML(SPEC, policy, config), PARAMS, history)
    twin = trust_region_inputs(MAML(SPEC, POLICY, config), TWIN, history)
    assert float(seen.gradient.abs().max()) > 1e-2
    assert relative(seen.gradient, twin.gradient) < 1e-12  # the same sums in another order
    assert relative(seen.gradient, central_differences(lambda p: seen.evaluate(p)[0], seen.params, STEP)) < 1e-6
    direction = torch.randn(len(seen.params), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert relative(seen.curvature(direction), twin.curvature(direction)) < 1e-12


def test_promp_gradient(policy):
    config = ProMPConfig(INNER, outer_steps=1, clip_eps=0.2, inner_kl_coef=1.0)
    learner, history = ProMP(SPEC, policy, config), random_history(2, spread=0.2, seed=1)

    def loss(point):
        return promp_value_and_gradient(learner, unflatten(point, PARAMS), history)[0]

    gradient = promp_value_and_gradient(learner, PARAMS, history)[1]
    assert relative(gradient, promp_value_and_gradient(ProMP(SPEC, POLICY, config), TWIN, history)[1]) < 1e-12
    assert relative(gradient, central_differences(loss, flatten(PARAMS), STEP)) < 1e-6


def test_in_single_precision_it_acts_as_the_twin(policy):
    single = ModulePolicy(policy.module.float().model, SPEC)
    policy.module.double()
    obs = torch.randn(3, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    ours = single.step({name: value.float() for name, value in PARAMS.items()}, obs, {})[0].mean
    theirs = POLICY.step({name: value.float() for name, value in TWIN.items()}, obs, {})[0].mean
    assert float((ours - theirs).abs().max()) < 1e-6
