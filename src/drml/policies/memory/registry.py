"""The memories and the heads that stand on them, by name."""

from dataclasses import dataclass, field, replace
from typing import Literal

from drml.core.check import check_ranges
from drml.core.errors import InputError
from drml.policies.encoders.registry import EncoderConfig
from drml.policies.heads import Head, HypernetworkHead, LinearHead
from drml.policies.memory.api import Memory
from drml.policies.memory.feedforward import Feedforward
from drml.policies.memory.gru import GRU
from drml.policies.memory.layered import Layered
from drml.policies.memory.lstm import LSTM
from drml.policies.memory.recurrence import MinGRU
from drml.policies.memory.transformer import Transformer

MemoryKind = Literal["gru", "lstm", "transformer", "mingru", "none"]
HeadKind = Literal["linear", "hypernetwork"]


@dataclass(frozen=True)
class MemoryConfig:
    """The kind and the size of a memory and of its head.

    Raises:
        InputError: if a size is out of its range, or a transformer's is not divided by its heads.
    """

    kind: MemoryKind = "gru"
    """Kind of memory: gru, lstm, transformer or mingru (RL²: gru); or none, for comparison."""
    size: int = 256
    """Units of each layer (RL²: 256)."""
    layers: int = 1
    """Layers on top of each other (RL²: 1)."""
    heads: int = 4
    """Transformer: heads of attention; size is a multiple of twice their number."""
    context: int = 100
    """Longest sequence in training, in steps: the transformer's limit there (a test makes the room that it needs), and
    how far back mingru's slowest units reach at first."""
    sees_transitions: bool = False
    """Also take in the observation of the step before, beside its action and reward (RL²: false). What is to be learnt
    about pairs of state and action is then seen at one step, and need not first be put together over two."""
    head: HeadKind = "linear"
    """Head that acts and values: linear (RL²), or hypernetwork: the memory generates a network on the observation."""
    head_hidden: int = 64
    """Hypernetwork: width of the generated network; 0 makes it linear in the observation."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Layers in front that see pictures and symbols."""

    def __post_init__(self) -> None:
        check_ranges("memory ", self, at_least_1=("size", "layers", "heads", "context"), at_least_0=("head_hidden",))
        if self.kind == "transformer" and self.size % (2 * self.heads):
            raise InputError(
                f"memory size is {self.size}, must be a multiple of {2 * self.heads}: each of the {self.heads} heads "
                "of a transformer takes an even part of it"
            )

    def with_room(self, steps: int) -> "MemoryConfig":
        """Return the configuration of the same weights with room for sequences of so many steps."""
        return replace(self, context=max(self.context, steps)) if self.kind == "transformer" else self

    @property
    def num_held(self) -> int:
        """Return how many numbers the state of one sequence has."""
        per_layer = {"transformer": 2 * self.context, "lstm": 2, "none": 0}.get(self.kind, 1)
        return per_layer * self.layers * self.size

    def num_units(self, inputs: int, outputs: int) -> int:
        """Return how many numbers learning keeps of a step at least: what each layer makes, and a generated network."""
        per_layer = {"transformer": 12, "lstm": 6, "none": 1}.get(self.kind, 4)
        head = head_of(self, self.size, inputs, outputs)
        generated = head.num_weights // (self.size + 1) if self.head == "hypernetwork" else 0
        return per_layer * self.layers * self.size + generated

    def num_weights(self, inputs: int, outputs: int) -> int:
        """Return how many weights there are at least."""
        return (
            self.size * (inputs + (self.layers - 1) * self.size) + head_of(self, self.size, inputs, outputs).num_weights
        )


def memory_of(config: MemoryConfig, input_size: int) -> Memory:
    """Return the memory that a configuration describes, for inputs `[N, input_size]`."""
    if config.kind == "transformer":
        return Transformer(input_size, config.size, config.layers, config.heads, config.context)
    sizes = [input_size] + [config.size] * (config.layers - 1)
    layers = tuple(_layer(config, size) for size in sizes)
    return layers[0] if len(layers) == 1 else Layered(layers)


def head_of(config: MemoryConfig, size: int, obs_size: int, action_size: int) -> Head:
    """Return the head that a configuration describes, for a memory's outputs `[..., size]`."""
    if config.head == "hypernetwork":
        return HypernetworkHead(size, obs_size, config.head_hidden, action_size)
    return LinearHead(size, action_size)


def _layer(config: MemoryConfig, input_size: int) -> Memory:
    if config.kind == "mingru":
        return MinGRU(input_size, config.size, config.context)
    if config.kind == "none":
        return Feedforward(input_size, config.size)
    return (GRU if config.kind == "gru" else LSTM)(input_size, config.size)
