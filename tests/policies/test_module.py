import math
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional

from drml.core.distribution import Categorical, Gaussian
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import params_map
from drml.core.types import ActionSpec, EnvSpec
from drml.policies.layers import LayerNorm
from drml.policies.mlp import GaussianMLP
from drml.policies.module import ModulePolicy

CONTINUOUS = EnvSpec(5, ActionSpec("continuous", 3), 10)
DISCRETE = EnvSpec(5, ActionSpec("discrete", 3), 10)
H = 16


def network(*middle):
    return nn.Sequential(nn.Linear(5, H), *middle, nn.Linear(H, 3))


class Custom(nn.Module):
    """A function between two linear layers, with further submodules and parameters by name."""

    def __init__(self, fn, **parts):
        super().__init__()
        self.first, self.last, self.fn = nn.Linear(5, H), nn.Linear(H, 3), fn
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.last(self.fn(self, self.first(x)))


class HiddenValue(nn.Module):
    """Reads its weight past the attribute that functional_call swaps, as Keras layers do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 3))
        self.bias = nn.Parameter(torch.zeros(3))
        self.hidden = [self.weight]

    def forward(self, x):
        return x @ self.hidden[0] + self.bias


class HidesAll(HiddenValue):
    def forward(self, x):
        return x @ self.hidden[0]


class Counting(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def zero_last(module):
    nn.init.zeros_(module.last.weight)
    return module


def weights(policy, num_tasks, seed=0):
    """Different float64 parameters of `num_tasks` tasks."""
    params = policy.init(Streams(seed))
    rng = Streams(seed)["noise"]
    return {n: p.double() + 0.3 * rng[n].normal((num_tasks, *p.shape)) for n, p in params.items()}


def row(params, k):
    return params_map(lambda value: value[k], params)


def policy_of(module, spec=CONTINUOUS, dtype=torch.float64):
    policy = ModulePolicy(module, spec)
    policy._module.to(dtype)  # buffers and frozen parameters, for exact comparisons
    return policy


def test_equals_the_mlp_of_the_same_weights():
    mlp = GaussianMLP(5, 3, (H,))
    params = params_map(torch.Tensor.double, mlp.init(Streams(1)))
    names = {"0.weight": "layer0.weight", "0.bias": "layer0.bias", "2.weight": "layer1.weight", "2.bias": "layer1.bias"}
    own = {n: params[m].T if m.endswith("weight") else params[m] for n, m in names.items()}
    policy = ModulePolicy(network(nn.Tanh()), CONTINUOUS)
    obs = Streams(2)["obs"].normal((2, 7, 5)).double()
    ours, _ = policy.step(own | {"log_std": params["log_std"]}, obs, {})
    theirs, _ = mlp.step(params, obs, {})
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-12, atol=1e-12)  # sums of 16 terms: 16 · 1e-16
    assert torch.equal(ours.log_std.broadcast_to(ours.mean.shape), theirs.log_std.broadcast_to(theirs.mean.shape))


MODULES = {
    "linear": lambda: nn.Linear(5, 3),
    "relu": lambda: network(nn.ReLU(), nn.Linear(H, H), nn.ReLU()),
    "gelu": lambda: network(nn.GELU()),
    "our layer norm": lambda: network(LayerNorm(H), nn.Tanh()),
    "rms norm": lambda: network(nn.RMSNorm(H)),
    "group norm": lambda: network(nn.GroupNorm(4, H)),
    "frozen layer": lambda: nn.Sequential(nn.Linear(5, H).requires_grad_(False), nn.Tanh(), nn.Linear(H, 3)),
    "dropout in evaluation": lambda: network(nn.Tanh(), nn.Dropout(0.5)).eval(),
    "spectral norm in evaluation": lambda: network(nn.utils.parametrizations.spectral_norm(nn.Linear(H, H))).eval(),
    "zero last layer": lambda: zero_last(Custom(lambda s, x: x.tanh())),
    "convolution": lambda: Custom(lambda s, x: s.conv(x[:, None]).flatten(1), conv=nn.Conv1d(1, 1, 3, padding=1)),
    "softmax attention": lambda: Custom(
        lambda s, x: (((q := x.view(-1, 4, 4)) @ q.mT).softmax(-1) @ q).flatten(1) @ s.out,
        out=nn.Parameter(torch.eye(H)),
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_stacked_parameters_equal_a_loop_over_tasks_with_gradients(name):
    torch.manual_seed(0)
    policy = policy_of(MODULES[name]())
    params = params_map(lambda value: value.requires_grad_(), weights(policy, 3))
    obs = Streams(3)["obs"].normal((3, 4, 2, 5)).double()
    action = Streams(3)["action"].normal((3, 4, 2, 3)).double()
    log_prob = policy.distribution(params, obs).log_prob(action)
    one_by_one = [policy.distribution(row(params, k), obs[k : k + 1]).log_prob(action[k : k + 1]) for k in range(3)]
    # float64, sums of at most 16 terms and values up to about 1e2
    torch.testing.assert_close(log_prob, torch.cat(one_by_one), rtol=1e-12, atol=1e-12)
    stacked = torch.autograd.grad(log_prob.sin().sum(), list(params.values()))
    looped = torch.autograd.grad(sum(x.sin().sum() for x in one_by_one), list(params.values()))
    for a, b in zip(stacked, looped, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_stacked_copies_of_shared_parameters_change_nothing():
    policy = policy_of(MODULES["relu"]())
    shared = row(weights(policy, 1), 0)
    stacked = params_map(lambda value: value.expand(3, *value.shape), shared)
    obs = Streams(3)["obs"].normal((3, 4, 2, 5)).double()
    one, many = policy.distribution(shared, obs), policy.distribution(stacked, obs)
    torch.testing.assert_close(one.mean, many.mean, rtol=1e-12, atol=1e-12)
    assert one.log_std.shape == (1, 1, 1, 3)
    assert many.log_std.shape == (3, 1, 1, 3)


def test_threads_that_share_a_module_do_not_meet_each_others_parameters():
    policy = policy_of(Custom(lambda s, x: (time.sleep(1e-4), x.tanh())[1]))  # lets the other threads in
    params = [row(weights(policy, 1, seed), 0) for seed in range(4)] + [weights(policy, 2, seed) for seed in range(4)]
    obs = Streams(3)["obs"].normal((2, 4, 5)).double()
    alone = [policy.step(own, obs, {})[0].mean for own in params]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(10):
            together = list(threads.map(lambda own: policy.step(own, obs, {})[0].mean, params))
            assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_init_gives_copies_of_the_module_as_it_was():
    module = network(nn.Tanh())
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    policy = ModulePolicy(module, CONTINUOUS, init_std=0.5)
    state = torch.random.get_rng_state()
    params = policy.init(Streams(1))
    assert list(params) == [*before, "log_std"]
    params["0.weight"].zero_()  # neither the module nor the next start
    nn.init.ones_(module[2].weight)
    again = policy.init(Streams(2))
    assert all(torch.equal(again[name], before[name]) for name in before)
    assert not any(value.requires_grad for value in again.values())
    assert torch.equal(again["log_std"], torch.full((3,), math.log(0.5)))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_admission_leaves_the_global_generator_and_the_module_alone():
    module = network(nn.BatchNorm1d(H))
    state, buffers = torch.random.get_rng_state(), [b.clone() for b in module.buffers()]
    with pytest.raises(InputError):
        ModulePolicy(module, CONTINUOUS)
    with pytest.raises(InputError):
        ModulePolicy(Custom(lambda s, x: functional.dropout(x, 0.5)), CONTINUOUS)
    assert all(torch.equal(a, b) for a, b in zip(module.buffers(), buffers, strict=True))
    torch.random.set_rng_state(state)
    expected = torch.rand(3)
    torch.random.set_rng_state(state)
    noisy = Custom(lambda s, x: x + 0 * torch.rand_like(x))
    torch.random.set_rng_state(state)
    with pytest.raises(InputError):  # random operations are refused under vmap
        ModulePolicy(noisy, CONTINUOUS)
    assert torch.equal(torch.rand(3), expected)


def test_frozen_parameters_are_constants():
    policy = ModulePolicy(MODULES["frozen layer"](), CONTINUOUS)
    assert list(policy.init(Streams(0))) == ["2.weight", "2.bias", "log_std"]


def test_tied_parameters_are_one():
    torch.manual_seed(0)
    net = network(nn.Linear(H, H), nn.Tanh(), nn.Linear(H, H))
    net[3].weight = net[1].weight
    policy = ModulePolicy(net, CONTINUOUS)
    params = policy.init(Streams(0))
    assert [name for name in params if name.startswith(("1", "3"))] == ["1.weight", "1.bias", "3.bias"]
    obs = Streams(0)["obs"].normal((1, 4, 5))
    ours = policy.step(params | {"1.weight": params["1.weight"] + 1.0}, obs, {})[0].mean
    with torch.no_grad():
        net[1].weight += 1.0  # and with it the weight of 3
        torch.testing.assert_close(ours, net(obs))


def test_discrete_actions_make_it_categorical():
    module = nn.Linear(5, 3)
    policy = ModulePolicy(module, DISCRETE)
    params = policy.init(Streams(0))
    assert list(params) == ["weight", "bias"]
    assert policy.noise.kind == "uniform"
    assert policy.noise.shape == ()
    obs = Streams(0)["obs"].normal((2, 4, 5))
    distribution, carry = policy.step(params, obs, {})
    assert isinstance(distribution, Categorical)
    assert carry == {}
    torch.testing.assert_close(distribution.logits, module(obs).log_softmax(-1).detach(), check_stride=False)


def test_continuous_actions_make_it_gaussian_with_a_bounded_std():
    policy = ModulePolicy(nn.Linear(5, 3), CONTINUOUS, min_std=1e-3)
    assert policy.noise.kind == "normal"
    assert policy.noise.shape == (3,)
    assert policy.initial_carry(2, 3) == {}
    params = policy.init(Streams(0)) | {"log_std": torch.tensor([-1e30, 0.0, 1e30])}
    distribution, _ = policy.step(params, torch.zeros(2, 4, 5), {})
    assert isinstance(distribution, Gaussian)
    # e⁵ and 1e-3 to float32
    torch.testing.assert_close(distribution.log_std.exp().flatten(), torch.tensor([1e-3, 1.0, math.exp(5.0)]))


REFUSED = {
    "layer norm": (lambda: network(nn.LayerNorm(H)), r"submodule '1' \(LayerNorm\).*drml.policies.layers.LayerNorm"),
    "plain layer norm": (lambda: network(nn.LayerNorm(H, elementwise_affine=False)), r"submodule '1' \(LayerNorm\)"),
    "batch norm": (lambda: network(nn.BatchNorm1d(H)), r"submodule '1' \(BatchNorm1d\).*mixes.*RMSNorm"),
    "batch norm in evaluation": (lambda: network(nn.BatchNorm1d(H)).eval(), r"submodule '1' \(BatchNorm1d\)"),
    "encoder layer": (lambda: network(nn.TransformerEncoderLayer(H, 2)), r"submodule '1' \(TransformerEncoderLayer\)"),
    "attention": (lambda: Custom(lambda s, x: x, a=nn.MultiheadAttention(H, 2)), r"'a' \(MultiheadAttention\)"),
    "gru": (lambda: Custom(lambda s, x: s.memory(x)[0], memory=nn.GRU(H, H)), r"submodule 'memory' \(GRU\).*vmap"),
    "rnn": (lambda: Custom(lambda s, x: s.memory(x)[0], memory=nn.RNN(H, H)), r"submodule 'memory' \(RNN\)"),
    "lstm": (lambda: Custom(lambda s, x: s.memory(x)[0], memory=nn.LSTM(H, H)), r"submodule 'memory' \(LSTM\)"),
    "lstm cell": (lambda: nn.Sequential(nn.LSTMCell(5, 3)), r"submodule '0' \(LSTMCell\)"),
    "module itself": (lambda: nn.LayerNorm(5), r"the module \(LayerNorm\)"),
    "dropout": (lambda: network(nn.Dropout(0.1)), r"submodule '1' \(Dropout\).*random.*eval"),
    "functional dropout": (lambda: Custom(lambda s, x: functional.dropout(x, 0.1)), "random"),
    "spectral norm": (
        lambda: network(nn.utils.parametrizations.spectral_norm(nn.Linear(H, H))),
        r"buffer '1.param.*_u'",
    ),
    "counter": (Counting, "buffer 'calls'"),
    "functional layer norm": (lambda: Custom(lambda s, x: functional.layer_norm(x, (H,))), "higher derivatives"),
    "functional batch norm": (
        lambda: Custom(lambda s, x: functional.batch_norm(x, None, None, training=True)),
        "mixes",
    ),
    "mean over rows": (lambda: zero_last(Custom(lambda s, x: x - x.mean(0))), "mixes"),
    "constant slope": (lambda: Custom(lambda s, x: Slope.apply(x)), "higher derivatives"),
    "hidden weight": (HiddenValue, "ignores its parameters 'weight':.*functional_call.*Keras"),
    "all hidden": (HidesAll, "ignores its parameters 'weight', 'bias'"),
    "unused head": (
        lambda: Custom(lambda s, x: x, value=nn.Linear(H, 1)),
        "'value.weight', 'value.bias'.*requires_grad_",
    ),
    "one layer twice": (lambda: network(*[nn.Linear(H, H)] * 2), "submodule '2' is submodule '1' again"),
    "lazy": (lambda: nn.LazyLinear(3), "'weight' has no shape yet"),
    "float64": (lambda: nn.Linear(5, 3).double(), "torch.float64.*module.float"),
    "all frozen": (lambda: nn.Linear(5, 3).requires_grad_(False), "nothing to learn"),
    "no parameter": (nn.Identity, "nothing to learn"),
    "outputs": (lambda: nn.Linear(5, 4), r"maps \[6, 5\] to \[6, 4\], expected \[6, 3\]"),
    "inputs": (lambda: nn.Linear(4, 3), r"fails at observations \[6, 5\]"),
    "name": (lambda: Custom(lambda s, x: x, log_std=nn.Parameter(torch.zeros(3))), "'log_std' clashes"),
    "float32 inside": (lambda: Custom(lambda s, x: x @ torch.eye(H)), "torch.float64"),
}


class Slope(torch.autograd.Function):
    """exp(x), whose derivative is a constant by mistake."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.exp()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.slope = output.detach()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.slope


@pytest.mark.parametrize("name", REFUSED)
def test_unfit_modules_are_refused_in_one_line_that_says_why(name):
    torch.manual_seed(0)
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        ModulePolicy(make(), CONTINUOUS)
    assert "\n" not in str(caught.value)


def test_weight_norm_is_refused_because_its_fused_second_derivative_is_wrong():
    wrong = network(nn.utils.parametrizations.weight_norm(nn.Linear(H, H)))
    with pytest.warns(UserWarning, match="_weight_norm"), pytest.raises(InputError, match="weight_norm"):
        ModulePolicy(wrong, CONTINUOUS)


@pytest.mark.parametrize(("init_std", "min_std"), [(1.0, 0.0), (1e-3, 1e-2), (math.nan, 1e-6), (200.0, 1e-6)])
def test_bad_standard_deviations_are_refused(init_std, min_std):
    with pytest.raises(InputError, match="min_std"):
        ModulePolicy(nn.Linear(5, 3), CONTINUOUS, init_std, min_std)
