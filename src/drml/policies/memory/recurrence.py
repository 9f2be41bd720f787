"""minGRU: a gated memory whose gates see the inputs alone, so that all its steps can be taken at once.

    z = σ(W_z x + b_z)
    h′ = (1 − z) ⊙ h + z ⊙ (W_n x + b_n)

Source: Feng et al. 2024, "Were RNNs all we needed?", https://arxiv.org/abs/2410.01201, section 3.1.
Differs from the paper: the biases of z start so that the units remember from one step to `horizon` steps (Tallec &
Ollivier 2018, https://arxiv.org/abs/1804.11188, eq. 16); at zero, every unit would forget half of its past in a step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.autograd import Function

from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.policies.memory.gates import cleared, differentiate
from drml.policies.memory.scan import linear_scan, reverse_linear_scan
from drml.policies.memory.weights import xavier


@final
@dataclass(frozen=True)
class MinGRU:
    """Minimal gated recurrent unit; its outputs are its state."""

    input_size: int
    size: int
    """D, number of units."""
    horizon: int
    """Longest time over which a unit remembers at the start, in steps."""

    @property
    def output_size(self) -> int:
        """Return D."""
        return self.size

    def init(self, rng: Streams) -> Params:
        """Return Xavier weights and gate biases −log u, with u uniform on [1, horizon]: a unit remembers for 1 + u."""
        times = 1.0 + (self.horizon - 1.0) * rng["bias"].uniform((self.size,))
        weights = [xavier(self.input_size, self.size, rng["weight", part]) for part in range(2)]
        return {"weight": torch.cat(weights, 1), "bias": torch.cat([-times.log(), torch.zeros(self.size)])}

    def start(self, batch: int, like: Tensor) -> Tree:
        """Return zeros."""
        return {"hidden": like.new_zeros(batch, self.size)}

    def step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor | None) -> tuple[Tensor, Tree]:
        """Return h′ `[N, D]` and the next state."""
        gate, candidate = _gate_and_candidate(params, inputs)
        hidden = _next(gate, candidate, cast(Tensor, state["hidden"]), starts)
        return hidden, {"hidden": hidden}

    def sequence(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return h′ of every step `[T, N, D]` and the last state."""
        parts = _gate_and_candidate(params, inputs.flatten(0, 1))
        gate, candidate = (part.unflatten(0, starts.shape) for part in parts)
        outputs = cast(Tensor, _Sequence.apply(starts, gate, candidate, state["hidden"]))
        return outputs, {"hidden": outputs[-1]}


def _gate_and_candidate(params: Params, inputs: Tensor) -> tuple[Tensor, Tensor]:
    weights, biases = params["weight"].chunk(2, 1), params["bias"].chunk(2)
    gate, candidate = (torch.addmm(bias, inputs, weight) for bias, weight in zip(biases, weights, strict=True))
    return gate, candidate


def _next(gate: Tensor, candidate: Tensor, hidden: Tensor, starts: Tensor | None) -> Tensor:
    return torch.lerp(cleared(hidden, starts), candidate, gate.sigmoid())


@final
class _Sequence(Function):
    """h′ of every step from the sums inside z and the candidates."""

    @staticmethod
    def forward(ctx: Any, starts: Tensor, gate: Tensor, candidate: Tensor, hidden: Tensor) -> Tensor:  # noqa: ANN401
        z = gate.sigmoid()
        decay = (1.0 - z).masked_fill_(starts.unsqueeze(-1), 0.0)  # a start is a decay of 0
        drive = z * candidate
        drive[0].addcmul_(decay[0], cleared(hidden, starts[0]))
        outputs = linear_scan(decay, drive)
        ctx.save_for_backward(starts, gate, candidate, hidden, z, decay, outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        starts, gate, candidate, hidden, z, decay, outputs = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, *differentiate(_by_steps(starts), (gate, candidate, hidden), grads)
        to_outputs = reverse_linear_scan(decay, grads[0].clone())
        to_candidate = to_outputs * z
        before = cleared(torch.cat([hidden.unsqueeze(0), outputs[:-1]]), starts)
        to_gate = torch.sub(candidate, before, out=before).mul_(to_candidate).mul_(1.0 - z)
        return None, to_gate, to_candidate, to_outputs[0] * decay[0]


def _by_steps(starts: Tensor) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor]]:
    def run(gate: Tensor, candidate: Tensor, hidden: Tensor) -> tuple[Tensor]:
        outputs: list[Tensor] = []
        for gate_t, candidate_t, starts_t in zip(gate, candidate, starts, strict=True):
            hidden = _next(gate_t, candidate_t, hidden, starts_t)
            outputs.append(hidden)
        return (torch.stack(outputs),)

    return run
