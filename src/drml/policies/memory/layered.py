"""Memories on top of each other: the outputs of one are the inputs of the next."""

from dataclasses import dataclass
from typing import cast, final

from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.policies.memory.api import Memory


@final
@dataclass(frozen=True)
class Layered:
    """One memory made of several; parameters are named `layer0.…`, states lie in branches `layer0`."""

    layers: tuple[Memory, ...]
    """From the inputs up; each takes in the outputs of the one before."""

    @property
    def output_size(self) -> int:
        """Return the output size of the last layer."""
        return self.layers[-1].output_size

    def init(self, rng: Streams) -> Params:
        """Return the initial parameters of all layers."""
        return {
            f"layer{i}.{name}": value
            for i, layer in enumerate(self.layers)
            for name, value in layer.init(rng["layer", i]).items()
        }

    def start(self, batch: int, like: Tensor) -> Tree:
        """Return the cleared states of all layers."""
        return {f"layer{i}": layer.start(batch, like) for i, layer in enumerate(self.layers)}

    def step(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor | None) -> tuple[Tensor, Tree]:
        """Return the outputs `[N, D]` of the last layer and the next states of all."""
        after: Tree = {}
        for i, layer in enumerate(self.layers):
            before = cast(Tree, state[f"layer{i}"])
            inputs, after[f"layer{i}"] = layer.step(_of_layer(params, i), inputs, before, starts)
        return inputs, after

    def sequence(self, params: Params, inputs: Tensor, state: Tree, starts: Tensor) -> tuple[Tensor, Tree]:
        """Return the outputs `[T, N, D]` of the last layer and the last states of all."""
        after: Tree = {}
        for i, layer in enumerate(self.layers):
            before = cast(Tree, state[f"layer{i}"])
            inputs, after[f"layer{i}"] = layer.sequence(_of_layer(params, i), inputs, before, starts)
        return inputs, after


def _of_layer(params: Params, index: int) -> Params:
    prefix = f"layer{index}."
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}
