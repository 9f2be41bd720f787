"""The encoder seam: pure functions from parameters and observations to features.

    features [K, ..., D] = encode(params, obs [K, ..., O])

An encoder stands in front of a policy's layers or of its memory, and its parameters are among the policy's, shared or
stacked `[K, ...]`. Its derivatives are exact to every order, so that adaptation goes through it.
"""

from typing import Protocol

from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Params

PREFIX = "encoder."
"""Beginning of the names of all parameters of encoders."""


class Encoder(Protocol):
    """An encoder holds no numbers itself: parameters are values that flow through its methods."""

    def size_of(self, obs_size: int) -> int:
        """Return D, the length of the features of observations of length O."""
        ...

    @property
    def num_weights(self) -> int:
        """Return how many numbers `init` makes."""
        ...

    @property
    def num_units(self) -> int:
        """Return how many numbers learning keeps of one observation."""
        ...

    def init(self, rng: Streams) -> Params:
        """Return initial shared parameters, by names that begin with 'encoder.'."""
        ...

    def encode(self, params: Params, obs: Tensor) -> Tensor:
        """Return the features `[K, ..., D]` of observations `[K, ..., O]`.

        Args:
            params: what `init` made, among others; shared, or stacked `[K, ...]`.
            obs: as they lie in a rollout, float32, or uint8 where they have parts; `[N, O]` too under shared ones.
        """
        ...
