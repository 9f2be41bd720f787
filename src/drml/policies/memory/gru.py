"""Gated recurrent unit, in the form that applies the reset gate after the recurrent product, as torch and cuDNN do.

    r = σ(W_r x + U_r h + b_r)                 reset
    z = σ(W_z x + U_z h + b_z)                 update
    n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))  candidate
    h′ = (1 − z) ⊙ n + z ⊙ h

Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078, eqs. 5-8. Weights lie as in `torch.nn.GRU`. RL² (Duan et al.
2016, https://arxiv.org/abs/1611.02779) remembers with it, 256 units wide.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.autograd import Function

from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.policies.memory.gates import (
    cleared,
    differentiate,
    from_inputs,
    gate_matrices,
    init_gates,
    tanh_,
    to_inputs,
    to_weights,
)

GATES = 3
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@final
@dataclass(frozen=True)
class GRU:
    """Gated recurrent unit; its outputs are its state."""

    input_size: int
    size: int
    """H, number of units."""

    @property
    def output_size(self) -> int:
        """Return H."""
        return self.size

    def init(self, rng: Streams) -> Params:
        """Return Xavier input weights, orthogonal recurrent weights and zero biases."""
        return init_gates(GATES, self.input_size, self.size, rng)

    def start(self, batch: int, like: Tensor) -> Tree:
        """Return zeros."""
        return {"hidden": like.new_zeros(batch, self.size)}

    def step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return h′ `[N, H]` and the next state."""
        hidden = cleared(cast(Tensor, state["hidden"]), starts)
        hidden = torch.gru_cell(inputs, hidden, *(params[name] for name in NAMES))
        return hidden, {"hidden": hidden}

    def sequence(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return h′ of every step `[T, N, H]` and the last state."""
        weights = [params[name] for name in NAMES]
        outputs = cast(Tensor, _Sequence.apply(starts, inputs, state["hidden"], *weights))
        return outputs, {"hidden": outputs[-1]}


@final
class _Sequence(Function):
    @staticmethod
    def forward(ctx: Any, starts: Tensor, inputs: Tensor, hidden: Tensor, *weights: Tensor) -> Tensor:  # noqa: ANN401
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        always, candidate_bias = bias_hh.split([2 * len(bias_hh) // GATES, len(bias_hh) // GATES])
        bias = bias_ih + torch.cat([always, torch.zeros_like(candidate_bias)])
        gates = from_inputs(inputs, weight_ih, bias, GATES)  # [3, T, N, H]
        through = torch.empty_like(gates[0])  # [T, N, H], U_n h + c_n, which the reset gate multiplies
        states = torch.empty((len(inputs) + 1, *hidden.shape), dtype=hidden.dtype, device=hidden.device)
        states[0] = hidden
        u_r, u_z, u_n = (matrix.t().contiguous() for matrix in gate_matrices(weight_hh, GATES))
        some_start = starts.any(1).tolist()
        steps = zip(some_start, starts, *gates, through, states[:-1], states[1:], strict=True)
        for some, starts_t, r, z, n, m, before, after in steps:
            h = cleared(before, starts_t) if some else before
            r.addmm_(h, u_r).sigmoid_()
            z.addmm_(h, u_z).sigmoid_()
            torch.addmm(candidate_bias, h, u_n, out=m)
            torch.lerp(tanh_(n.addcmul_(r, m)), h, z, out=after)
        ctx.save_for_backward(starts, inputs, hidden, *weights, gates, through, states)
        ctx.some_start = some_start
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        starts, inputs, hidden, *weights = ctx.saved_tensors[:-3]
        if torch.is_grad_enabled():
            return None, *differentiate(_by_steps(starts), (inputs, hidden, *weights), grads)
        gates, through, states = ctx.saved_tensors[-3:]
        before = cleared(states[:-1], starts) if any(ctx.some_start) else states[:-1]
        slopes = _local_slopes(gates, through, before)
        to_hidden = _back_through_time(slopes, gates, weights[1], grads[0], starts, ctx.some_start)
        r, z, n, m = slopes
        to_biases = slopes.sum((1, 2))
        return (
            None,
            to_inputs(slopes[:3], weights[0]) if ctx.needs_input_grad[1] else None,
            to_hidden,
            to_weights((r, z, n), inputs),
            to_weights((r, z, m), before),
            to_biases[:3].flatten(),
            to_biases[[0, 1, 3]].flatten(),
        )


def _local_slopes(gates: Tensor, through: Tensor, before: Tensor) -> Tensor:
    """Return, for all steps at once, what will be multiplied by ∂h′ to make ∂z and ∂n, and by ∂n to make ∂r."""
    r, z, n = gates
    slopes = torch.empty((4, *r.shape), dtype=r.dtype, device=r.device)  # of the sums inside r, z, n, and of m
    kept = 1.0 - z
    torch.sub(1.0, r, out=slopes[0]).mul_(r).mul_(through)
    torch.sub(before, n, out=slopes[1]).mul_(z).mul_(kept)
    torch.mul(n, n, out=slopes[2]).neg_().add_(1.0).mul_(kept)
    return slopes


def _back_through_time(
    slopes: Tensor, gates: Tensor, weight: Tensor, grads: Tensor, starts: Tensor, some_start: Sequence[bool]
) -> Tensor:
    """Turn local slopes into gradients, last step first, and return the gradient of the first hidden state."""
    u_r, u_z, u_n = gate_matrices(weight, GATES)
    to_hidden = torch.zeros_like(grads[0])
    steps = list(zip(some_start, starts, grads, *gates[:2], *slopes, strict=True))
    for some, starts_t, grad, r, z, to_r, to_z, to_n, to_m in reversed(steps):
        to_hidden.add_(grad)
        to_z.mul_(to_hidden)
        to_n.mul_(to_hidden)
        to_r.mul_(to_n)
        torch.mul(to_n, r, out=to_m)
        to_hidden.mul_(z).addmm_(to_r, u_r).addmm_(to_z, u_z).addmm_(to_m, u_n)
        if some:
            to_hidden.masked_fill_(starts_t.unsqueeze(-1), 0.0)
    return to_hidden


def _by_steps(starts: Tensor) -> Callable[..., tuple[Tensor, ...]]:
    def run(inputs: Tensor, hidden: Tensor, *weights: Tensor) -> tuple[Tensor]:
        outputs: list[Tensor] = []
        for x, starts_t in zip(inputs, starts, strict=True):
            hidden = torch.gru_cell(x, cleared(hidden, starts_t), *weights)
            outputs.append(hidden)
        return (torch.stack(outputs),)

    return run
