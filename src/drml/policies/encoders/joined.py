"""Encoders of an observation's parts side by side, and one linear layer on what they make.

z = relu(W [maps of the pictures, maps of the symbols] + b)        features = [z, everything else as numbers]
"""

import math
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from drml.core.observation import Part, Parts, scaled, split
from drml.core.rng import Streams
from drml.core.tree import Params
from drml.policies.encoders.api import PREFIX
from drml.policies.encoders.convolution import GROUPED_BELOW
from drml.policies.encoders.pictures import Picture, rectified
from drml.policies.stacked import stacked_linear


class Maps(Protocol):
    """Layers that turn the planes of one part into maps; their parameters have names of their own."""

    @property
    def size(self) -> int:
        """Return how many numbers `maps` makes of one picture."""
        ...

    @property
    def num_weights(self) -> int:
        """Return how many numbers `init` makes."""
        ...

    @property
    def num_units(self) -> int:
        """Return how many numbers learning keeps of one picture."""
        ...

    def init(self, rng: Streams) -> Params:
        """Return initial shared parameters."""
        ...

    def maps(self, params: Params, planes: Tensor) -> Tensor:
        """Return `[K, N, size]` of the values of planes `[K, N, channels, height, width]`."""
        ...


@final
@dataclass(frozen=True)
class Seen:
    """Part of the observation, and the layers that look at it; without any it is passed on as numbers."""

    part: Part
    picture: Picture | None = None
    layers: Maps | None = None


@final
@dataclass(frozen=True)
class Joined:
    """Encoder of an observation in parts, some of which are looked at by layers of their own."""

    seen: tuple[Seen, ...]
    features: int
    """Length of z."""

    @property
    def parts(self) -> Parts:
        """Return the parts of the observation."""
        return tuple(seen.part for seen in self.seen)

    @property
    def _maps_size(self) -> int:
        return sum(seen.layers.size for seen in self.seen if seen.layers)

    def size_of(self, obs_size: int) -> int:
        """Return the length of z and of the numbers beside it."""
        return self.features + sum(seen.part.size for seen in self.seen if not seen.layers)

    @property
    def num_weights(self) -> int:
        """Return how many numbers `init` makes."""
        inner = sum(seen.layers.num_weights for seen in self.seen if seen.layers)
        return inner + (self._maps_size + 1) * self.features

    @property
    def num_units(self) -> int:
        """Return how many numbers learning keeps of one observation."""
        return self.size_of(0) + sum(seen.layers.num_units for seen in self.seen if seen.layers)

    def init(self, rng: Streams) -> Params:
        """Return the layers' own parameters, and He-uniform weights and zero biases of the linear layer."""
        params: Params = {}
        for i, seen in enumerate(self.seen):
            params |= seen.layers.init(rng["encoder", i]) if seen.layers else {}
        bound = math.sqrt(6.0 / self._maps_size)
        weight = (2.0 * rng["encoder", "linear"].uniform((self._maps_size, self.features)) - 1.0) * bound
        return params | {f"{PREFIX}linear.weight": weight, f"{PREFIX}linear.bias": torch.zeros(self.features)}

    def encode(self, params: Params, obs: Tensor) -> Tensor:
        """Return the features `[K, ..., D]` of observations `[K, ..., O]`, or `[N, D]` of `[N, O]`."""
        if obs.dim() == 2:
            return self._encode(params, obs.unsqueeze(0)).squeeze(0)
        own = [name for name in params if name.startswith(PREFIX)]
        is_stacked = params[f"{PREFIX}linear.weight"].dim() == 3
        if torch.is_grad_enabled() or not is_stacked or obs[0].numel() <= GROUPED_BELOW:
            return self._encode(params, obs)
        # acting: through all layers for a task before the next one, so that its pictures stay in the caches
        each = ({name: params[name][k] for name in own} for k in range(len(obs)))
        return torch.cat([self._encode(mine, obs[k : k + 1]) for k, mine in enumerate(each)])

    def _encode(self, params: Params, obs: Tensor) -> Tensor:
        weight, bias = params[f"{PREFIX}linear.weight"], params[f"{PREFIX}linear.bias"]
        maps: list[Tensor] = []
        beside: list[Tensor] = []
        for seen, values in zip(self.seen, split(self.parts, obs), strict=True):
            if seen.layers is None or seen.picture is None:
                beside.append(scaled(seen.part, values).to(weight.dtype))
                continue
            maps.append(seen.layers.maps(params, seen.picture.planes(values)))
        joined = maps[0] if len(maps) == 1 else torch.cat(maps, -1)  # [K, N, M]
        if weight.dim() == 2:
            z = torch.addmm(bias, joined.flatten(0, 1), weight)
        else:
            z = stacked_linear(joined, weight, bias)
        z = rectified(z).view(*obs.shape[:-1], self.features)
        return torch.cat([z, *beside], -1) if beside else z
