"""Stacked products: the values of plain matrix algebra, and derivatives that hold to second order in float64."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from drml.core.rng import Streams
from drml.policies.stacked import NARROW, product, stacked_linear, tanh

PLAIN = {
    "ab": lambda a, b: a @ b,
    "abt": lambda a, b: a @ b.transpose(1, 2),
    "atb": lambda a, b: a.transpose(1, 2) @ b,
}
SHAPES = {
    "ab": ((2, 3, 4), (2, 4, 5)),
    "abt": ((2, 3, 4), (2, 5, 4)),
    "atb": ((2, 4, 3), (2, 4, 5)),
}


def leaf(name, *shape):
    return Streams(0)[name].normal(shape).double().requires_grad_()


@pytest.mark.parametrize("form", PLAIN)
def test_product_is_matrix_algebra_and_twice_differentiable(form):
    a, b = (leaf(name, *shape) for name, shape in zip("ab", SHAPES[form], strict=True))
    # the same sums of at most five float64 products, in any order: a few roundings of 1e-16
    assert torch.allclose(product(a, b, form), PLAIN[form](a, b), rtol=0.0, atol=1e-14)
    assert gradcheck(lambda x, y: product(x, y, form), (a, b))
    assert gradgradcheck(lambda x, y: product(x, y, form), (a, b))


@pytest.mark.parametrize("columns", [1, NARROW - 1, NARROW, NARROW + 1])
def test_linear_is_right_on_both_sides_of_the_narrow_case(columns):
    inputs, weight, bias = leaf("x", 2, 3, 2), leaf("w", 2, 2, columns), leaf("b", 2, columns)
    expected = torch.baddbmm(bias.unsqueeze(1), inputs, weight)
    assert torch.allclose(stacked_linear(inputs, weight, bias), expected, rtol=0.0, atol=1e-14)
    assert gradcheck(stacked_linear, (inputs, weight, bias))
    assert gradgradcheck(stacked_linear, (inputs, weight, bias))


def test_tanh_is_within_two_roundings_and_twice_differentiable():
    x = torch.linspace(-30.0, 30.0, 2001)
    # a float32 σ is off by one unit in its last place (6e-8) at most; doubling doubles that, subtracting rounds again
    assert (tanh(x).double() - x.double().tanh()).abs().max() <= 2 * 1.2e-7
    y = leaf("y", 7)
    assert gradcheck(tanh, (y,))
    assert gradgradcheck(tanh, (y,))
