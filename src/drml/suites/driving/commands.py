"""Commands to the driven car: meta-actions, which set a lane and a speed, or throttle and steering themselves.

    0 LANE_LEFT    1 IDLE    2 LANE_RIGHT    3 FASTER    4 SLOWER

Source: highway-env 1.12.1, envs/common/action.py and `MDPVehicle` in vehicle/controller.py.
"""

import math

import torch
from torch import Tensor

from drml.suites.driving.cars import SPEED, TARGET, WANTED, Cars, Y
from drml.suites.driving.straight import is_reachable

LANE_LEFT, IDLE, LANE_RIGHT, FASTER, SLOWER = range(5)
META_ACTIONS = 5
"""Number of meta-actions."""
SLOWEST, SPEED_STEP, SPEEDS = 20.0, 5.0, 3
"""Speeds that can be asked for: 20, 25 and 30 m/s."""
SPEED_RATE = 1.0 / 0.6
"""Rate (1/s) at which the driven car takes up the speed that was asked for."""
MAX_THROTTLE = 5.0
"""Acceleration (m/s²) of a throttle of 1."""
MAX_STEERING = math.pi / 4
"""Steering angle (rad) of a steering of 1."""


def obey(rows: Tensor, action: Tensor, lanes: Tensor) -> None:
    """Set the lane and the speed of the driven cars of `[Q, E, C]`.

    A lane is changed from the one that is steered for, if the next one is at most two lanes away. FASTER and SLOWER
    start from the speed, of the three, that the car is nearest to.

    Args:
        rows: the cars.
        action: `[E]` int64.
        lanes: `[E]` how many there are.
    """
    target, wanted, speed = (rows[row][:, 0] for row in (TARGET, WANTED, SPEED))
    aside = (action == LANE_RIGHT).to(speed.dtype) - (action == LANE_LEFT).to(speed.dtype)
    lane = (target + aside).clamp_min(0.0).minimum(lanes - 1.0)
    target.copy_(torch.where(is_reachable(rows[Y][:, 0], lane), lane, target))
    more = (action == FASTER).to(speed.dtype) - (action == SLOWER).to(speed.dtype)
    nearest = ((speed - SLOWEST) / SPEED_STEP).round().clamp(0, SPEEDS - 1)
    asked = SLOWEST + SPEED_STEP * (nearest + more).clamp(0, SPEEDS - 1)
    wanted.copy_(torch.where(more != 0.0, asked, wanted))


def to_speed(rows: Cars) -> Tensor:
    """Return the acceleration `[E]` with which the driven cars take up the speed asked for: (v₀ − v) / 0.6 s."""
    return (rows[WANTED][:, 0] - rows[SPEED][:, 0]) * SPEED_RATE
