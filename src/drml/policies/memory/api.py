"""The memory seam: functions from inputs and a state to outputs and the next state, in two forms that are equal.

step:      (params, x, state, starts) → (y, state′)             acting, one step of N sequences
sequence:  (params, x₁…x_T, state, starts) → (y₁…y_T, state′)   learning, T steps of N sequences at once

Acting takes the first form, learning the second; what was learnt in one is what acts in the other.
"""

from typing import Protocol

from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Params, Tree


class Memory(Protocol):
    """A memory holds no numbers itself: parameters and states are values that flow through its methods.

    The N sequences of a batch are independent of each other. `starts` marks those whose state is cleared before the
    step, so that sequences may start at any time, each at its own.
    """

    @property
    def output_size(self) -> int:
        """Return D, the length of an output."""
        ...

    def init(self, rng: Streams) -> Params:
        """Return initial parameters."""
        ...

    def start(self, batch: int, like: Tensor) -> Tree:
        """Return the cleared state of `batch` sequences, leaves `[N, ...]`, with the dtype and device of `like`.

        Counts are the exception: they are int64.
        """
        ...

    def step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor | None) -> tuple[Tensor, Tree]:
        """Return the outputs `[N, D]` of one step and the next state; no given tensor is changed.

        Args:
            params: what `init` made.
            inputs: `[N, F]`.
            state: leaves `[N, ...]`, from `start` or from an earlier call.
            starts: `[N]` bool, true where the state is cleared before this step; None where nowhere.
        """
        ...

    def sequence(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return the outputs `[T, N, D]` of T >= 1 calls of `step` and the last state; differentiable.

        Gradients reach the given state too: a caller who wants them cut there passes a detached one.

        Args:
            params: what `init` made.
            inputs: `[T, N, F]`.
            state: the state before the first step, leaves `[N, ...]`.
            starts: `[T, N]` bool, true where the state is cleared before the step.
        """
        ...
