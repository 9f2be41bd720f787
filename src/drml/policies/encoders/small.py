"""The small encoder: three convolutions with rectifiers, as the field uses them for Atari and, smaller, for MiniGrid.

sides of 36 pixels and more    32 x 8x8/4, 64 x 4x4/2, 64 x 3x3/1     Mnih et al. 2015, "Human-level control", methods
smaller ones                   16 x 2x2, pooled 2x2/2, 32 x 2x2, 64 x 2x2; kernels are cut to the size of what they read
                               Chevalier-Boisvert et al. 2018, "BabyAI", and its code rl-starter-files

All maps of the last layer are the output; a linear layer stands on them (`joined`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Params
from drml.policies.encoders.convolution import Geometry
from drml.policies.encoders.pictures import as_inputs, convolved, init_layer, pooled, rectified

LARGE_SIDE = 36  # the large layers make 1 x 1 of it
LARGE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # filters, kernel, stride
LITTLE = ((16, 2, 1), (32, 2, 1), (64, 2, 1))
POOL = 2


@final
@dataclass(frozen=True)
class Small:
    """Three convolutions of one picture."""

    name: str
    """Beginning of the parameters' names."""
    channels: int
    height: int
    width: int
    unit: float
    """Factor of the values: the inverse of the largest one."""

    @property
    def layers(self) -> tuple[tuple[Geometry, bool], ...]:
        """Return the convolutions, each with whether its output is pooled."""
        return tuple(self._layers())

    def _layers(self) -> Iterator[tuple[Geometry, bool]]:
        is_large = min(self.height, self.width) >= LARGE_SIDE
        channels, height, width = self.channels, self.height, self.width
        for i, (filters, kernel, stride) in enumerate(LARGE if is_large else LITTLE):
            layer = Geometry(channels, filters, height, width, min(kernel, height, width), stride)
            channels, (height, width) = filters, layer.out
            pools = not is_large and i == 0 and min(height, width) >= POOL
            height, width = (height // POOL, width // POOL) if pools else (height, width)
            yield layer, pools

    @property
    def size(self) -> int:
        """Return how many numbers the last maps have."""
        layer, pools = self.layers[-1]
        return layer.filters * math.prod(side // POOL if pools else side for side in layer.out)

    @property
    def num_weights(self) -> int:
        """Return how many numbers `init` makes."""
        return sum(math.prod(layer.weight_shape) + layer.filters for layer, _ in self.layers)

    @property
    def num_units(self) -> int:
        """Return how many numbers the layers read and make of one picture."""
        return self.channels * self.height * self.width + sum(
            layer.filters * math.prod(layer.out) for layer, _ in self.layers
        )

    def init(self, rng: Streams) -> Params:
        """Return He-uniform weights and zero biases."""
        params: Params = {}
        for i, (layer, _) in enumerate(self.layers):
            params |= init_layer(f"{self.name}conv{i}", layer, math.sqrt(2.0), rng)
        return params

    def maps(self, params: Params, planes: Tensor) -> Tensor:
        """Return the last maps `[K, N, size]` of pictures `[K, N, channels, height, width]`."""
        hidden = as_inputs(planes, params[f"{self.name}conv0.weight"], self.unit)
        for i, (layer, pools) in enumerate(self.layers):
            hidden = rectified(convolved(params, f"{self.name}conv{i}", hidden, layer))
            hidden = pooled(hidden, POOL, POOL) if pools else hidden
        return hidden.flatten(2)
