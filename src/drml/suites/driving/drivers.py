"""The intelligent driver model: how cars follow one another.

    a = A (1 − (v / v₀)^δ − (g / d)²)      g = g₀ + v T + v Δv / (2 √(A B))

d is the distance to the car ahead, middle to middle, and Δv how fast it comes nearer.

Source: Treiber, Hennecke and Helbing 2000, "Congested traffic states in empirical observations and microscopic
simulations", equations 3 and 4, https://arxiv.org/abs/cond-mat/0002177. The figures are those of highway-env 1.12.1,
vehicle/behavior.py.
"""

import math

import torch
from torch import Tensor

from drml.suites.driving.angles import SMALLEST, not_zero, power
from drml.suites.driving.cars import COS, EXPONENT, HEADWAY, LENGTH, SIN, SPEED, VX, VY, WANTED, Cars, X
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


def closing_speed(follower: Cars, leader: Cars) -> Tensor:
    """Return Δv: the difference of the velocities along the direction in which the follower heads."""
    slower = torch.addcmul(follower[SPEED], leader[VX], follower[COS], value=-1.0)
    return slower.addcmul_(leader[VY], follower[SIN], value=-1.0)


def free_part(rows: Cars) -> Tensor:
    """Return (v / v₀)^δ: what a free road takes away of the acceleration A."""
    wanted = rows[WANTED].clamp(SMALLEST, SPEED_LIMIT)
    return power(torch.div(rows[SPEED], wanted).clamp_min_(0.0), rows[EXPONENT])


def crowding(follower: Cars, leader: Cars) -> Tensor:
    """Return (g / d)²: what a car ahead takes away of the acceleration A."""
    gap = wanted_gap(follower[SPEED], closing_speed(follower, leader), follower[HEADWAY])
    ratio = gap.div_(not_zero(leader[X] - follower[X]))
    return ratio.mul_(ratio)
