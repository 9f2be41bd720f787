"""The encoder of symbols: each small whole number becomes a vector of its own, and 2x2 convolutions read the grid.

    e = table[channel, x]        each channel (kind of thing, colour, state) has a table of its own
    grid with the vectors of all channels in its cells, 16, 32 and 64 filters of 2x2 with rectifiers

The convolutions are left out where symbols form no grid, or where it is too small for them. All that the last layer
makes is the output; a linear layer stands on it (`joined`).

Source: the encoder of XLand-MiniGrid's baselines (Nikulin et al. 2023, https://arxiv.org/abs/2312.12044), with one
table per channel.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import embedding

from drml.core.rng import Streams
from drml.core.tree import Params
from drml.policies.encoders.convolution import Geometry
from drml.policies.encoders.pictures import convolved, init_layer, rectified

FILTERS = (16, 32, 64)
KERNEL = 2


@final
@dataclass(frozen=True)
class Symbols:
    """An embedding and convolutions on a grid of symbols; one cell in a row where they form no grid."""

    name: str
    """Beginning of the parameters' names."""
    channels: int
    height: int
    width: int
    low: int
    """Smallest symbol."""
    high: int
    """Largest symbol; those beyond count as the nearest."""
    length: int
    """Length of a symbol's vector."""

    @property
    def _table(self) -> str:
        return f"{self.name}table"

    @property
    def layers(self) -> tuple[Geometry, ...]:
        """Return the convolutions."""
        found: list[Geometry] = []
        channels, height, width = self.channels * self.length, self.height, self.width
        for filters in FILTERS:
            if min(height, width) < KERNEL:
                break
            found.append(Geometry(channels, filters, height, width, KERNEL))
            channels, (height, width) = filters, found[-1].out
        return tuple(found)

    @property
    def size(self) -> int:
        """Return how many numbers the last layer makes."""
        if not self.layers:
            return self.channels * self.length * self.height * self.width
        return self.layers[-1].filters * math.prod(self.layers[-1].out)

    @property
    def num_weights(self) -> int:
        """Return how many numbers `init` makes."""
        rows = self.channels * (self.high - self.low + 1)
        return rows * self.length + sum(math.prod(layer.weight_shape) + layer.filters for layer in self.layers)

    @property
    def num_units(self) -> int:
        """Return how many numbers the layers read and make of one grid."""
        made = sum(layer.filters * math.prod(layer.out) for layer in self.layers)
        return self.channels * self.length * self.height * self.width + made

    def init(self, rng: Streams) -> Params:
        """Return standard normal vectors, He-uniform weights and zero biases."""
        rows = self.channels, self.high - self.low + 1, self.length
        params = {self._table: rng["table"].normal(rows)}
        for i, layer in enumerate(self.layers):
            params |= init_layer(f"{self.name}conv{i}", layer, math.sqrt(2.0), rng)
        return params

    def maps(self, params: Params, planes: Tensor) -> Tensor:
        """Return what the last layer makes `[K, N, size]` of symbols `[K, N, channels, height, width]`."""
        table = params[self._table]  # [C, V, E], or [K, C, V, E]
        symbols = planes.long().clamp(self.low, self.high) - self.low
        each = self.high - self.low + 1
        start = torch.arange(self.channels, device=planes.device).view(-1, 1, 1) * each
        if table.dim() == 4:
            sets = torch.arange(len(table), device=planes.device).view(-1, 1, 1, 1, 1)
            start = start + sets * (self.channels * each)
        vectors = embedding(symbols + start, table.reshape(-1, self.length))  # [K, N, C, H, W, E]
        hidden = vectors.permute(0, 1, 2, 5, 3, 4).flatten(2, 3)
        for i, layer in enumerate(self.layers):
            hidden = rectified(convolved(params, f"{self.name}conv{i}", hidden, layer))
        return hidden.flatten(2)
