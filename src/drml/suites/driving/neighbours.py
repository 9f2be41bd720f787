"""Neighbours: the next car before and behind on a lane, for all cars of all roads at once.

Cars are ranked along the road, and each lane is one whole number whose bit r says that the car of rank r is on it. The
car before is then the lowest bit above one's own, the car behind the highest one below: no two cars are compared.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from drml.suites.driving.straight import LANE_WIDTH

REACH = LANE_WIDTH / 2 + 1.0
"""Distance (m) from a lane's middle up to which a car counts as on it."""
_BITS = {torch.int32: (torch.float32, 23, 127), torch.int64: (torch.float64, 52, 1023)}
"""Float type whose exponent is the highest bit, where in it that stands, and what is added to it."""


class Queue(NamedTuple):
    """Cars of E roads in their order along the road."""

    order: Tensor
    """`[E, C]` int64, the car of each rank."""
    rank: Tensor
    """`[E, C]` the rank of each car."""
    on: Tensor
    """`[E, L + 2]` the cars on each lane, as bits by rank, from one lane left of the road to one right of it."""

    def ahead(self, rank: Tensor, on: Tensor) -> Tensor:
        """Return the rank of the next car before a rank, among given bits, 0 where there is none; int64."""
        above = (on >> rank) >> 1
        return _highest(above & -above).add_(rank).add_(1).clamp_min_(0).long()

    def car(self, rank: Tensor) -> Tensor:
        """Return the car of a rank, counted through all roads, for ranks `[E, C]`."""
        roads, cars = self.order.shape
        return self.order.gather(1, rank) + cars * torch.arange(roads, device=rank.device).unsqueeze(1)

    def back(self, rank: Tensor, on: Tensor) -> Tensor:
        """Return the rank of the next car behind a rank, among given bits, 0 where there is none; int64."""
        return _highest(on & ((torch.ones_like(rank) << rank) - 1)).clamp_min_(0).long()


def line_up(x: Tensor, y: Tensor, lane: Tensor, most_lanes: int) -> Queue:
    """Return the cars of E roads in order.

    The first and the last of them are out of sight, and count as being on every lane.

    Args:
        x: `[E, C]` m; of two cars side by side, the one with the higher number may count as the one before.
        y: `[E, C]` m.
        lane: `[E, C]` the nearest lane.
        most_lanes: L, the number of lanes where there are most.
    """
    roads, cars = x.shape
    kind = torch.int32 if cars <= 24 else torch.int64
    order = x.argsort(1)
    ranks = torch.arange(cars, device=x.device).expand(roads, cars)
    rank = torch.empty_like(order).scatter_(1, order, ranks).to(kind)
    bit = torch.ones_like(rank) << rank
    aside = y - LANE_WIDTH * lane
    beside = (aside / (LANE_WIDTH - REACH)).trunc_().clamp_(-1.0, 1.0)  # the side on which a car is on another lane too
    off = (aside / REACH).trunc_().clamp_(-1.0, 1.0)  # the side on which a car has left the road
    on = torch.zeros((roads, most_lanes + 2), dtype=kind, device=x.device)
    on.scatter_add_(1, (lane + off + 1.0).long(), bit)
    on.scatter_add_(1, (lane + beside + 1.0).long(), bit * (beside * beside - off * off).to(kind))
    return Queue(order, rank, on | (1 | 1 << (cars - 1)))


def _highest(bits: Tensor) -> Tensor:
    """Return the position of the highest bit of numbers above 0, read off the exponent of a float."""
    real, shift, bias = _BITS[bits.dtype]
    return (bits.to(real).view(bits.dtype) >> shift).sub_(bias)
