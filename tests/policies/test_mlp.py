import math

import pytest
import torch
from torch import nn

from drml.core.distribution import Categorical, Gaussian
from drml.core.rng import Streams
from drml.core.tree import params_map
from drml.core.types import ActionSpec, EnvSpec
from drml.learning.optim.first_order import sgd_step
from drml.policies.mlp import MAX_LOG_STD, CategoricalMLP, GaussianMLP, MLPConfig, init_layers, mlp_policy

POLICIES = [
    GaussianMLP(5, 3, (8, 7)),
    GaussianMLP(5, 3, (8,), "relu"),
    GaussianMLP(5, 3, ()),
    GaussianMLP(5, 2, (40, 40)),
    CategoricalMLP(5, 4, (8, 7)),
    CategoricalMLP(5, 4, (8,), "relu"),
]


def per_task_params(policy, num_tasks):
    rng = Streams(1)
    return {
        name: value.double() + 0.3 * rng[name].normal((num_tasks, *value.shape))
        for name, value in policy.init(Streams(0)).items()
    }


def observations(*shape):
    return Streams(2)["obs"].normal((*shape, 5)).double()


def row(params, k):
    return params_map(lambda value: value[k], params)


def outputs(distribution):
    (first, *_) = distribution.tensors().values()
    return first


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shape", [(3, 4), (3, 6, 2), (3, 1)])
def test_stacked_equals_one_task_at_a_time(policy, shape):
    params, obs = per_task_params(policy, 3), observations(*shape)
    stacked = policy.distribution(params, obs)
    assert outputs(stacked).shape[:-1] == shape
    for k in range(3):
        alone = policy.distribution(row(params, k), obs[k : k + 1])
        for name, value in alone.tensors().items():  # float64 sums of at most 40 terms, values up to 10
            torch.testing.assert_close(stacked.tensors()[name][k : k + 1], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES)
def test_shared_equals_stacked_copies(policy):
    shared, obs = row(per_task_params(policy, 1), 0), observations(3, 4)
    copies = params_map(lambda value: value.expand(3, *value.shape), shared)
    one, many = policy.distribution(shared, obs), policy.distribution(copies, obs)
    torch.testing.assert_close(outputs(one), outputs(many), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES)
def test_gradient_of_stacked_equals_loop_to_second_order(policy):
    params = params_map(lambda value: value.requires_grad_(), per_task_params(policy, 3))
    obs = observations(3, 6, 2)

    def curved_gradients(distributions):
        value = sum(outputs(d).sin().sum() + d.entropy().cos().sum() for d in distributions)
        leaves = list(params.values())
        first = torch.autograd.grad(value, leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
        return [*first, *second]

    stacked = curved_gradients([policy.distribution(params, obs)])
    looped = curved_gradients([policy.distribution(row(params, k), obs[k : k + 1]) for k in range(3)])
    for a, b in zip(stacked, looped, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)  # sums over 12 observations of products of 1e-12


def test_equals_torchs_layers():
    policy = GaussianMLP(5, 3, (8, 7))
    params = row(per_task_params(policy, 1), 0)
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    with torch.no_grad():
        for i, layer in enumerate([net[0], net[2], net[4]]):
            layer.weight.copy_(params[f"layer{i}.weight"].T)
            layer.bias.copy_(params[f"layer{i}.bias"])
        obs = observations(2, 4)
        torch.testing.assert_close(policy.distribution(params, obs).mean, net(obs), rtol=1e-12, atol=1e-12)


def test_relu_network_by_hand():
    policy = CategoricalMLP(1, 2, (2,), "relu")
    params = {
        "layer0.weight": torch.tensor([[1.0, -1.0]]),
        "layer0.bias": torch.tensor([1.0, 0.0]),
        "layer1.weight": torch.tensor([[1.0, 0.0], [0.0, 2.0]]),
        "layer1.bias": torch.tensor([0.0, 0.5]),
    }
    # o = 2: hidden relu(3, −2) = (3, 0), logits (3, 0.5), so log p₀ − log p₁ = 2.5
    distribution, _ = policy.step(params, torch.tensor([[[2.0]]]), {})
    assert float(distribution.logits[..., 0] - distribution.logits[..., 1]) == pytest.approx(2.5)
    assert float(distribution.logits.exp().sum()) == pytest.approx(1.0)


def test_initial_weights_are_glorot_uniform():
    params = init_layers((400, 200, 2), Streams(0)["init"])
    weight, bound = params["layer0.weight"], math.sqrt(6 / 600)
    assert weight.shape == (400, 200)
    assert float(weight.abs().max()) <= bound
    # variance of a uniform on ± bound is bound²/3, its standard error relative to that √(4/5)/√n; five of them
    assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=5 * math.sqrt(0.8 / weight.numel()))
    assert abs(float(weight.mean())) < 5 * bound / math.sqrt(3 * weight.numel())
    assert not params["layer0.bias"].any()
    again = init_layers((400, 200, 2), Streams(0)["init"])
    assert all(torch.equal(again[name], value) for name, value in params.items())
    assert not torch.equal(init_layers((400, 200, 2), Streams(1)["init"])["layer0.weight"], weight)


