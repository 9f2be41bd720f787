"""The residual encoder: three stages of a convolution, a pool and two residual blocks.

stage:   x = pool(conv(x)),  then twice  x = x + conv(relu(conv(relu(x))))        3x3 convolutions, pool 3x3/2
         of 16, 32 and 32 filters; a rectifier behind the last one

All maps of the last stage are the output; a linear layer stands on them (`joined`).

Source: Espeholt et al. 2018, "IMPALA: Scalable distributed deep-RL", https://arxiv.org/abs/1802.01561, figure 3, the
large architecture; Cobbe et al. 2020, "Leveraging procedural generation", use it for Procgen.
"""

import math
from dataclasses import dataclass
from typing import final

from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Params
from drml.policies.encoders.convolution import Geometry
from drml.policies.encoders.pictures import as_inputs, convolved, init_layer, pooled, rectified

FILTERS = (16, 32, 32)
BLOCKS = 2


@final
@dataclass(frozen=True)
class Residual:
    """Three residual stages on one picture."""

    name: str
    """Beginning of the parameters' names."""
    channels: int
    height: int
    width: int
    unit: float
    """Factor of the values: the inverse of the largest one."""

    @property
    def stages(self) -> tuple[tuple[Geometry, Geometry], ...]:
        """Return, by stage, the first convolution and each of those in the residual blocks."""
        found: list[tuple[Geometry, Geometry]] = []
        channels, height, width = self.channels, self.height, self.width
        for filters in FILTERS:
            first = Geometry(channels, filters, height, width, 3, 1, 1)
            channels, height, width = filters, (height + 1) // 2, (width + 1) // 2
            found.append((first, Geometry(channels, filters, height, width, 3, 1, 1)))
        return tuple(found)

    @property
    def _named(self) -> dict[str, Geometry]:
        """Return all convolutions by name."""
        named: dict[str, Geometry] = {}
        for i, (first, inner) in enumerate(self.stages):
            named[f"{self.name}stage{i}.conv"] = first
            named |= {f"{self.name}stage{i}.block{j}.conv{c}": inner for j in range(BLOCKS) for c in range(2)}
        return named

    @property
    def size(self) -> int:
        """Return how many numbers the last maps have."""
        _, last = self.stages[-1]
        return last.filters * last.height * last.width

    @property
    def num_weights(self) -> int:
        """Return how many numbers `init` makes."""
        return sum(math.prod(layer.weight_shape) + layer.filters for layer in self._named.values())

    @property
    def num_units(self) -> int:
        """Return how many numbers the layers read and make of one picture."""
        made = sum(layer.filters * math.prod(layer.out) for layer in self._named.values())
        return self.channels * self.height * self.width + made

    def init(self, rng: Streams) -> Params:
        """Return weights of variance 1/fan-in and zero biases."""
        params: Params = {}
        for name, layer in self._named.items():
            params |= init_layer(name, layer, 1.0, rng)
        return params

    def maps(self, params: Params, planes: Tensor) -> Tensor:
        """Return the last maps `[K, N, size]` of pictures `[K, N, channels, height, width]`."""
        hidden = as_inputs(planes, params[f"{self.name}stage0.conv.weight"], self.unit)
        for i, (first, inner) in enumerate(self.stages):
            stage = f"{self.name}stage{i}"
            hidden = pooled(convolved(params, f"{stage}.conv", hidden, first), 3, 2, 1)
            for j in range(BLOCKS):
                change = convolved(params, f"{stage}.block{j}.conv0", hidden.relu(), inner)
                hidden = hidden + convolved(params, f"{stage}.block{j}.conv1", rectified(change), inner)
        return rectified(hidden).flatten(2)
