"""Keras models as policies: what they take, what is refused and with which way out, and what comes back to Keras."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec
from drml.policies.keras_module import KerasModule, as_module, is_keras
from drml.policies.module import ModulePolicy

keras = pytest.importorskip("keras")
L, ops = keras.layers, keras.ops
SPEC = EnvSpec(4, ActionSpec("continuous", 2), 10)


def network(*middle, obs_size=4):
    return keras.Sequential([keras.Input((obs_size,)), *middle, L.Dense(2)])


def functional(build):
    obs = keras.Input((4,))
    return keras.Model(obs, build(obs))


class Own(keras.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1], 3), initializer="glorot_uniform", name="factor")

    def call(self, x):
        return ops.tanh(ops.matmul(x, self.factor))


class Counting(keras.Layer):
    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x):
        self.calls.assign(self.calls + 1.0)
        return x * 1.0


class Written(keras.Model):
    """A model in code, which Keras makes again by its class."""

    def __init__(self):
        super().__init__()
        self.first, self.last = L.Dense(3, activation="gelu"), L.Dense(2)

    def call(self, x):
        return self.last(self.first(x))

    def get_config(self):
        return {}


class Stubborn(Written):
    def get_config(self):
        return {"size": 3}


class Fused(keras.Layer):
    """Torch's own layer normalisation, hidden from all lists."""

    def call(self, x):
        return torch.nn.functional.layer_norm(x, (x.shape[-1],)) if isinstance(x, torch.Tensor) else x


def called(model):
    model(torch.zeros(1, 4))
    return model


def attention(obs):
    rows = L.Reshape((2, 2))(obs)
    query, key = L.Dense(2)(rows), L.Dense(2, use_bias=False)(rows)  # softmax would not see the key's bias
    weights = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 2, 1))))
    return L.Dense(2)(L.Flatten()(ops.matmul(weights, rows)))


