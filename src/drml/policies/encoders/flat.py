"""The encoder that is none: features are the observation's numbers, one after the other."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from drml.core.observation import Parts, as_numbers, size_of
from drml.core.rng import Streams
from drml.core.tree import Params


@final
@dataclass(frozen=True)
class Flat:
    """The observation as it is; bytes become numbers."""

    parts: Parts = ()
    num_weights: int = 0
    """Number of parameters: none."""

    @property
    def num_units(self) -> int:
        """Return how many numbers are made of one observation's bytes."""
        return size_of(self.parts)

    def size_of(self, obs_size: int) -> int:
        """Return the observation's numbers."""
        return size_of(self.parts) if self.parts else obs_size

    def init(self, rng: Streams) -> Params:
        """Return no parameters."""
        return {}

    def encode(self, params: Params, obs: Tensor) -> Tensor:
        """Return the numbers of the observations; the very tensor where they are numbers already."""
        return as_numbers(self.parts, obs)
