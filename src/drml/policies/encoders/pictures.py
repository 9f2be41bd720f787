"""Pictures as convolutions take them: from one row of bytes to `[K, N, channels, height, width]`, and their layers.

Gymnasium lays pictures out as height x width x channels, grey ones without the last axis, and stacks frames along a new
first one. The axis of channels is told by its length, the shorter one of first and last; stacked frames are channels.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from drml.core.rng import Streams
from drml.core.tree import Params
from drml.policies.encoders.convolution import Geometry, convolve


@final
@dataclass(frozen=True)
class Picture:
    """The sizes of a picture, and the order in which its numbers lie."""

    channels: int
    height: int
    width: int
    order: tuple[int, ...]
    """Axes of the space's shape in the order channels (one axis, two or none), height, width."""
    shape: tuple[int, ...]

    @staticmethod
    def of(shape: tuple[int, ...]) -> "Picture | None":
        """Return what a shape says; None where it is that of no picture, with less than two axes or more than four."""
        orders = {2: (0, 1), 3: (2, 0, 1) if shape[-1:] <= shape[:1] else (0, 1, 2), 4: (0, 3, 1, 2)}
        order = orders.get(len(shape))
        if order is None:
            return None
        *channels, height, width = (shape[axis] for axis in order)
        return Picture(math.prod(channels), height, width, order, shape)

    @staticmethod
    def row(size: int) -> "Picture":
        """Return what forms no grid as one cell of so many channels."""
        return Picture(size, 1, 1, (0, 1, 2), (size, 1, 1))

    def planes(self, values: Tensor) -> Tensor:
        """Return the values `[K, ..., size]` of pictures as `[K, N, channels, height, width]`."""
        pictures = values.reshape(len(values), -1, *self.shape)
        turned = pictures.permute(0, 1, *(2 + axis for axis in self.order))
        return turned.reshape(*turned.shape[:2], self.channels, self.height, self.width)


def as_inputs(planes: Tensor, weight: Tensor, unit: float) -> Tensor:
    """Return the values of planes times `unit` as numbers of the weight's dtype, in the memory order that they have.

    Turning them takes a quarter of the first convolution's time, and its kernels read channels in either place.
    """
    return planes.to(weight.dtype, copy=True).mul_(unit)


def rectified(inputs: Tensor) -> Tensor:
    """Return max(x, 0) of what nobody else reads, in its place where no gradient is recorded."""
    return inputs.relu() if torch.is_grad_enabled() else inputs.relu_()


def init_layer(name: str, layer: Geometry, gain: float, rng: Streams) -> Params:
    """Return weights uniform on ±gain √(3/(channels k²)), which hold the variance for gain 1, and zero biases.

    Source: He et al. 2015, "Delving deep into rectifiers", eq. 10: gain √2 before a rectifier.
    """
    fan_in = math.prod(layer.weight_shape[1:])
    bound = gain * math.sqrt(3.0 / fan_in)
    weight = (2.0 * rng[name].uniform(layer.weight_shape) - 1.0) * bound
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(layer.filters)}


def convolved(params: Params, name: str, inputs: Tensor, layer: Geometry) -> Tensor:
    """Return what the layer of a name makes of pictures `[K, N, channels, height, width]`."""
    return convolve(inputs, params[f"{name}.weight"], params[f"{name}.bias"], layer)


def pooled(inputs: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
    """Return the largest number of each window of pictures `[K, N, C, h, w]`."""
    found = torch.nn.functional.max_pool2d(inputs.flatten(0, 1), kernel, stride, padding)
    return found.unflatten(0, inputs.shape[:2])
