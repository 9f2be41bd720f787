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

from drml.suites.driving.cars import COS, CRASHED, SIN, SPEED, TARGET, WAIT, X, of
from drml.suites.driving.drivers import behind, closing_speed, wanted_gap
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
    lane: Tensor
    """`[E, C]` the lane that each is on."""
    queue: Queue
    culture: Culture
    period: int
    """Simulation steps from one thought of changing to the next one."""

    def decide(self) -> None:
        """Write new lanes to steer for, and when the next thought is due, into `rows`."""
        before = self.rows[TARGET].clone()
        is_changing = before - self.lane
        busy = (is_changing.abs() + self.rows[CRASHED]) * _NEVER
        ready = (self.rows[WAIT] + busy <= 0.0).view(-1).nonzero().squeeze(1)  # [M]
        if len(ready):
            self._think(ready)
        changing = (is_changing * (1.0 - self.rows[CRASHED])).view(-1)
        changing.view(self.lane.shape)[:, 0] = 0.0  # the driven car is told, it does not think
        changing = changing.nonzero().squeeze(1)
        if len(changing):
            self._give_up(changing, before)

    def _think(self, ready: Tensor) -> None:
        """Let the cars `ready` `[M]` change to a side where that is better; the right one where both are."""
        target, wait = self.rows[TARGET].view(-1), self.rows[WAIT].view(-1)
        wait.index_fill_(0, ready, self.period)
        lane = self.lane.view(-1).index_select(0, ready)
        left, right = lane - 1.0, lane + 1.0
        is_better = self._is_better(ready.repeat(2), torch.cat((left, right)))
        to_left, to_right = is_better.view(2, -1)
        chosen = torch.where(to_right, right, torch.where(to_left, left, lane))
        target.index_copy_(0, ready, chosen)

    def _is_better(self, cars: Tensor, lane: Tensor) -> Tensor:
        """Return whether it is safe and better for each of the cars `[M]` to be on a lane `[M]` beside its own."""
        culture, side = self.culture, lane - self.lane.view(-1).index_select(0, cars)
        road = torch.div(cars, self.lane.shape[1], rounding_mode="floor")
        rank = self.queue.rank.view(-1).index_select(0, cars)
        here, there = self._on(road, lane - side), self._on(road, lane)
        new_ahead, new_back = (
            self._car(road, self.queue.ahead(rank, there)),
            self._car(road, self.queue.back(rank, there)),
        )
        old_ahead, old_back = (
            self._car(road, self.queue.ahead(rank, here)),
            self._car(road, self.queue.back(rank, here)),
        )
        own, gap = of(self.rows, cars), culture.time_gap.view(-1).index_select(0, cars)
        imposed = behind(new_back, own, gap)
        gain = behind(own, new_ahead, gap) - behind(own, old_ahead, gap)
        others = (
            imposed - behind(new_back, new_ahead, gap) + behind(old_back, old_ahead, gap) - behind(old_back, own, gap)
        )
        gain = torch.addcmul(gain, culture.politeness.view(-1).index_select(0, cars), others)
        lanes = culture.lanes.view(-1).index_select(0, cars)
        exists = (lane >= 0.0) & (lane < lanes) & (own[SPEED].abs() >= SLOWEST)
        return exists & (imposed >= -SAFE_BRAKING) & (gain >= GAIN)

    def _on(self, road: Tensor, lane: Tensor) -> Tensor:
        """Return the cars on lanes of roads, as bits by rank."""
        on = self.queue.on
        return on.view(-1).index_select(0, road * on.shape[1] + lane.long() + 1)

    def _car(self, road: Tensor, rank: Tensor) -> Tensor:
        """Return the quantities `[Q, M]` of the cars of given ranks on given roads."""
        cars = self.lane.shape[1]
        return of(self.rows, self.queue.order.view(-1).index_select(0, road * cars + rank) + road * cars)

    def _give_up(self, cars: Tensor, before: Tensor) -> None:
        """Let those of the changing cars `[M]` stay on their lane before whom another comes into the new one.

        Drivers decide in the order of their numbers: each sees what those before it have decided just now.
        """
        count = self.lane.shape[1]
        road = torch.div(cars, count, rounding_mode="floor")
        number = cars - road * count
        own = of(self.rows, cars).unsqueeze(2)  # [Q, M, 1]
        others = self.rows.index_select(1, road)  # [Q, M, C]
        earlier = torch.arange(count, device=cars.device) < number.unsqueeze(1)  # [M, C]
        seen = torch.where(earlier, others[TARGET], before.index_select(0, road))
        distance = others[X] - own[X]
        gap = self.culture.time_gap.view(-1).index_select(0, cars).unsqueeze(1)
        velocity = others[SPEED] * others[COS], others[SPEED] * others[SIN]
        near = (distance > 0.0) & (distance < wanted_gap(own[SPEED], closing_speed(own, *velocity), gap))
        rivals = near & (seen == own[TARGET]) & (self.lane.index_select(0, road) != own[TARGET])
        gives_up = rivals.any(1)
        if not bool(gives_up.any()):
            return
        # A rival before us who has just given up is none.
        gone = torch.zeros(self.lane.numel(), dtype=torch.bool, device=cars.device).index_copy_(0, cars, gives_up)
        gives_up = (rivals & ~(gone.view(self.lane.shape).index_select(0, road) & earlier)).any(1)
        target = self.rows[TARGET].view(-1)
        target.index_copy_(0, cars, torch.where(gives_up, self.lane.view(-1).index_select(0, cars), own[TARGET, :, 0]))
