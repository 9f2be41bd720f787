"""MOBIL: when a driver changes lane, and when one gives up.

    change if    ã_n ≥ −2 m/s²    and    ã_c − a_c + p (ã_n − a_n + ã_o − a_o) ≥ 0.2 m/s²

c is the one who changes, n the new car behind, o the old one; ã is the acceleration after the change. Politeness p says
what others' losses count. A driver thinks of it once a second, and not while changing. One who is changing gives it up
where another is changing into the same lane too near ahead.

Source: Kesting, Treiber and Helbing 2007, "General lane-changing model MOBIL for car-following models", equations 3
and 5. The figures, the timing and the giving up are those of highway-env 1.12.1, vehicle/behavior.py.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from drml.suites.driving.cars import (
    CRASHED,
    FREE,
    HEADWAY,
    POLITENESS,
    SPEED,
    TARGET,
    VY,
    WAIT,
    Cars,
    X,
    of,
)
from drml.suites.driving.drivers import PICKUP, closing_speed, crowding, wanted_gap
from drml.suites.driving.neighbours import Queue
from drml.suites.driving.tasks import Culture

SAFE_BRAKING = 2.0
"""Braking (m/s²) that may be imposed on the new car behind."""
GAIN = 0.2
"""Gain in acceleration, m/s², from which a change is worth while."""
DELAY = 1.0
"""Time (s) that has to pass between two thoughts of changing."""
SLOWEST = 1.0
"""Speed (m/s) from which a car can change lane."""
_NEVER = 1e4  # outweighs whatever WAIT has come to


@final
@dataclass(frozen=True)
class LaneChanges:
    """Decisions of all drivers on E roads at one moment."""

    rows: Tensor
    """`[Q, E, C]` the cars."""
    cars: Cars
    """`[E, C]` the same, by row."""
    lane: Tensor
    """`[E, C]` the lane that each is on."""
    queue: Queue
    ahead: Tensor
    """`[E, C]` int64, the next car before each on its lane, counted through all roads."""
    culture: Culture
    period: int
    """Simulation steps from one thought of changing to the next one."""

    def decide(self) -> None:
        """Write new lanes to steer for, and when the next thought is due, into `rows`."""
        cars, lane = self.cars, self.lane
        before, crashed = cars[TARGET].clone(), cars[CRASHED]
        is_changing = before - lane
        busy = is_changing.abs().add_(crashed).mul_(_NEVER)
        ready = (busy.add_(cars[WAIT]) <= 0.0).view(-1).nonzero().squeeze(1)  # [M]
        if len(ready):
            self._think(ready)
        is_changing.addcmul_(is_changing, crashed, value=-1.0)
        is_changing[:, 0] = 0.0  # the driven car is told, it does not think
        changing = is_changing.view(-1).nonzero().squeeze(1)
        if len(changing):
            self._give_up(changing, before)

    def _think(self, ready: Tensor) -> None:
        """Let the cars `ready` `[M]` change to a side where that is better; the right one where both are."""
        target, wait = self.cars[TARGET].view(-1), self.cars[WAIT].view(-1)
        wait.index_fill_(0, ready, self.period)
        lane = self.lane.view(-1).index_select(0, ready)
        last = self.culture.lanes.view(-1).index_select(0, ready) - 1.0
        left, right = (lane > 0.0).nonzero().squeeze(1), (lane < last).nonzero().squeeze(1)
        movers = torch.cat((left, right))
        if not len(movers):
            return
        side = lane.new_ones(len(movers))
        side[: len(left)] = -1.0
        there = lane.index_select(0, movers) + side
        movers = ready.index_select(0, movers)
        better = self._is_better(movers, there, side).nonzero().squeeze(1)  # those to the left first
        number = len(left) if len(better) else 0
        for part in (better[better < number], better[better >= number]):
            target.index_copy_(0, movers.index_select(0, part), there.index_select(0, part))

    def _is_better(self, cars: Tensor, lane: Tensor, side: Tensor) -> Tensor:
        """Return where it is safe and better for each of the cars `[M]` to be on a lane `[M]` beside its own."""
        queue, count = self.queue, self.lane.shape[1]
        road = torch.div(cars, count, rounding_mode="floor")
        first, lanes = road * count, road * queue.on.shape[1] + 1
        rank, on = queue.rank.view(-1).index_select(0, cars), queue.on.view(-1)
        there = on.index_select(0, lanes + lane.long())
        here = on.index_select(0, lanes + (lane - side).long())
        met = torch.cat((queue.ahead(rank, there), queue.back(rank, there), queue.back(rank, here)))
        first = first.repeat(3)
        met = queue.order.view(-1).index_select(0, met + first).add_(first)
        met = torch.cat((cars, self.ahead.view(-1).index_select(0, cars), met))
        known = self.rows[: POLITENESS + 1].flatten(1).index_select(1, met).view(POLITENESS + 1, 5, -1)
        # of each: itself 0, the old and the new car ahead 1 and 2, the new and the old one behind 3 and 4
        follower = known.index_select(1, cars.new_tensor((0, 0, 3, 3, 4, 4))).unbind(0)
        leader = known[: VY + 1].index_select(1, cars.new_tensor((2, 1, 0, 2, 0, 1))).unbind(0)
        new, old, new_back, new_back_before, old_back_before, old_back = crowding(follower, leader).unbind(0)
        imposed = known[FREE, 3] + new_back - 1.0  # in units of −A
        loss = (new_back - new_back_before).add_(old_back).sub_(old_back_before)
        loss = torch.addcmul(new - old, known[POLITENESS, 0], loss)
        is_safe = (imposed <= SAFE_BRAKING / PICKUP) & (known[SPEED, 0].abs() >= SLOWEST)
        return is_safe & (loss <= -GAIN / PICKUP)

    def _give_up(self, cars: Tensor, before: Tensor) -> None:
        """Let those of the changing cars `[M]` stay on their lane before whom another comes into the new one.

        Drivers decide in the order of their numbers: each sees what those before it have decided just now.
        """
        count = self.lane.shape[1]
        road = torch.div(cars, count, rounding_mode="floor")
        number = cars - road * count
        own = [row.unsqueeze(1) for row in of(self.rows[: HEADWAY + 1], cars)]  # [M, 1]
        others = self.rows[: VY + 1].index_select(1, road).unbind(0)  # [M, C]
        earlier = torch.arange(count, device=cars.device) < number.unsqueeze(1)  # [M, C]
        seen = torch.where(earlier, others[TARGET], before.index_select(0, road))
        distance = others[X] - own[X]
        near = (distance > 0.0) & (distance < wanted_gap(own[SPEED], closing_speed(own, others), own[HEADWAY]))
        rivals = near & (seen == own[TARGET]) & (self.lane.index_select(0, road) != own[TARGET])
        gives_up = rivals.any(1)
        if not bool(gives_up.any()):
            return
        # A rival before us who has just given up is none.
        gone = torch.zeros(self.lane.numel(), dtype=torch.bool, device=cars.device).index_copy_(0, cars, gives_up)
        gives_up = (rivals & ~(gone.view(self.lane.shape).index_select(0, road) & earlier)).any(1)
        stays = torch.where(gives_up, self.lane.view(-1).index_select(0, cars), own[TARGET][:, 0])
        self.cars[TARGET].view(-1).index_copy_(0, cars, stays)
