"""The intelligent driver model: how cars follow one another.

    a = A (1 − (v / v₀)^δ − (g / d)²)      g = g₀ + v T + v Δv / (2 √(A B))

d is the distance to the car ahead, middle to middle, and Δv how fast it comes nearer.

Source: Treiber, Hennecke and Helbing 2000, "Congested traffic states in empirical observations and microscopic
simulations", equations 3 and 4, https://arxiv.org/abs/cond-mat/0002177. The figures are those of highway-env 1.12.1,
vehicle/behavior.py.
"""

import math

from torch import Tensor

from drml.suites.driving.angles import SMALLEST, not_zero, power
from drml.suites.driving.cars import COS, EXPONENT, LENGTH, SIN, SPEED, WANTED, X
from drml.suites.driving.straight import SPEED_LIMIT

PICKUP = 3.0
"""A: acceleration on a free road from standstill, m/s²."""
COMFORT = 5.0
"""B: comfortable braking, m/s²."""
JAM_GAP = 5.0 + LENGTH
"""g₀: distance wanted in a jam, middle to middle, m."""
TIME_GAP = 1.5
"""T: time gap wanted, s."""
MAX_ACCELERATION = 6.0
"""Largest acceleration, and braking, m/s²."""
_CLOSING = 1.0 / (2.0 * math.sqrt(PICKUP * COMFORT))


def wanted_gap(speed: Tensor, closing: Tensor, time_gap: Tensor) -> Tensor:
    """Return g (m) at a speed v with Δv, both in m/s, and a time gap T in s."""
    return (closing * _CLOSING).add_(time_gap).mul_(speed).add_(JAM_GAP)


def closing_speed(rows: Tensor, ahead_vx: Tensor, ahead_vy: Tensor) -> Tensor:
    """Return Δv: the difference of the velocities along the direction in which the follower heads."""
    return rows[SPEED] - ahead_vx * rows[COS] - ahead_vy * rows[SIN]


def acceleration(rows: Tensor, ahead_x: Tensor, ahead_vx: Tensor, ahead_vy: Tensor, time_gap: Tensor) -> Tensor:
    """Return a (m/s²) of each of the cars of `[Q, ...]`, not yet limited.

    Args:
        rows: the followers.
        ahead_x: where the car ahead is.
        ahead_vx: its velocity along the road.
        ahead_vy: its velocity across.
        time_gap: T of each follower, s.
    """
    wanted = rows[WANTED].clamp(SMALLEST, SPEED_LIMIT)
    free = power((rows[SPEED] / wanted).clamp_min_(0.0), rows[EXPONENT])
    gap = wanted_gap(rows[SPEED], closing_speed(rows, ahead_vx, ahead_vy), time_gap)
    ratio = gap.div_(not_zero(ahead_x - rows[X]))
    return free.addcmul_(ratio, ratio).sub_(1.0).mul_(-PICKUP)


def behind(follower: Tensor, leader: Tensor, time_gap: Tensor) -> Tensor:
    """Return a (m/s²) of followers `[Q, ...]` behind given cars `[Q, ...]`."""
    return acceleration(follower, leader[X], leader[SPEED] * leader[COS], leader[SPEED] * leader[SIN], time_gap)
