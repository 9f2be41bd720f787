"""The kinematic bicycle: a car that rolls where its wheels point, without sliding.

    x' = x + v cos(ψ + β) dt      y' = y + v sin(ψ + β) dt      ψ' = ψ + v sin β / (L/2) dt      v' = v + a dt

β is the slip angle at the middle of the car, β = arctan(½ tan δ) for the steering angle δ of the front wheels.

Source: Polack et al. 2017, "The kinematic bicycle model: a consistent model for planning feasible trajectories for
autonomous vehicles?", section II, integrated by Euler's rule as in highway-env 1.12.1, vehicle/kinematics.py.
"""

import math

import torch
from torch import Tensor

from drml.suites.driving.angles import not_zero
from drml.suites.driving.cars import COS, HEADING, LENGTH, SIN, SPEED, TARGET, Cars, X, Y, turn
from drml.suites.driving.straight import LANE_WIDTH

MAX_SPEED = 40.0
"""Speed (m/s), forwards or backwards, beyond which a car slows down."""
LATERAL_RATE = 1.0 / 0.6
"""Rate (1/s) at which a driver takes back the distance from the lane's middle."""
HEADING_RATE = 1.0 / 0.2
"""Rate (1/s) at which a driver turns to the heading that does it."""
MAX_SLOPE = math.sin(math.pi / 4)
"""Sine of the largest angle to the lane that a driver takes."""
MAX_SIN_SLIP = math.sin(math.atan(0.5 * math.tan(math.pi / 3)))
"""Sine of the slip angle at the largest steering angle, 60°."""


def sin_slip(steering: Tensor) -> Tensor:
    """Return sin β for a steering angle δ (rad): ½ tan δ / √(1 + ¼ tan² δ)."""
    half = 0.5 * steering.tan()
    return half / (1.0 + half * half).sqrt()


def slip_to_lane(rows: Cars) -> Tensor:
    """Return the sine of the slip angle `[E, C]` with which each car of `[E, C]` steers for the middle of its lane.

        ψ* = clip(arcsin(−y₀ / (0.6 v)), ±45°)      sin β = clip((L/2) (ψ* − ψ) / (0.2 v), ±sin β_max)

    y₀ is the distance from the lane's middle. A steering angle is δ = arctan(2 tan β): it need not be computed.
    Source: highway-env 1.12.1, vehicle/controller.py; the cascade is theirs, the short form follows from it.
    """
    rate = not_zero(rows[SPEED]).reciprocal_()
    slope = torch.addcmul(-rows[Y], rows[TARGET], rows[SPEED].new_tensor(LANE_WIDTH)).mul_(rate).mul_(LATERAL_RATE)
    heading = slope.clamp_(-MAX_SLOPE, MAX_SLOPE).asin_()
    slip = heading.sub_(rows[HEADING]).mul_(rate).mul_(HEADING_RATE * LENGTH / 2)
    return slip.clamp_(-MAX_SIN_SLIP, MAX_SIN_SLIP)


def roll(rows: Cars, slip: Tensor, acceleration: Tensor, dt: float) -> None:
    """Move all cars of `[E, C]` in place by one simulation step.

    Args:
        rows: the cars.
        slip: sin β `[E, C]`.
        acceleration: m/s², `[E, C]`.
        dt: s.
    """
    way = rows[SPEED] * dt
    ahead = way * (1.0 - slip * slip).sqrt_()  # v dt cos β
    aside = way * slip  # v dt sin β
    rows[X].addcmul_(ahead, rows[COS]).addcmul_(aside, rows[SIN], value=-1.0)
    rows[Y].addcmul_(ahead, rows[SIN]).addcmul_(aside, rows[COS])
    rows[HEADING].add_(aside, alpha=2.0 / LENGTH)
    rows[SPEED].add_(acceleration, alpha=dt)
    turn(rows)


def kept_speed(speed: Tensor, acceleration: Tensor) -> Tensor:
    """Return the acceleration, so limited that a car beyond ±40 m/s comes back to it within a second."""
    slower = acceleration.minimum(MAX_SPEED - speed).where(speed > MAX_SPEED, acceleration)
    return acceleration.maximum(-MAX_SPEED - speed).where(speed < -MAX_SPEED, slower)
