"""Meta-gradients through products of choices with numbers beside them, against finite differences, in float64."""

from dataclasses import replace

import pytest
import torch
from numeric import (
    COPIES,
    OBS_SIZE,
    STEPS,
    central_differences,
    endings,
    promp_value_and_gradient,
    random_history,
    relative,
    trust_region_inputs,
)

from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.core.rng import Streams
from drml.core.tree import flatten, unflatten
from drml.core.types import ActionSpec, EnvSpec
from drml.learning.adapt import INNER_LOSSES, InnerConfig
from drml.policies.mlp import JointMLP, MLPConfig

STEP = 1e-5
KINDS = {
    "product": ActionSpec("joint", 5, counts=(2, 3)),
    "alike": ActionSpec("joint", 4, counts=(2, 2)),
    "hybrid": ActionSpec("joint", 6, counts=(2, 3)),
}
INNER = InnerConfig(lr=0.2, later_lr=0.1, num_steps=2, gamma=0.9, gae_lambda=0.8)


def of_kind(kind):
    """A policy, its parameters and a history that it acted near them."""
    action = KINDS[kind]
    policy = JointMLP(OBS_SIZE, action, MLPConfig((2,)))
    params = {name: value.double() for name, value in policy.init(Streams(0)).items()}
    params = {name: value + 0.3 * torch.randn_like(value, generator=generator(1)) for name, value in params.items()}
    history = []
    for j, rollout in enumerate(random_history(2)):
        near = {
            name: value + 0.1 * torch.randn_like(value, generator=generator(5 + j)) for name, value in params.items()
        }
        acting = policy.unroll(near, rollout)
        noise = torch.rand((3, STEPS, COPIES, *action.shape), generator=generator(9 + j), dtype=torch.float64)
        acting = acting.replace({n: x.expand(3, STEPS, COPIES, *x.shape[3:]) for n, x in acting.tensors().items()})
        taken = acting.sample(noise)
        history.append(replace(rollout, action=taken, acting=acting, log_prob=acting.log_prob(taken)))
    assert history[0].ended.equal(torch.logical_or(*endings(3)))
    return policy, params, history


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inner_loss", INNER_LOSSES)
def test_maml_gradient(kind, inner_loss):
    policy, params, history = of_kind(kind)
    learner = MAML(EnvSpec(OBS_SIZE, KINDS[kind], 3), policy, MAMLConfig(INNER, inner_loss, curvature_episodes=0))
    seen = trust_region_inputs(learner, params, history)
    differences = central_differences(lambda p: seen.evaluate(p)[0], seen.params, STEP)
    assert relative(seen.gradient, differences) < 1e-6  # as in test_finite_differences.py


@pytest.mark.parametrize("kind", KINDS)
def test_promp_gradient(kind):
    policy, params, history = of_kind(kind)
    config = ProMPConfig(INNER, outer_steps=1, clip_eps=0.9, inner_kl_coef=1.0)  # no ratio near the corner
    learner = ProMP(EnvSpec(OBS_SIZE, KINDS[kind], 3), policy, config)

    def loss(point):
        return promp_value_and_gradient(learner, unflatten(point, params), history)[0]

    differences = central_differences(loss, flatten(params), STEP)
    assert relative(promp_value_and_gradient(learner, params, history)[1], differences) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_maml_curvature_is_symmetric_and_positive(kind):
    policy, params, history = of_kind(kind)
    learner = MAML(EnvSpec(OBS_SIZE, KINDS[kind], 3), policy, MAMLConfig(INNER, curvature_episodes=0))
    product = trust_region_inputs(learner, params, history).curvature
    hessian = torch.stack([product(e) for e in torch.eye(len(flatten(params)), dtype=torch.float64)])
    assert relative(hessian, hessian.T) < 1e-12
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert float(eigenvalues[0]) > -1e-12 * float(eigenvalues[-1]) and float(eigenvalues[-1]) > 1e-3