TAKEN = {
    "dense": lambda: network(L.Dense(8, activation="relu")),
    "functional": lambda: functional(lambda obs: L.Dense(2)(L.Dense(4, activation="tanh")(obs) + ops.sin(obs))),
    "written": lambda: called(Written()),
    "own layer": lambda: network(Own()),
    "gru over parts": lambda: network(L.Reshape((2, 2)), L.GRU(4)),
    "bidirectional lstm": lambda: network(L.Reshape((2, 2)), L.Bidirectional(L.LSTM(4))),
    "group norm": lambda: network(L.Dense(8), L.GroupNormalization(1)),
    "rms norm": lambda: network(L.Dense(8), L.RMSNormalization()),
    "convolution, channels first": lambda: network(
        L.Reshape((1, 2, 2)), L.Conv2D(3, 2, data_format="channels_first"), L.Flatten()
    ),
    "convolution in a row": lambda: network(L.Reshape((4, 1)), L.Conv1D(3, 2), L.MaxPooling1D(2), L.Flatten()),
    "attention by hand": lambda: functional(attention),
    "dropout of nothing": lambda: network(L.Dropout(0.0)),
    "in a torch module": lambda: nn.Sequential(KerasModule(network(L.Dense(3))), nn.Tanh()),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_model_is_taken_and_acts_as_keras_does(name):
    model = TAKEN[name]()
    policy = ModulePolicy(model, SPEC)
    obs = Streams(1)["obs"].normal((1, 6, 4))
    ours = policy.step(policy.init(Streams(0)), obs, {})[0].mean[0]
    # float32: the same kernels, or sums of a dozen terms in another order
    torch.testing.assert_close(ours, model(obs[0]).detach(), rtol=1e-6, atol=1e-6)


REFUSED = {
    "layer norm": (
        lambda: network(L.LayerNormalization()),
        r"LayerNormalization\).*silently wrong.*GroupNormalization",
    ),
    "batch norm": (lambda: network(L.BatchNormalization()), r"BatchNormalization\).*mixes the rows.*RMSNorm"),
    "convolution": (lambda: network(L.Reshape((2, 2, 1)), L.Conv2D(3, 2), L.Flatten()), "data_format=.channels_first"),
    "attention": (
        lambda: functional(lambda obs: L.Flatten()(L.MultiHeadAttention(1, 2)(*[L.Reshape((2, 2))(obs)] * 2))[:, :2]),
        r"MultiHeadAttention\).*no second derivative.*keras.ops.softmax",
    ),
    "dropout": (lambda: network(L.Dropout(0.1)), r"Dropout\).*random in training"),
    "noise": (lambda: network(L.GaussianNoise(0.1)), r"GaussianNoise\).*random"),
    "flip": (lambda: network(L.Reshape((2, 2, 1)), L.RandomFlip(), L.Flatten()), r"RandomFlip\).*random"),
    "dropout in a gru": (lambda: network(L.Reshape((2, 2)), L.GRU(4, dropout=0.2)), r"GRU\).*recurrent_dropout to 0"),
    "state": (
        lambda: keras.Sequential([keras.Input(batch_shape=(6, 2, 2)), L.GRU(4, stateful=True), L.Dense(2)]),
        r"GRU\).*keeps a state.*stateful=False",
    ),
    "counter": (lambda: network(Counting()), "changes a state of its own"),
    "regularizer": (lambda: network(L.Dense(3, kernel_regularizer="l2")), "regularizer, which.*ignore"),
    "constraint": (lambda: network(L.Dense(3, kernel_constraint="non_neg")), "constraint, which.*ignore"),
    "activity": (lambda: network(L.Dense(3, activity_regularizer="l2")), "activity_regularizer"),
    "mixed precision": (lambda: network(L.Dense(3, dtype="mixed_bfloat16")), "computes in bfloat16"),
    "float64": (lambda: network(L.Dense(3, dtype="float64")), "computes in float64.*float32"),
    "torch inside": (lambda: network(L.TorchModuleWrapper(nn.Linear(4, 3))), "torch modules alone"),
    "no weights": (lambda: keras.Sequential([L.Dense(2)]), r"no weights yet; begin it with keras.Input"),
    "layer": (lambda: L.Dense(2), r"is a Keras layer \(Dense\), expected a model"),
    "two outputs": (lambda: functional(lambda obs: [L.Dense(2)(obs), L.Dense(2)(obs)]), "gives a list"),
    "outputs": (lambda: keras.Sequential([keras.Input((4,)), L.Dense(3)]), r"to \[6, 3\], expected \[6, 2\]"),
    "inputs": (lambda: network(obs_size=5), r"fails at observations \[6, 4\]"),
    "not to be made again": (lambda: called(Stubborn()), "cannot be made again.*get_config"),
    "fused": (lambda: network(L.Dense(8), Fused()), "higher derivatives are wrong"),
    "bare in a torch module": (lambda: nn.Sequential(network(), nn.Tanh()), r"submodule '0'.*KerasModule\(model\)"),
    "all frozen": (lambda: _frozen(network()), "nothing to learn"),
}


def _frozen(model):
    model.trainable = False
    return model


@pytest.mark.parametrize("name", REFUSED)
def test_unfit_models_are_refused_in_one_line_with_a_way_out(name):
    make, line = REFUSED[name]
    with pytest.raises(InputError, match=line) as caught:
        ModulePolicy(make(), SPEC)
    assert "\n" not in str(caught.value)


def test_names_of_parameters_do_not_count_what_was_made_before():
    first, second = (ModulePolicy(network(L.Dense(3)), SPEC).init(Streams(0)) for _ in range(2))
    assert list(first) == list(second) == ["0_kernel", "1_bias", "2_kernel", "3_bias", "log_std"]


def test_the_model_given_is_neither_changed_nor_read_again():
    model = network(L.Dense(3))
    before = [value.detach().numpy().copy() for value in (variable.value for variable in model.weights)]
    policy = ModulePolicy(model, SPEC)
    params = policy.init(Streams(0))
    params["0_kernel"].zero_()
    policy.module.double()
    assert all(np.array_equal(a.value.detach().numpy(), b) for a, b in zip(model.weights, before, strict=True))
    model.set_weights([value + 1.0 for value in before])
    assert np.array_equal(policy.init(Streams(0))["0_kernel"], before[0])


def test_what_was_learned_goes_back_into_a_model_of_the_same_kind(tmp_path):
    model = network(L.Dense(3, activation="tanh"), L.GroupNormalization(1))
    policy = ModulePolicy(model, SPEC)
    learned = {name: value + 0.5 for name, value in policy.init(Streams(0)).items()}
    filled = policy.module.filled(learned)
    obs = Streams(1)["obs"].normal((1, 6, 4))
    expected = policy.step(learned, obs, {})[0].mean[0].detach().numpy()
    assert np.abs(filled(obs[0]).detach().numpy() - expected).max() < 1e-6
    assert np.abs(model(obs[0]).detach().numpy() - expected).max() > 0.1


def test_frozen_weights_are_constants():
    model = network(L.Dense(3), L.Dense(3))
    model.layers[0].trainable = False
    policy = ModulePolicy(model, SPEC)
    assert [tuple(p.shape) for p in policy.init(Streams(0)).values()] == [(3, 3), (3,), (3, 2), (2,), (2,)]


def test_copies_and_types_of_the_module():
    module = KerasModule(network(L.Dense(3)))
    twice = copy.deepcopy(module).double()
    assert twice.model is not module.model and module.model.dtype == "float32"
    assert copy.deepcopy(module).model is module.model  # code, which need not be one that Keras can copy
    obs = torch.ones(2, 4)
    assert float((module(obs).double() - twice(obs.double())).detach().abs().max()) < 1e-6
    assert twice.float()(obs).dtype == torch.float32


def test_anything_else_is_no_network():
    assert as_module(module := nn.Linear(4, 2)) is module and not is_keras(module)
    with pytest.raises(InputError, match=r"is a list, expected a torch\.nn\.Module or a Keras model"):
        as_module([1])


def test_keras_is_not_imported_for_torch_modules():
    source = (
        "import sys; from torch import nn; from drml.policies.module import ModulePolicy\n"
        "from drml.core.types import ActionSpec, EnvSpec\n"
        "ModulePolicy(nn.Linear(4, 2), EnvSpec(4, ActionSpec('continuous', 2), 10)); print('keras' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
