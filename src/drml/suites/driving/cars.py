"""The state of traffic: what there is to say of each car, one row of a tensor for each quantity.

    state [K, B, Q, C]      Q quantities of C cars in B copies of K roads; in memory [Q, K B, C], so that each quantity
                            is one run of numbers

Car 0 is the one that is driven. The last two are wrecks out of sight, one far behind and one far ahead, which lie on
every lane: so each car has one before it and one behind it, and no formula has to ask.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Cars = Sequence[Tensor] | Tensor
"""Quantities of cars by row, each of one shape: a tensor `[Q, ...]`, or its rows, which are at hand faster."""

TARGET, X, VX, VY, SPEED, COS, SIN, HEADWAY, FREE, POLITENESS, Y = range(11)
"""Rows that decisions are made of, side by side so that they are looked up together: lane steered for, place along the
road (m), velocity along and across it (m/s), speed (m/s), cosine and sine of the heading, time gap that is kept (s),
what a free road takes away of the acceleration, what others' losses count, and place across the road (m)."""
HEADING, WANTED, WAIT, EXPONENT, CRASHED, PUSH_X, PUSH_Y, AGE, DUE = range(11, 20)
"""Rows: heading (rad), speed wanted (m/s), simulation steps until lanes are thought of,
exponent of the free road, 1 for a wreck, push of a collision at the next step (m), policy steps since the episode's
start, pay that is handed over at its end."""
QUANTITIES = 20
BESIDES = 2
"""Wrecks out of sight."""
FAR = 1e9
"""Distance (m) of a wreck out of sight: its pull on the one behind it, (gap / distance)², is less than 1e-13."""

LENGTH = 5.0
"""Length of a car, m."""
WIDTH = 2.0
"""Width of a car, m."""


def empty(roads: int, cars: int, like: Tensor) -> Tensor:
    """Return cars `[Q, E, C + 2]` that stand at 0, and the two wrecks out of sight, of a tensor's dtype and device."""
    rows = like.new_zeros(QUANTITIES, roads, cars + BESIDES)
    rows[X][:, cars:] = like.new_tensor([-FAR, FAR])
    rows[CRASHED][:, cars:] = 1.0
    rows[EXPONENT][:, cars:] = 4.0
    rows[COS] = 1.0
    return rows


def turn(cars: Cars) -> None:
    """Write cosine and sine of the headings, and the velocities."""
    torch.cos(cars[HEADING], out=cars[COS])
    torch.sin(cars[HEADING], out=cars[SIN])
    torch.mul(cars[SPEED], cars[COS], out=cars[VX])
    torch.mul(cars[SPEED], cars[SIN], out=cars[VY])


def in_rows(state: Tensor) -> Tensor:
    """Return a copy `[Q, E, C]` of the state `[K, B, Q, C]`, whose roads are counted through: E = K B."""
    copies, quantities, cars = state.shape[1:]
    return state.permute(2, 0, 1, 3).clone().view(quantities, state.shape[0] * copies, cars)


def as_state(rows: Tensor, copies: int) -> Tensor:
    """Return rows `[Q, E, C]` as the state `[K, B, Q, C]`, without a copy."""
    quantities, roads, cars = rows.shape
    return rows.view(quantities, roads // copies, copies, cars).permute(1, 2, 0, 3)


def of(rows: Tensor, cars: Tensor) -> tuple[Tensor, ...]:
    """Return the quantities `[M]` of some cars, by row; they are counted through all roads."""
    return rows.flatten(1).index_select(1, cars).unbind(0)
