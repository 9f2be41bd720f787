"""GRU and LSTM: one step by hand, agreement with torch's modules, and initial weights."""

import math

import pytest
import torch

from drml.core.rng import Streams
from drml.policies.memory.gru import GRU
from drml.policies.memory.lstm import LSTM

F, H, N, T = 3, 4, 2, 6


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def no_starts(*shape):
    return torch.zeros(shape, dtype=torch.bool)


def one_unit(*columns):
    """Parameters of one unit and one input, gate by gate."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    tensors = (torch.tensor(column, dtype=torch.float64) for column in columns)
    return {
        name: value[:, None] if name.startswith("weight") else value for name, value in zip(names, tensors, strict=True)
    }


def test_gru_step_by_hand():
    # gates r, z, n; x = 2, h = 0.5
    params = one_unit([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.01, 0.02, 0.03], [0.04, 0.05, 0.06])
    r = sigmoid(0.1 * 2.0 + 0.01 + 0.4 * 0.5 + 0.04)
    z = sigmoid(0.2 * 2.0 + 0.02 + 0.5 * 0.5 + 0.05)
    n = math.tanh(0.3 * 2.0 + 0.03 + r * (0.6 * 0.5 + 0.06))
    expected = (1.0 - z) * n + z * 0.5
    x, state = torch.tensor([[2.0]]).double(), {"hidden": torch.tensor([[0.5]]).double()}
    memory = GRU(1, 1)
    assert memory.step(params, x, state, no_starts(1))[0].item() == pytest.approx(expected, abs=1e-14)
    outputs, last = memory.sequence(params, x[None], state, no_starts(1, 1))
    assert outputs.item() == pytest.approx(expected, abs=1e-14)
    assert last["hidden"].item() == pytest.approx(expected, abs=1e-14)


def test_lstm_step_by_hand():
    # gates i, f, g, o; x = 2, h = 0.5, c = -1
    params = one_unit([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.01, 0.02, 0.03, 0.04], [0.05, 0.06, 0.07, 0.08])
    i = sigmoid(0.1 * 2.0 + 0.5 * 0.5 + 0.06)
    f = sigmoid(0.2 * 2.0 + 0.6 * 0.5 + 0.08)
    g = math.tanh(0.3 * 2.0 + 0.7 * 0.5 + 0.10)
    o = sigmoid(0.4 * 2.0 + 0.8 * 0.5 + 0.12)
    cell = f * -1.0 + i * g
    hidden = o * math.tanh(cell)
    x = torch.tensor([[2.0]]).double()
    state = {"hidden": torch.tensor([[0.5]]).double(), "cell": torch.tensor([[-1.0]]).double()}
    memory = LSTM(1, 1)
    forms = memory.step(params, x, state, no_starts(1)), memory.sequence(params, x[None], state, no_starts(1, 1))
    for outputs, last in forms:
        assert outputs.item() == pytest.approx(hidden, abs=1e-14)
        assert last["hidden"].item() == pytest.approx(hidden, abs=1e-14)
        assert last["cell"].item() == pytest.approx(cell, abs=1e-14)


@pytest.mark.parametrize(("memory", "module"), [(GRU(F, H), torch.nn.GRU), (LSTM(F, H), torch.nn.LSTM)])
def test_agrees_with_torchs_module_and_its_gradients(memory, module):
    theirs = module(F, H).double()
    params = {
        name: (value + 0.3 * Streams(1)[name].normal(value.shape)).double().requires_grad_()
        for name, value in memory.init(Streams(0)).items()
    }
    theirs.load_state_dict({f"{name}_l0": value for name, value in params.items()})
    inputs = Streams(2)["x"].normal((T, N, F)).double()
    outputs, last = memory.sequence(params, inputs, memory.start(N, inputs), no_starts(T, N))
    expected, expected_last = theirs(inputs)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)  # float64, six steps of a few roundings
    expected_last = expected_last if isinstance(expected_last, tuple) else (expected_last,)
    for value, other in zip(last.values(), expected_last, strict=True):
        torch.testing.assert_close(value, other[0], rtol=1e-12, atol=1e-12)
    grads = torch.autograd.grad(outputs.square().sum(), list(params.values()))
    expected.square().sum().backward()
    for name, grad in zip(params, grads, strict=True):
        torch.testing.assert_close(grad, getattr(theirs, f"{name}_l0").grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("memory", [GRU(F, H), LSTM(F, H)])
def test_initial_weights_are_orthogonal_and_within_xaviers_bound(memory):
    params = memory.init(Streams(0))
    for matrix in params["weight_hh"].view(-1, H, H):
        torch.testing.assert_close(matrix @ matrix.t(), torch.eye(H), rtol=0.0, atol=1e-6)  # float32, sums of four
    largest = float(params["weight_ih"].abs().max())
    assert 0.5 * math.sqrt(6.0 / (F + H)) < largest <= math.sqrt(6.0 / (F + H))
    assert not params["bias_hh"].any()
    forget = params["bias_ih"].view(-1, H).mean(1)
    assert forget.tolist() == ([0.0, 1.0, 0.0, 0.0] if isinstance(memory, LSTM) else [0.0, 0.0, 0.0])
