"""The parts of an agent as graphs: functions from named tensors to named tensors, which every bridge writes alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from drml.core.tree import Params

PARAMETER = "parameter."
"""Prefix of an input or output that is a parameter of the policy."""


@dataclass(frozen=True)
class Graph:
    """A function from named tensors to named tensors, and what they are."""

    name: str
    """Stem of the file that holds it."""
    about: str
    """One sentence on what it computes."""
    module: nn.Module
    """Maps a dictionary of the inputs to one of the outputs, with neither gradients nor random numbers."""
    examples: Params
    """Inputs by name, in order."""
    rows: Mapping[str, str]
    """Name of the first axis, which may have any length, of the inputs that have one."""
    meaning: Mapping[str, str]
    """One phrase on each input and output, by name."""


class Weights(nn.Module):
    """Parameters by name as constants of a module: `layer0.weight` is the buffer `weight` of its part `layer0`."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self._names = tuple(params)
        for name, value in params.items():
            *path, leaf = name.split(".")
            part: nn.Module = self
            for step in path:
                if not hasattr(part, step):
                    part.add_module(step, nn.Module())
                part = cast(nn.Module, getattr(part, step))
            part.register_buffer(leaf, value.detach().clone())

    def forward(self) -> Params:
        """Return the parameters."""
        return {name: self.get_buffer(name) for name in self._names}


def parameter_inputs(params: Params) -> Params:
    """Return parameters under the names that they have as inputs."""
    return {PARAMETER + name: value for name, value in params.items()}


def given_parameters(inputs: Mapping[str, Tensor]) -> Params:
    """Return the parameters among inputs, under their own names."""
    return {name.removeprefix(PARAMETER): value for name, value in inputs.items() if name.startswith(PARAMETER)}
