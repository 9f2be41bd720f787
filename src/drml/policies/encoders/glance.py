"""A glance: few numbers of an observation, for what is linear in them.

    g = x P / √n        P fixed, ±1 at random, `[n, 64]`, for the n values of a picture or of symbols

A value baseline that is fitted by least squares can neither learn an encoder nor solve for as many weights as a
picture has pixels. A random projection keeps distances between observations (Johnson & Lindenstrauss 1984), and what
is linear in the pixels stays nearly linear in it. Numbers and flags beside pictures are kept as they are.
"""

import math
from functools import cache

import torch
from torch import Tensor

from drml.core.observation import Part, Parts, scaled, split
from drml.core.rng import Streams

GLANCED = 64
"""Numbers that are kept of all pictures and symbols."""
ROWS_AT_ONCE = 1024  # observations that are floats at a time


def glance_size(parts: Parts, obs_size: int) -> int:
    """Return the length of a glance at observations of length O."""
    return sum(_kept(part, parts) for part in parts) if parts else obs_size


def glance(parts: Parts, obs: Tensor) -> Tensor:
    """Return few numbers `[..., G]` of observations `[..., O]`; without parts the very observations."""
    if not parts:
        return obs
    found = [_glance(part, values, _kept(part, parts)) for part, values in zip(parts, split(parts, obs), strict=True)]
    return torch.cat(found, -1)


def _kept(part: Part, parts: Parts) -> int:
    """Return how many numbers are kept of a part: its share of all, and no more than it has."""
    if not _is_large(part):
        return part.size
    return max(1, min(part.size, GLANCED // sum(map(_is_large, parts))))


def _is_large(part: Part) -> bool:
    return part.kind in ("picture", "symbols") or (part.kind == "bits" and len(part.shape) > 2)


def _glance(part: Part, values: Tensor, kept: int) -> Tensor:
    if kept == part.size:
        return scaled(part, values)
    signs = _signs(part.size, kept).to(values.device)
    rows = values.reshape(-1, part.size).split(ROWS_AT_ONCE)
    found = torch.cat([torch.mm(scaled(part, some), signs) for some in rows])
    return found.view(*values.shape[:-1], kept) / math.sqrt(part.size)


@cache
def _signs(size: int, kept: int) -> Tensor:
    """Return the fixed projection `[size, kept]`."""
    return (Streams(0)["glance", size].uniform((size, kept)) < 0.5).to(torch.float32) * 2.0 - 1.0
