"""Stacked linear layers and tanh, as fast to differentiate twice as once.

torch's derivative of a batched product hands one of the two gradients on as a transposed view. From the second
derivative on, which is where meta-gradients live, element-wise operations then meet operands of different memory orders
and take ten times as long. The three products here are closed under differentiation and always in plain memory order:

    y = a b      ∂a = g bᵀ    ∂b = aᵀ g
    y = a bᵀ     ∂a = g b     ∂b = gᵀ a
    y = aᵀ b     ∂a = b gᵀ    ∂b = a g
"""

from typing import Any, Literal, cast, final

import torch
from torch import Tensor
from torch.autograd import Function

Form = Literal["ab", "abt", "atb"]
NARROW = 16  # columns below which the BLAS is several times faster on the transposed product


def product(a: Tensor, b: Tensor, form: Form) -> Tensor:
    """Return a b, a bᵀ or aᵀ b of stacked matrices `[K, ., .]`, differentiable to every order."""
    if not torch.is_grad_enabled():
        return _multiply(a, b, form)
    return cast(Tensor, _Product.apply(a, b, form))


def stacked_linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return `inputs @ weight + bias`, `[K, N, out]`, differentiable to every order.

    Args:
        inputs: `[K, N, in]`.
        weight: `[K, in, out]`.
        bias: `[K, out]`.
    """
    if not torch.is_grad_enabled():
        return _affine(inputs, weight, bias)
    return cast(Tensor, _Linear.apply(inputs, weight, bias))


def tanh(x: Tensor) -> Tensor:
    """Return tanh x `[...]` as 2 σ(2x) − 1: to one rounding of 1, in less than half of the library's time.

    Of a single row, which one copy acts by, the library's is faster than four operations.
    """
    if torch.compiler.is_exporting():
        return x.tanh()  # a graph has any number of rows
    if not torch.is_grad_enabled():
        return x.tanh() if x.numel() == x.shape[-1] else _tanh(x)
    return cast(Tensor, _Tanh.apply(x))


def _tanh(x: Tensor) -> Tensor:
    return (2.0 * x).sigmoid_().mul_(2.0).sub_(1.0)


def _affine(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _multiply(inputs, weight, "ab").add_(bias.unsqueeze(1))


def _multiply(a: Tensor, b: Tensor, form: Form) -> Tensor:
    left = a.transpose(1, 2) if form == "atb" else a
    right = b.transpose(1, 2) if form == "abt" else b
    if right.shape[2] < NARROW:
        return torch.bmm(right.transpose(1, 2), left.transpose(1, 2)).transpose(1, 2).contiguous()
    return torch.bmm(left, right)


# The context goes through `forward`: with `setup_context`, torch reads the function's signature anew at every call,
# which takes longer than many of the products.


@final
class _Product(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, form: Form) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(a, b)
        ctx.form = form
        return _multiply(a, b, form)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # noqa: ANN401
        (g,), (a, b) = grads, ctx.saved_tensors
        needs_a, needs_b, _ = ctx.needs_input_grad
        if ctx.form == "ab":
            return product(g, b, "abt") if needs_a else None, product(a, g, "atb") if needs_b else None, None
        if ctx.form == "abt":
            return product(g, b, "ab") if needs_a else None, product(g, a, "atb") if needs_b else None, None
        return product(b, g, "abt") if needs_a else None, product(a, g, "ab") if needs_b else None, None


@final
class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(inputs, weight)
        return _affine(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:  # noqa: ANN401
        (g,), (inputs, weight) = grads, ctx.saved_tensors
        to_inputs = product(g, weight, "abt") if ctx.needs_input_grad[0] else None
        return to_inputs, product(inputs, g, "atb"), g.sum(1)


@final
class _Tanh(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        y = _tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(grads[0], y)
