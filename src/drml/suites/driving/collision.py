"""Collisions: rectangles that turn and move, by the axes that separate them.

Two rectangles are apart exactly where their shadows on one of their four sides' directions are. Moved by their
velocities for one step, the axis of least overlap says which way they are pushed: each by half of it.

Source: Gottschalk, Lin and Manocha 1996, "OBBTree", section 5; the step ahead and the push as in highway-env 1.12.1,
utils.py and vehicle/objects.py.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from drml.suites.driving.cars import COS, CRASHED, LENGTH, PUSH_X, PUSH_Y, SIN, SPEED, VX, VY, WIDTH, Cars, X, Y, of

DIAGONAL = math.hypot(LENGTH, WIDTH)
"""Diagonal of a car, m."""


class Meeting(NamedTuple):
    """Outcome for M pairs of cars."""

    touch: Tensor
    """`[M]` bool: they overlap."""
    will_touch: Tensor
    """`[M]` bool: they do after this step, or at some time within it."""
    push_x: Tensor
    """`[M]` m, what moves the first out of the second."""
    push_y: Tensor
    """`[M]`."""


def meet(first: Cars, second: Cars, dt: float) -> Meeting:
    """Return where pairs of cars `[M]` overlap, now or within a step of `dt` seconds."""
    cos = torch.stack((first[COS], first[SIN].neg(), second[COS], second[SIN].neg()))  # [4, M] axes
    sin = torch.stack((first[SIN], first[COS], second[SIN], second[COS]))
    apart_x, apart_y = first[X] - second[X], first[Y] - second[Y]
    apart = cos * apart_x + sin * apart_y  # middle to middle, on each axis
    moved = (cos * (first[VX] - second[VX]) + sin * (first[VY] - second[VY])) * dt
    a, b = _half_shadow(first, cos, sin), _half_shadow(second, cos, sin)
    now = _gap(apart - a, apart + a, b)
    low, high = apart - a + moved.clamp_max(0.0), apart + a + moved.clamp_min(0.0)
    soon = torch.stack((_gap(low, high, b), _gap(-high, -low, b)))  # [2, 4, M]: along each axis, and against it
    depth, axis = soon.abs().amin(0).min(0)
    push_x, push_y = (depth * side.gather(0, axis.unsqueeze(0)).squeeze(0) for side in (cos, sin))
    away = torch.where(push_x * apart_x + push_y * apart_y > 0.0, 1.0, -1.0)
    touch, will_touch = (now <= 0.0).all(0), (soon <= 0.0).flatten(0, 1).all(0)
    return Meeting(touch, will_touch, away * push_x, away * push_y)


def _half_shadow(cars: Cars, cos: Tensor, sin: Tensor) -> Tensor:
    """Return half the length of the shadows `[4, M]` of cars on axes."""
    along, across = cars[COS] * cos + cars[SIN] * sin, cars[COS] * sin - cars[SIN] * cos
    return 0.5 * (LENGTH * along.abs() + WIDTH * across.abs())


def _gap(low: Tensor, high: Tensor, half: Tensor) -> Tensor:
    """Return the distance of [low, high] from [−half, half], below zero where they overlap."""
    return torch.where(low < -half, -half - high, low - half)


def crash(rows: Tensor, cars: Cars, dt: float) -> bool:
    """Mark in `[Q, E, C]` what the driven cars hit, and return whether anything is about to.

    Only car 0 of each road meets others: the others pass through each other, as in highway-env's `highway-fast-v0`.
    """
    x, y, count = cars[X], cars[Y], rows.shape[2]
    apart_x, apart_y = x - x[:, :1], y - y[:, :1]
    reach = DIAGONAL + cars[SPEED][:, :1] * dt
    near = apart_x.square_().addcmul_(apart_y, apart_y) <= reach * reach
    near[:, 0] = False
    others = near.view(-1).nonzero().squeeze(1)  # [M], by road and then by number
    if not len(others):
        return False
    egos = torch.div(others, count, rounding_mode="floor") * count
    met = meet(of(rows[: Y + 1], egos), of(rows[: Y + 1], others), dt)
    wrecked = cars[CRASHED].view(-1)
    touch = met.touch.nonzero().squeeze(1)
    wrecked[egos[touch]] = 1.0
    wrecked[others[touch]] = 1.0
    soon = met.will_touch.nonzero().squeeze(1)
    if not len(soon):
        return False
    last = soon[torch.cat((egos[soon][1:] != egos[soon][:-1], met.touch.new_ones(1)))]
    for row, push in ((PUSH_X, met.push_x), (PUSH_Y, met.push_y)):
        pushed = cars[row].view(-1)
        pushed[egos[last]] = push[last] / 2
        pushed[others[soon]] = -push[soon] / 2
    return True