def test_ten_thousand_adversarial_updates_keep_the_std_finite_and_positive():
    # steps of either sign from 1e-3 to 1e30: their sum stays below 1e34, within float32
    rng = Streams(3)
    size = 10.0 ** (33.0 * rng["size"].uniform((10_000, 3)) - 3.0)
    steps = torch.where(rng["sign"].uniform(size.shape) < 0.5, -size, size)
    policy = GaussianMLP(5, 3, (4,))
    params = policy.init(Streams(0))
    path = [{"log_std": params["log_std"]}]
    for step in steps:
        path.append(sgd_step(path[-1], {"log_std": step}, 1.0))
    visited = params_map(lambda value: value.expand(len(path), *value.shape), params)
    visited["log_std"] = torch.stack([point["log_std"] for point in path])  # each point of the path is one task
    distribution, _ = policy.step(visited, torch.zeros(len(path), 1, 5), {})
    std = distribution.log_std.exp()
    assert float(std.min()) == pytest.approx(1e-6, rel=1e-5)  # both bounds were met, to float32 of a log of 14
    assert float(std.max()) == pytest.approx(math.exp(MAX_LOG_STD), rel=1e-5)
    assert bool(distribution.log_prob(torch.zeros(len(path), 1, 3)).isfinite().all())


def test_infinite_log_stds_are_bounded_too():
    policy = GaussianMLP(5, 3, (4,))
    params = policy.init(Streams(0)) | {"log_std": torch.tensor([-math.inf, math.inf, 0.0])}
    distribution, _ = policy.step(params, torch.zeros(2, 1, 5), {})
    assert bool(distribution.log_prob(torch.zeros(2, 1, 3)).isfinite().all())


def test_the_initial_std():
    params = GaussianMLP(5, 3, init_std=0.5).init(Streams(0))
    assert torch.equal(params["log_std"], torch.full((3,), math.log(0.5)))


@pytest.mark.parametrize(
    ("kind", "policy_type", "distribution_type", "noise_kind", "noise_shape"),
    [("continuous", GaussianMLP, Gaussian, "normal", (3,)), ("discrete", CategoricalMLP, Categorical, "uniform", ())],
)
def test_the_action_kind_decides_on_the_policy(kind, policy_type, distribution_type, noise_kind, noise_shape):
    config = MLPConfig(hidden=(6, 6, 6), activation="relu", init_std=0.3, min_std=0.1)
    policy = mlp_policy(EnvSpec(5, ActionSpec(kind, 3), 10), config)
    assert isinstance(policy, policy_type)
    assert (policy.hidden, policy.activation) == ((6, 6, 6), "relu")
    assert (policy.noise.kind, policy.noise.shape) == (noise_kind, noise_shape)
    assert policy.initial_carry(2, 3) == {}
    distribution, carry = policy.step(policy.init(Streams(0)), torch.zeros(2, 4, 5), {})
    assert isinstance(distribution, distribution_type)
    assert carry == {}
    noise = Streams(0)["noise"].noise(noise_kind, (2, 4, *noise_shape))
    assert distribution.sample(noise).shape == (2, 4, *noise_shape)
    if kind == "continuous":
        assert (policy.init_std, policy.min_std) == (0.3, 0.1)
