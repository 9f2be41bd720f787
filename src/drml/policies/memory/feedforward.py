"""No memory at all: what shows how much of a score is owed to remembering.

    y = tanh(x W + b)

The inputs hold the previous action and reward, so that even this policy sees one step back (Duan et al. 2016, section
2.2); nothing before that reaches it.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.policies.memory.weights import xavier
from drml.policies.stacked import tanh


@final
@dataclass(frozen=True)
class Feedforward:
    """One layer of units that sees the present only."""

    input_size: int
    size: int
    """D, number of units."""

    @property
    def output_size(self) -> int:
        """Return D."""
        return self.size

    def init(self, rng: Streams) -> Params:
        """Return Xavier weights and zero biases."""
        return {"weight": xavier(self.input_size, self.size, rng["weight"]), "bias": torch.zeros(self.size)}

    def start(self, batch: int, like: Tensor) -> Tree:
        """Return the empty state."""
        return {}

    def step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor | None) -> tuple[Tensor, Tree]:
        """Return y `[N, D]` and the empty state."""
        return tanh(torch.addmm(params["bias"], inputs, params["weight"])), {}

    def sequence(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return y of every step `[T, N, D]` and the empty state."""
        outputs, _ = self.step(params, inputs.flatten(0, 1), state, None)
        return outputs.unflatten(0, starts.shape), {}
