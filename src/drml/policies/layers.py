"""Layers whose derivatives are exact to every order, also under `vmap`, where torch's own are not.

`torch.nn.LayerNorm` has a hand-written second derivative that is wrong in one of its blocks, without an error. The
layer here consists of elementary operations only, so that differentiation has nothing to get wrong.
"""

from typing import final

import torch
from torch import Tensor, nn


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Return w (x − mean(x)) / √(var(x) + ε) + b over the last axis, with the biased variance.

    Source: Ba et al. 2016, "Layer normalization", eq. 4.

    Args:
        x: `[..., H]`.
        weight: `[H]`.
        bias: `[H]`.
        eps: ε, keeps constant inputs finite.
    """
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return weight * (centred * (variance + eps).rsqrt()) + bias


@final
class LayerNorm(nn.Module):
    """`torch.nn.LayerNorm` over one axis, exact to every order; the two read each other's `state_dict`."""

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        """Make the layer as torch does: weights one, biases zero.

        Args:
            size: H, length of the last axis.
            eps: added to the variance (torch: 1e-5).
        """
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input `[..., H]`."""
        return layer_norm(x, self.weight, self.bias, self.eps)
