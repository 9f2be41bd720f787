"""Long short-term memory.

    i, f, o = σ(W x + U h + b + d)             input, forget and output gate
    g = tanh(W_g x + U_g h + b_g + d_g)        candidate
    c′ = f ⊙ c + i ⊙ g
    h′ = o ⊙ tanh c′

Source: Hochreiter & Schmidhuber 1997; the forget gate is that of Gers et al. 2000, and its bias starts at 1 as in
Jozefowicz et al. 2015, section 2.2. Weights lie as in `torch.nn.LSTM`, gates in the order i, f, g, o.
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

GATES = 4
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
FORGET_BIAS = 1.0


@final
@dataclass(frozen=True)
class LSTM:
    """Long short-term memory; its outputs are h′."""

    input_size: int
    size: int
    """H, number of units."""

    @property
    def output_size(self) -> int:
        """Return H."""
        return self.size

    def init(self, rng: Streams) -> Params:
        """Return Xavier input weights, orthogonal recurrent weights and zero biases, but 1 for the forget gate."""
        params = init_gates(GATES, self.input_size, self.size, rng)
        params["bias_ih"][self.size : 2 * self.size] = FORGET_BIAS
        return params

    def start(self, batch: int, like: Tensor) -> Tree:
        """Return zeros."""
        return {"hidden": like.new_zeros(batch, self.size), "cell": like.new_zeros(batch, self.size)}

    def step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor | None) -> tuple[Tensor, Tree]:
        """Return h′ `[N, H]` and the next state."""
        before = [cleared(cast(Tensor, state[name]), starts) for name in ("hidden", "cell")]
        hidden, cell = torch.lstm_cell(inputs, before, *(params[name] for name in NAMES))
        return hidden, {"hidden": hidden, "cell": cell}

    def sequence(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return h′ of every step `[T, N, H]` and the last state."""
        weights = [params[name] for name in NAMES]
        result = _Sequence.apply(starts, inputs, state["hidden"], state["cell"], *weights)
        outputs, cell = cast(tuple[Tensor, Tensor], result)
        return outputs, {"hidden": outputs[-1], "cell": cell}


@final
class _Sequence(Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        starts: Tensor,
        inputs: Tensor,
        hidden: Tensor,
        cell: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        gates = inputs.new_empty(GATES, len(inputs), *hidden.shape)
        from_inputs(inputs, weight_ih, bias_ih + bias_hh, gates.unbind(0))
        squashed = torch.empty_like(gates[0])  # [T, N, H], tanh c′
        states = torch.empty((2, len(inputs) + 1, *hidden.shape), dtype=hidden.dtype, device=hidden.device)
        hiddens, cells = states
        hiddens[0], cells[0] = hidden, cell
        matrices = [matrix.t().contiguous() for matrix in gate_matrices(weight_hh, GATES)]
        some_start = starts.any(1).tolist()
        befores, afters = states[:, :-1], states[:, 1:]
        steps = zip(some_start, starts, *gates, squashed, *befores, *afters, strict=True)
        for some, starts_t, i, f, g, o, s, h_before, c_before, h_after, c_after in steps:
            h, c = (cleared(h_before, starts_t), cleared(c_before, starts_t)) if some else (h_before, c_before)
            for gate, matrix in zip((i, f, g, o), matrices, strict=True):
                gate.addmm_(h, matrix)
            torch.mul(f.sigmoid_(), c, out=c_after).addcmul_(i.sigmoid_(), tanh_(g))
            torch.mul(o.sigmoid_(), tanh_(s.copy_(c_after)), out=h_after)
        ctx.save_for_backward(starts, inputs, hidden, cell, *weights, gates, squashed, states)
        ctx.some_start = some_start
        return hiddens[1:], cells[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        starts, inputs, hidden, cell, *weights = ctx.saved_tensors[:-3]
        if torch.is_grad_enabled():
            return None, *differentiate(_by_steps(starts), (inputs, hidden, cell, *weights), grads)
        gates, squashed, states = ctx.saved_tensors[-3:]
        befores = cleared(states[:, :-1], starts) if any(ctx.some_start) else states[:, :-1]
        slopes = _local_slopes(gates, squashed, befores[1])
        to_states = _back_through_time(slopes, gates, squashed, weights[1], grads, starts, ctx.some_start)
        to_bias = slopes.sum((1, 2)).flatten()
        return (
            None,
            to_inputs(slopes.unbind(0), weights[0]) if ctx.needs_input_grad[1] else None,
            *to_states,
            to_weights(slopes.unbind(0), inputs),
            to_weights(slopes.unbind(0), befores[0]),
            to_bias,
            to_bias,
        )


def _local_slopes(gates: Tensor, squashed: Tensor, cells: Tensor) -> Tensor:
    """Return, for all steps at once, what will be multiplied by ∂c′ to make ∂i, ∂f, ∂g, and by ∂h′ to make ∂o."""
    i, f, g, o = gates
    slopes = torch.empty_like(gates)
    torch.sub(1.0, i, out=slopes[0]).mul_(i).mul_(g)
    torch.sub(1.0, f, out=slopes[1]).mul_(f).mul_(cells)
    torch.mul(g, g, out=slopes[2]).neg_().add_(1.0).mul_(i)
    torch.sub(1.0, o, out=slopes[3]).mul_(o).mul_(squashed)
    return slopes


def _back_through_time(
    slopes: Tensor,
    gates: Tensor,
    squashed: Tensor,
    weight: Tensor,
    grads: Sequence[Tensor],
    starts: Tensor,
    some_start: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    """Turn local slopes into gradients, last step first, and return those of the first hidden state and cell."""
    to_cell_from_hidden = (squashed * squashed).neg_().add_(1.0).mul_(gates[3])
    u_i, u_f, u_g, u_o = gate_matrices(weight, GATES)
    to_hidden, to_cell = torch.zeros_like(grads[0][0]), grads[1].clone()
    steps = list(zip(some_start, starts, grads[0], gates[1], to_cell_from_hidden, *slopes, strict=True))
    for some, starts_t, grad, f, slope, to_i, to_f, to_g, to_o in reversed(steps):
        to_hidden.add_(grad)
        to_cell.addcmul_(to_hidden, slope)
        to_o.mul_(to_hidden)
        for to_gate in (to_i, to_f, to_g):
            to_gate.mul_(to_cell)
        to_cell.mul_(f)
        torch.mm(to_i, u_i, out=to_hidden).addmm_(to_f, u_f).addmm_(to_g, u_g).addmm_(to_o, u_o)
        if some:
            to_hidden.masked_fill_(starts_t.unsqueeze(-1), 0.0)
            to_cell.masked_fill_(starts_t.unsqueeze(-1), 0.0)
    return to_hidden, to_cell


def _by_steps(starts: Tensor) -> Callable[..., tuple[Tensor, ...]]:
    def run(inputs: Tensor, hidden: Tensor, cell: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        outputs: list[Tensor] = []
        for x, starts_t in zip(inputs, starts, strict=True):
            hidden, cell = torch.lstm_cell(x, [cleared(hidden, starts_t), cleared(cell, starts_t)], *weights)
            outputs.append(hidden)
        return torch.stack(outputs), cell

    return run
