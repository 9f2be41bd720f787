"""The memories by name."""

from dataclasses import dataclass
from typing import Literal

from drml.core.errors import InputError
from drml.policies.memory.api import Memory
from drml.policies.memory.gru import GRU
from drml.policies.memory.layered import Layered
from drml.policies.memory.lstm import LSTM
from drml.policies.memory.recurrence import MinGRU
from drml.policies.memory.transformer import Transformer

MemoryKind = Literal["gru", "lstm", "transformer", "mingru"]


@dataclass(frozen=True)
class MemoryConfig:
    """The kind and the size of a memory."""

    kind: MemoryKind = "gru"
    """How the past is held: gru, lstm, transformer or mingru (RL²: gru)."""
    size: int = 256
    """Units of each layer (RL²: 256)."""
    layers: int = 1
    """Layers on top of each other (RL²: 1)."""
    heads: int = 4
    """Transformer: heads of attention; size is a multiple of twice their number."""
    context: int = 100
    """Longest sequence, in steps: the transformer's limit, and how far back mingru's slowest units reach at first."""

    def __post_init__(self) -> None:
        for name in ("size", "layers", "heads", "context"):
            if getattr(self, name) < 1:
                raise InputError(f"memory {name} is {getattr(self, name)}, must be 1 or more")
        if self.kind == "transformer" and self.size % (2 * self.heads):
            raise InputError(
                f"memory size is {self.size}, must be a multiple of {2 * self.heads}: each of the {self.heads} heads "
                "of a transformer takes an even part of it"
            )

    def num_weights(self, inputs: int, outputs: int) -> int:
        """Return how many weights there are at least."""
        return self.size * (inputs + outputs + self.layers * self.size)


def memory_of(config: MemoryConfig, input_size: int) -> Memory:
    """Return the memory that a configuration describes, for inputs `[N, input_size]`."""
    if config.kind == "transformer":
        return Transformer(input_size, config.size, config.layers, config.heads, config.context)
    sizes = [input_size] + [config.size] * (config.layers - 1)
    layers = tuple(_recurrent(config, size) for size in sizes)
    return layers[0] if len(layers) == 1 else Layered(layers)


def _recurrent(config: MemoryConfig, input_size: int) -> Memory:
    if config.kind == "mingru":
        return MinGRU(input_size, config.size, config.context)
    return (GRU if config.kind == "gru" else LSTM)(input_size, config.size)
