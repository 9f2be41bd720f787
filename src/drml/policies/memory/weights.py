"""Initial weights of memories."""

import math

import torch
from torch import Tensor

from drml.core.parallel import one_torch_thread
from drml.core.rng import Streams


def xavier(size_in: int, size_out: int, rng: Streams) -> Tensor:
    """Return `[in, out]` weights uniform on ±√(6/(in + out)); source: Glorot & Bengio 2010, eq. 16."""
    return (2.0 * rng.uniform((size_in, size_out)) - 1.0) * math.sqrt(6.0 / (size_in + size_out))


@one_torch_thread()  # a factorisation that is split over the cores is rounded differently
def orthogonal(size: int, rng: Streams) -> Tensor:
    """Return an orthogonal matrix `[size, size]`, drawn uniformly; source: Saxe et al. 2014, section 3."""
    q, r = torch.linalg.qr(rng.normal((size, size)))
    return q * r.diagonal().sign()


def scaled_normal(size_in: int, size_out: int, scale: float, rng: Streams) -> Tensor:
    """Return normal `[in, out]` weights of standard deviation scale/√in: unit inputs give outputs of size `scale`."""
    return rng.normal((size_in, size_out)) * (scale / math.sqrt(size_in))
