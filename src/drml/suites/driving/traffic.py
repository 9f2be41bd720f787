"""Traffic: the cars of E roads, from one simulation step to the next, and as an episode finds them.

    all decide (who gives way, who changes lane, how hard to brake), then all roll, then it is seen who was hit

Source: the order of highway-env 1.12.1, road/road.py; places and speeds at the start as `create_random` there.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from drml.suites.driving import bicycle, collision, commands
from drml.suites.driving.cars import (
    CRASHED,
    EXPONENT,
    FREE,
    HEADWAY,
    POLITENESS,
    PUSH_X,
    PUSH_Y,
    SPEED,
    TARGET,
    VY,
    WAIT,
    WANTED,
    X,
    Y,
    empty,
    of,
    turn,
)
from drml.suites.driving.drivers import MAX_ACCELERATION, PICKUP, crowding, free_part
from drml.suites.driving.lane_changes import DELAY, LaneChanges
from drml.suites.driving.neighbours import Queue, line_up
from drml.suites.driving.straight import LANE_WIDTH, SPEED_LIMIT, nearest_lane
from drml.suites.driving.tasks import Culture

EGO_SPEED = 25.0
"""Speed of the driven car at the start, m/s."""
EGO_SPACING = 1.5
"""Spacing behind the first of the others, in units of theirs."""
START_DRAWS = 4
"""Uniform numbers that a car's start takes: lane, speed, spacing, exponent."""


@final
@dataclass
class Traffic:
    """Cars of E roads; what is computed is written into `rows`, which nobody else may hold."""

    rows: Tensor
    """`[Q, E, C]`."""
    culture: Culture
    most_lanes: int
    """Lanes where there are most."""
    dt: float
    """Simulation step, s."""
    steering: Tensor | None = None
    """sin β of the driven cars `[E]`, where they are steered; else they keep to the lane that they were told."""
    throttle: Tensor | None = None
    """Acceleration of the driven cars `[E]`, m/s², where it is given."""
    is_pushed: bool = True
    """True where a collision may push a car in the next step."""

    def __post_init__(self) -> None:
        self._cars = self.rows.unbind(0)

    def step(self) -> None:
        """Go on by one simulation step."""
        rows, cars = self.rows, self._cars
        lane = nearest_lane(cars[Y], self.culture.lanes)
        queue = line_up(cars[X], cars[Y], lane, self.most_lanes)
        if self.steering is not None:
            cars[TARGET][:, 0] = lane[:, 0]
        ahead = queue.car(queue.ahead(queue.rank, queue.on.gather(1, lane.long() + 1)))
        cars[FREE].copy_(free_part(cars))
        LaneChanges(rows, cars, lane, queue, ahead, self.culture, thinking_period(self.dt)).decide()
        pull = self._pull(lane, queue, ahead)
        slip = bicycle.slip_to_lane(cars)
        if self.steering is not None:
            slip[:, 0] = self.steering
        sound = 1.0 - cars[CRASHED]
        slip.mul_(sound)
        pull.mul_(sound).addcmul_(cars[CRASHED], cars[SPEED], value=-1.0)
        bicycle.roll(cars, slip, pull, self.dt)
        cars[WAIT].sub_(1.0)
        if self.is_pushed:
            self._push()
        self.is_pushed = collision.crash(rows, cars, self.dt)

    def _pull(self, lane: Tensor, queue: Queue, ahead: Tensor) -> Tensor:
        """Return the acceleration `[E, C]`: of driven cars as told, of others as the cars before them allow."""
        rows, cars = self.rows, self._cars
        before = rows[: VY + 1].flatten(1).index_select(1, ahead.view(-1)).view(VY + 1, *lane.shape).unbind(0)
        crowd = crowding(cars, before)
        changing = (cars[TARGET] - lane).view(-1).nonzero().squeeze(1)  # [M]
        if len(changing):
            road = torch.div(changing, lane.shape[1], rounding_mode="floor")
            target = cars[TARGET].view(-1).index_select(0, changing).long() + 1
            on = queue.on.view(-1).index_select(0, road * queue.on.shape[1] + target)
            first = road * lane.shape[1]
            rank = queue.ahead(queue.rank.view(-1).index_select(0, changing), on)
            entered = of(rows[: VY + 1], queue.order.view(-1).index_select(0, rank + first) + first)
            flat, other = crowd.view(-1), crowding(of(rows[: HEADWAY + 1], changing), entered)
            flat.index_copy_(0, changing, flat.index_select(0, changing).maximum(other))
        pull = crowd.add_(cars[FREE]).sub_(1.0).mul_(-PICKUP).clamp_(-MAX_ACCELERATION, MAX_ACCELERATION)
        grip = self.culture.grip[:, 0]
        told = commands.to_speed(cars) if self.throttle is None else self.throttle
        told = torch.clamp(told, -grip, grip)
        pull[:, 0] = bicycle.kept_speed(cars[SPEED][:, 0], told)
        return pull

    def _push(self) -> None:
        """Move what a collision pushes, and wreck it."""
        cars = self._cars
        push_x, push_y = cars[PUSH_X], cars[PUSH_Y]
        cars[CRASHED].masked_fill_((push_x != 0.0) | (push_y != 0.0), 1.0)
        for place, push in ((X, push_x), (Y, push_y)):
            cars[place].add_(push)
            push.zero_()


def thinking_period(dt: float) -> int:
    """Return the simulation steps from one thought of changing lane to the next: the first beyond 1 s."""
    return math.floor(DELAY / dt + 1e-6) + 1


def first_thought(x: Tensor, y: Tensor, dt: float) -> Tensor:
    """Return the simulation steps to the first thought of changing lane; clocks start at π (x + y) mod 1 s."""
    clock = torch.remainder((x + y) * math.pi, DELAY)
    return torch.floor((DELAY - clock) / dt) + 1.0


def starts(unit: Tensor, culture: Culture, dt: float) -> Tensor:
    """Return cars `[Q, E, C]` as an episode finds them: the driven one last of all, the others spread out before it.

        xᵢ = xᵢ₋₁ + s (12 m + 1 s · vᵢ) e^(−lanes / 8) uᵢ,  u uniform in [0.9, 1.1),  s = 1 / density

    Others want 21 to 24 m/s, times the pace. Speeds, lanes and exponents are uniform.

    Args:
        unit: `[4, E, C − 2]` uniform in [0, 1).
        culture: of the E roads.
        dt: simulation step, s.
    """
    _, roads, cars = unit.shape
    lanes = culture.lanes[:, :cars]
    rows = empty(roads, cars, unit)
    road = rows[:, :, :cars]
    lane = (unit[0] * lanes).floor()
    speed = (0.7 + 0.1 * unit[1]) * SPEED_LIMIT * culture.pace[:, :cars]
    speed[:, 0] = EGO_SPEED
    spacing = 1.0 / culture.density[:, :cars]
    spacing[:, 0] = EGO_SPACING
    offset = spacing * (12.0 + speed) * torch.exp(lanes * (-5.0 / 40.0))
    steps = offset * (0.9 + 0.2 * unit[2])
    steps[:, 0] += 3.0 * offset[:, 0]
    road[X], road[Y] = steps.cumsum(1), LANE_WIDTH * lane
    road[SPEED], road[WANTED], road[TARGET] = speed, speed, lane
    road[EXPONENT] = 3.5 + unit[3]
    rows[HEADWAY], rows[POLITENESS] = culture.time_gap, culture.politeness
    road[WAIT] = first_thought(road[X], road[Y], dt)
    road[WAIT][:, 0] = torch.inf  # the driven car is told
    turn(rows)
    return rows
