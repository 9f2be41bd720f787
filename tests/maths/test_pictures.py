"""Adaptation through encoders: meta-gradients against finite differences, in float64.

Step 1e-6: rectifiers and pools have kinks, and the share of steps that straddle one shrinks with the step. Truncation
~ h² = 1e-12, rounding ~ 2⁻⁵³ / h = 1e-10, both times derivatives of order 1 to 100, so 1e-6 relative leaves room.
"""

import pytest
import torch
from numeric import relative

from drml.core.distribution import Categorical
from drml.core.observation import Part, width_of
from drml.core.rng import Streams
from drml.core.tree import flatten, stack_shared, unflatten
from drml.core.types import ActionSpec, Advantages, EnvSpec, FinalObs, Rollout
from drml.learning.adapt import INNER_LOSSES, GradientAdaptation, InnerConfig
from drml.policies.encoders import convolution
from drml.policies.encoders.registry import EncoderConfig
from drml.policies.mlp import MLPConfig, mlp_policy

K, T, B = 2, 3, 2
STEP = 1e-6
DIRECTIONS = 3
SPECS = {
    "small": (Part("picture", (36, 36, 3)),),
    "little": (Part("picture", (16, 16)), Part("bits", (2,))),
    "residual": (Part("picture", (9, 8, 3)),),
    "symbols": (Part("symbols", (5, 4, 2), 0, 6),),
}


def rollout_of(spec, seed):
    rng = Streams(seed)
    shape = (K, T, B)
    obs = (rng["obs"].uniform((*shape, spec.obs_size)) * (spec.parts[0].high + 1)).to(torch.uint8)
    action = (rng["action"].uniform(shape) * 3).long()
    acting = Categorical(torch.log_softmax(rng["acting"].normal((*shape, 3)).double(), -1))
    off = torch.zeros(shape, dtype=torch.bool)
    last = off.clone()
    last[:, -1] = True
    reward = rng["reward"].normal(shape).double()
    elapsed = torch.arange(T).view(1, -1, 1).expand(shape)
    log_prob = acting.log_prob(action)
    final = FinalObs.dense(torch.zeros_like(obs))
    return Rollout(obs, action, reward, last, off, ~off, final, elapsed, log_prob, acting, {}, {})


def advantages_of(seed):
    weight = torch.full((K, T, B), 1.0 / (T * B), dtype=torch.float64)
    return Advantages(Streams(seed)["advantage"].normal((K, T, B)).double(), weight)


def objective_of(name, num_steps=2):
    """(policy, θ ↦ loss after so many inner steps, summed over tasks), and θ."""
    kind = "small" if name == "little" else name
    spec = EnvSpec(width_of(SPECS[name]), ActionSpec("discrete", 3), T, SPECS[name])
    policy = mlp_policy(spec, MLPConfig((5,), "tanh", encoder=EncoderConfig(kind, 6, 2)))
    params = {name: value.double() for name, value in policy.init(Streams(3)).items()}
    rollouts = [rollout_of(spec, seed) for seed in range(num_steps + 1)]
    advantages = [advantages_of(seed) for seed in range(num_steps + 1)]
    loss = INNER_LOSSES["likelihood_ratio"]
    adaptation = GradientAdaptation(policy, loss, InnerConfig(lr=0.3, later_lr=0.2, num_steps=num_steps), order=2)

    def objective(theta):
        adapted = adaptation.unroll(theta, rollouts[:-1], advantages[:-1])
        return loss(policy.unroll(adapted, rollouts[-1]), rollouts[-1], advantages[-1]).sum()

    return objective, params, adaptation


@pytest.mark.parametrize("groups", [0, 1 << 40], ids=["one call per task", "one call of K groups"])
@pytest.mark.parametrize("name", SPECS)
def test_meta_gradients_through_encoders(name, groups, monkeypatch):
    monkeypatch.setattr(convolution, "GROUPED_BELOW", groups)
    objective, params, _ = objective_of(name)
    theta = {name: value.clone().requires_grad_() for name, value in params.items()}
    gradient = flatten(dict(zip(theta, torch.autograd.grad(objective(theta), list(theta.values())), strict=True)))
    at, rng = flatten(params), Streams(5)
    sizes = {name: value.numel() for name, value in params.items()}
    found: list[float] = []
    expected: list[float] = []
    for i in range(DIRECTIONS):
        v = rng["direction", i].normal(at.shape).double()
        v /= torch.cat([part.norm().expand(len(part)) for part in v.split(list(sizes.values()))])  # all layers move
        ahead, behind = (
            float(objective(unflatten((at + sign * STEP * v).requires_grad_(), params)).detach()) for sign in (1, -1)
        )
        found.append(float(gradient @ v))
        expected.append((ahead - behind) / (2 * STEP))
    assert relative(torch.tensor(found), torch.tensor(expected)) < 1e-6


@pytest.mark.parametrize("name", SPECS)
def test_meta_gradients_of_first_order_are_others(name):
    objective, params, adaptation = objective_of(name)
    theta = {name: value.clone().requires_grad_() for name, value in params.items()}
    second = torch.autograd.grad(objective(theta), list(theta.values()))
    object.__setattr__(adaptation, "order", 1)
    first = torch.autograd.grad(objective(theta), list(theta.values()))
    moved = [float((a - b).norm() / a.norm()) for a, b in zip(first, second, strict=True)]
    assert max(moved) > 1e-3


@pytest.mark.parametrize("name", SPECS)
def test_k_tasks_adapt_as_each_alone(name):
    _, params, adaptation = objective_of(name)
    spec = EnvSpec(width_of(SPECS[name]), ActionSpec("discrete", 3), T, SPECS[name])
    rollout, advantages = rollout_of(spec, 7), advantages_of(7)
    together = adaptation.apply(stack_shared(params, K), rollout, advantages, 0)
    for k in range(K):
        part = slice(k, k + 1)
        alone = adaptation.apply(stack_shared(params, 1), rollout.select_tasks(part), advantages.select_tasks(part), 0)
        for key, value in alone.items():
            torch.testing.assert_close(together[key][k], value[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", SPECS)
def test_all_layers_learn(name):
    objective, params, _ = objective_of(name, 1)
    theta = {name: value.clone().requires_grad_() for name, value in params.items()}
    gradient = torch.autograd.grad(objective(theta), list(theta.values()))
    still = [key for key, grad in zip(theta, gradient, strict=True) if not bool(grad.any())]
    assert not still
