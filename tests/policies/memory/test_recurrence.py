"""minGRU: one step by hand, initial time scales, and the scan beneath it."""

import math

import pytest
import torch

from drml.core.rng import Streams
from drml.policies.memory.recurrence import MinGRU
from drml.policies.memory.scan import WIDE, linear_scan, reverse_linear_scan


def test_step_by_hand():
    # z = σ(0.2 * 2 + 0.1), candidate = 0.3 * 2 - 0.5 = 0.1, h = 0.5
    params = {"weight": torch.tensor([[0.2, 0.3]]).double(), "bias": torch.tensor([0.1, -0.5]).double()}
    z = 1.0 / (1.0 + math.exp(-0.5))
    expected = (1.0 - z) * 0.5 + z * 0.1
    x, state = torch.tensor([[2.0]]).double(), {"hidden": torch.tensor([[0.5]]).double()}
    memory, starts = MinGRU(1, 1, 10), torch.tensor([False])
    # the weights above are float32 numbers in float64: off by 1e-8 in relative terms
    assert memory.step(params, x, state, starts)[0].item() == pytest.approx(expected, abs=1e-7)
    assert memory.sequence(params, x[None], state, starts[None])[0].item() == pytest.approx(expected, abs=1e-7)
    assert memory.step(params, x, state, ~starts)[0].item() == pytest.approx(z * 0.1, abs=1e-7)


def test_units_remember_from_two_to_horizon_steps_at_the_start():
    bias = MinGRU(3, 500, 100).init(Streams(0))["bias"][:500]
    time = 1.0 / bias.sigmoid()  # mean steps until a unit has forgotten: 1/z = 1 + u
    assert 2.0 <= float(time.min()) < 4.0
    assert 98.0 < float(time.max()) <= 101.0
    # u is uniform on [1, 100]: its mean 50.5 is known to 99/√12/√500 = 1.3, five of which are 6.4
    assert float(time.mean()) == pytest.approx(51.5, abs=6.4)


def recurrence(decay, drive):
    state, states = torch.zeros_like(drive[0]), []
    for a, b in zip(decay, drive, strict=True):
        state = a * state + b
        states.append(state)
    return torch.stack(states)


@pytest.mark.parametrize("width", [3, WIDE])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9, 100])
def test_scans_equal_the_recurrence_and_its_gradient(steps, width):
    decay, drive = (Streams(1)[name].normal((steps, width)).double() for name in ("decay", "drive"))
    decay = decay.sigmoid()
    decay[steps // 2] = 0.0  # as where a sequence starts
    leaf = drive.clone().requires_grad_()
    expected, weights = recurrence(decay, leaf), Streams(2)["weights"].normal((steps, width)).double()
    # sums of at most a hundred decaying terms, a few roundings of 1e-16 each
    torch.testing.assert_close(linear_scan(decay, drive.clone()), expected, rtol=1e-13, atol=1e-13)
    (grad,) = torch.autograd.grad((expected * weights).sum(), leaf)
    torch.testing.assert_close(reverse_linear_scan(decay, weights.clone()), grad, rtol=1e-13, atol=1e-13)
