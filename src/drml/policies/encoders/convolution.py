"""Convolutions with one set of weights per task, closed under differentiation.

Every derivative of a convolution is again one of three forms of the same trilinear product T(x, w, g) = Σ g · (x * w):

    y = output(x, w)     ∂x = input(g, w)     ∂w = weight(x, g)
    x = input(g, w)      ∂g = output(x, w)    ∂w = weight(x, g)
    w = weight(x, g)     ∂x = input(g, w)     ∂g = output(x, w)

where the letter on the left stands, on the right, for the gradient that arrives. Each form is one of the library's own
kernels, so there is no derivative of any order that is not exact, and none that takes longer than a first one.

K sets of weights are K calls where the pictures of a task are many or large, and one call of K groups where they are
not: there a call costs more than its arithmetic. The choice rests on one task's pictures, never on K.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast, final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input, conv2d_weight

Form = Literal["output", "input", "weight"]
_Factors = tuple[Tensor, Tensor, Form]
GROUPED_BELOW = 20_000  # numbers that a task's pictures have, up to which one call of K groups is the faster one


@final
@dataclass(frozen=True)
class Geometry:
    """Sizes of one layer."""

    channels: int
    """Channels of the pictures."""
    filters: int
    """Channels of what is made of them."""
    height: int
    width: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Return the shape of one set of weights."""
        return self.filters, self.channels, self.kernel, self.kernel

    @property
    def out(self) -> tuple[int, int]:
        """Return height and width of what is made."""
        high, wide = ((side + 2 * self.padding - self.kernel) // self.stride + 1 for side in (self.height, self.width))
        return high, wide


def convolve(inputs: Tensor, weight: Tensor, bias: Tensor, layer: Geometry) -> Tensor:
    """Return the layer's outputs `[K, N, filters, h, w]`, differentiable to every order.

    Args:
        inputs: `[K, N, channels, height, width]`.
        weight: shared `[filters, channels, k, k]`, or stacked `[K, ...]`.
        bias: shared `[filters]`, or stacked `[K, ...]`.
        layer: its sizes.
    """
    if weight.dim() == 4:
        shared = _plus(_product(inputs.flatten(0, 1)[None], weight[None], "output", layer), bias.view(-1, 1, 1))
        return shared[0].unflatten(0, inputs.shape[:2])
    return _plus(_product(inputs, weight, "output", layer), bias.view(len(bias), 1, -1, 1, 1))


def _plus(products: Tensor, bias: Tensor) -> Tensor:
    return products + bias if torch.is_grad_enabled() else products.add_(bias)


def _product(a: Tensor, b: Tensor, form: Form, layer: Geometry) -> Tensor:
    if not torch.is_grad_enabled():
        return _compute(a, b, form, layer)
    return cast(Tensor, _Product.apply(a, b, form, layer))


@final
class _Product(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, form: Form, layer: Geometry) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(a, b)
        ctx.form, ctx.layer = form, layer
        return _compute(a, b, form, layer)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401
        (g,), (a, b), layer = grads, ctx.saved_tensors, ctx.layer
        needs_a, needs_b, *_ = ctx.needs_input_grad
        to_a, to_b = _adjoints(a, b, g, ctx.form)
        return (
            _product(*to_a, layer) if needs_a else None,
            _product(*to_b, layer) if needs_b else None,
            None,
            None,
        )


def _adjoints(a: Tensor, b: Tensor, g: Tensor, form: Form) -> tuple[_Factors, _Factors]:
    """Return what gives the gradients of the factors a and b of one form, where `g` is what arrives."""
    if form == "output":  # of x and w; g is like y
        return (g, b, "input"), (a, g, "weight")
    if form == "input":  # of g and w; what arrives is like x
        return (g, b, "output"), (g, a, "weight")
    return (b, g, "input"), (a, g, "output")  # of x and g; what arrives is like w


def _compute(a: Tensor, b: Tensor, form: Form, layer: Geometry) -> Tensor:
    """Return one form for `[K, ...]` of its two factors."""
    if len(a) == 1:
        return _of_one(a[0], b[0], form, layer).unsqueeze(0)
    numbers = layer.channels * layer.height * layer.width * (b if form == "weight" else a).shape[1]
    if numbers > GROUPED_BELOW:
        return torch.stack([_of_one(x, y, form, layer) for x, y in zip(a, b, strict=True)])
    return _of_all(a, b, form, layer)


def _of_one(a: Tensor, b: Tensor, form: Form, layer: Geometry, groups: int = 1) -> Tensor:
    """Return one form of one set of weights, or of `groups` sets whose channels lie side by side."""
    stride, padding = layer.stride, layer.padding
    if form == "output":
        return conv2d(a, b, None, stride, padding, 1, groups)
    if form == "input":
        shape = (a.shape[0], groups * layer.channels, layer.height, layer.width)
        return conv2d_input(shape, b, a, stride, padding, 1, groups)
    shape = (groups * layer.filters, *layer.weight_shape[1:])
    return conv2d_weight(a, shape, b, stride, padding, 1, groups)


def _of_all(a: Tensor, b: Tensor, form: Form, layer: Geometry) -> Tensor:
    sets = len(a)
    if form == "weight":
        return _of_one(_abreast(a), _abreast(b), form, layer, sets).unflatten(0, (sets, -1))
    found = _of_one(_abreast(a), b.flatten(0, 1), form, layer, sets)
    return found.unflatten(1, (sets, -1)).transpose(0, 1).contiguous()


def _abreast(pictures: Tensor) -> Tensor:
    """Return pictures `[K, N, C, h, w]` as `[N, K·C, h, w]`."""
    return pictures.transpose(0, 1).flatten(1, 2)
