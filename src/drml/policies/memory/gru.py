"""Gated recurrent unit, in the form that applies the reset gate after the recurrent product, as torch and cuDNN do.

    r = σ(W_r x + U_r h + b_r)                 reset
    z = σ(W_z x + U_z h + b_z)                 update
    n = tanh(W_n x + b_n + r ⊙ (U_n h + c_n))  candidate
    h′ = (1 − z) ⊙ n + z ⊙ h

Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078, eqs. 5-8. Weights lie as in `torch.nn.GRU`. RL² (Duan et al.
2016, https://arxiv.org/abs/1611.02779) remembers with it, 256 units wide.
"""

from collections.abc import Callable
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
    starts_of,
    to_inputs,
    to_weights,
)

GATES = 3
FEW = 4  # sequences, below which torch's cell takes a fifth of the time of a step of the many
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

    def step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor | None) -> tuple[Tensor, Tree]:
        """Return h′ `[N, H]` and the next state."""
        weights, hidden = [params[name] for name in NAMES], cast(Tensor, state["hidden"])
        if torch.is_grad_enabled() or torch.compiler.is_exporting() or len(inputs) < FEW:  # a graph has any length
            hidden = torch.gru_cell(inputs, cleared(hidden, starts), *weights)
        else:
            hidden = _unrolled(starts_of(starts, inputs).unsqueeze(0), inputs.unsqueeze(0), hidden, *weights)[1][1]
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
        gates, states = _unrolled(starts, inputs, hidden, *weights)
        ctx.save_for_backward(starts, inputs, hidden, *weights, gates, states)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        starts, inputs, hidden, *weights = ctx.saved_tensors[:-2]
        if torch.is_grad_enabled():
            return None, *differentiate(_by_steps(starts), (inputs, hidden, *weights), grads)
        gates, states = ctx.saved_tensors[-2:]
        before = cleared(states[:-1], starts) if bool(starts.any()) else states[:-1]
        slopes = _local_slopes(gates, before)
        to_hidden = _back_through_time(slopes, gates[1], weights[1], grads[0], starts)
        n, z, r, m = slopes
        to_n, to_z, to_r, to_m = slopes.sum((1, 2))
        return (
            None,
            to_inputs((r, z, n), weights[0]) if ctx.needs_input_grad[1] else None,
            to_hidden,
            to_weights((r, z, n), inputs),
            to_weights((r, z, m), before),
            torch.cat([to_r, to_z, to_n]),
            torch.cat([to_r, to_z, to_m]),
        )


def _unrolled(starts: Tensor, inputs: Tensor, hidden: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return r, z, m and n of all steps, `[4, T, N, H]`, and the states from before the first step on `[T + 1, N, H]`.

    m = U_n h + c_n is what r multiplies.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    size = hidden.shape[1]
    always, candidate_bias = bias_hh.split([2 * size, size])
    gates = inputs.new_empty(4, len(inputs), *hidden.shape)
    r, z, m, n = gates
    from_inputs(inputs, weight_ih, bias_ih + torch.cat([always, torch.zeros_like(candidate_bias)]), (r, z, n))
    m.copy_(candidate_bias)
    states = inputs.new_empty(len(inputs) + 1, *hidden.shape)
    states[0] = hidden
    recurrent = weight_hh.unflatten(0, (GATES, -1)).transpose(1, 2)  # [3, H, H]
    minus_one = inputs.new_tensor(-1.0)
    of_steps = (starts, *gates, states[:-1], states[1:])
    several = (gates[:3].unbind(1), gates[:2].unbind(1))  # sums that wait for h, and gates
    for some, starts_t, r, z, m, n, before, after, sums, r_and_z in zip(
        starts.any(1).tolist(), *of_steps, *several, strict=True
    ):
        h = cleared(before, starts_t) if some else before
        sums.baddbmm_(h.expand(GATES, -1, -1), recurrent)
        r_and_z.sigmoid_()
        n.addcmul_(r, m).mul_(2.0).sigmoid_()
        torch.add(minus_one, n, alpha=2.0, out=n)  # tanh x = 2 σ(2x) − 1, in less than half of the library's time
        torch.lerp(n, h, z, out=after)
    return gates, states


def _local_slopes(gates: Tensor, before: Tensor) -> Tensor:
    """Return, for all steps at once, what ∂h′ will multiply to make ∂n and ∂z, and what ∂n will to make ∂r and ∂m.

    ∂n, ∂z and ∂r are those of the sums inside n, z and r; `[4, T, N, H]`.
    """
    r, z, m, n = gates
    slopes = torch.empty_like(gates)
    to_n, to_z, to_r, to_m = slopes
    kept = 1.0 - z
    torch.mul(n, n, out=to_n).neg_().add_(1.0).mul_(kept)
    torch.sub(before, n, out=to_z).mul_(z).mul_(kept)
    torch.sub(1.0, r, out=to_r).mul_(r).mul_(m)
    to_m.copy_(r)
    return slopes


def _back_through_time(slopes: Tensor, update: Tensor, weight: Tensor, grads: Tensor, starts: Tensor) -> Tensor:
    """Turn local slopes into gradients, last step first, and return the gradient of the first hidden state."""
    u_r, u_z, u_n = gate_matrices(weight, GATES)
    recurrent = torch.stack([u_z, u_r, u_n])
    to_hidden = torch.zeros_like(grads[0])
    several = (slopes[:2].unbind(1), slopes[2:].unbind(1), slopes[1:].unbind(1))  # n and z; r and m; all but n
    steps = list(zip(starts.any(1).tolist(), starts, grads, update, slopes[0], *several, strict=True))
    for some, starts_t, grad, z, to_n, to_n_and_z, to_r_and_m, to_sums in reversed(steps):
        to_hidden.add_(grad)
        to_n_and_z.mul_(to_hidden)
        to_r_and_m.mul_(to_n)
        to_hidden.mul_(z).addbmm_(to_sums, recurrent)
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
