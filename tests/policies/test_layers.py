import pytest
import torch
from torch.nn import functional

from drml.core.rng import Streams
from drml.policies.layers import LayerNorm, layer_norm

STEP = (
    1e-5  # of central differences in float64: truncation ~ 1e-10, rounding ~ 1e-16 / 1e-5 = 1e-11, times O(10) values
)
EPS = 1e-5


def inputs(seed=0):
    rng = Streams(seed)
    x, w, b = rng["x"].normal((4, 6)).double(), rng["w"].normal((6,)).double(), rng["b"].normal((6,)).double()
    return [x, w, b]


def derivatives(fn, point, direction):
    """∇f, ∇(v·∇f) and ∇(v·∇(v·∇f)) of f = Σ c sin(fn), as vectors."""
    theta = [value.clone().requires_grad_() for value in point]
    c = torch.linspace(0.5, 1.5, 24, dtype=torch.float64).view(4, 6)
    value = (c * fn(*theta).sin()).sum()
    orders = []
    for _ in range(3):
        grads = torch.autograd.grad(value, theta, create_graph=True, materialize_grads=True)
        orders.append(torch.cat([grad.detach().flatten() for grad in grads]))
        value = sum((grad * v).sum() for grad, v in zip(grads, direction, strict=True))
    return orders


def errors(fn):
    """Errors of the second and third derivative against differences of the first and second."""
    point, direction = inputs(0), [v / 4.0 for v in inputs(1)]
    at = derivatives(fn, point, direction)
    ahead = derivatives(fn, [p + STEP * v for p, v in zip(point, direction, strict=True)], direction)
    behind = derivatives(fn, [p - STEP * v for p, v in zip(point, direction, strict=True)], direction)
    return [float((at[i + 1] - (ahead[i] - behind[i]) / (2 * STEP)).abs().max()) for i in (0, 1)]


def ours(x, w, b):
    return layer_norm(x, w, b, EPS)


def fused(x, w, b):
    return functional.layer_norm(x, (6,), w, b, EPS)


def test_equals_the_fused_layer_norm_and_its_gradient():
    point = inputs()
    torch.testing.assert_close(ours(*point), fused(*point), rtol=1e-13, atol=1e-14)  # float64, a dozen roundings
    gradients = [derivatives(fn, point, inputs(1))[0] for fn in (ours, fused)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-13)


def test_second_and_third_derivatives_are_exact():
    second, third = errors(ours)
    assert second < 1e-8
    assert third < 1e-7


def test_the_fused_third_derivative_is_wrong():
    """The day that this fails, torch's LayerNorm may be let in."""
    assert errors(fused)[1] > 1e-3


def test_stacked_layers_equal_one_by_one():
    x = Streams(3)["x"].normal((2, 4, 6)).double()
    w, b = Streams(3)["w"].normal((2, 6)).double(), Streams(3)["b"].normal((2, 6)).double()
    stacked = torch.vmap(ours)(x, w, b)
    torch.testing.assert_close(
        stacked, torch.stack([ours(*one) for one in zip(x, w, b, strict=True)]), rtol=1e-14, atol=0
    )


def test_module_reads_the_state_of_torchs():
    theirs, layer = torch.nn.LayerNorm(6), LayerNorm(6)
    x = Streams(0)["x"].normal((4, 6))
    torch.testing.assert_close(layer(x), theirs(x))
    torch.nn.init.normal_(theirs.weight)
    torch.nn.init.normal_(theirs.bias)
    layer.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(layer(x), theirs(x))
    assert layer.eps == theirs.eps


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_inputs_give_the_bias(value):
    x = torch.full((2, 6), value, requires_grad=True)
    y = LayerNorm(6)(x)
    assert torch.equal(y, torch.zeros(2, 6))
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert bool(grad.isfinite().all())
