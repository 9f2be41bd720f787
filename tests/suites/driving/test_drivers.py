"""Drivers against figures worked out by hand, and neighbours against a search through all cars."""

import pytest
import torch

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.suites.driving.bicycle import roll, sin_slip
from drml.suites.driving.cars import EXPONENT, FREE, HEADING, HEADWAY, SPEED, TARGET, WAIT, WANTED, X, Y, empty, turn
from drml.suites.driving.collision import meet
from drml.suites.driving.drivers import PICKUP, crowding, free_part
from drml.suites.driving.highway import Rules, begin
from drml.suites.driving.neighbours import REACH, line_up
from drml.suites.driving.traffic import Traffic


def cars(*places: tuple[float, float, float], lanes: int = 2, politeness: float = 0.0) -> Traffic:
    """Return traffic of the driven car, far behind, and of cars with place, lane and speed, which want 30 m/s."""
    params = {"lanes": torch.tensor([float(lanes)]), "politeness": torch.tensor([politeness])}
    physics = begin(Rules(len(places), "commands", lanes), Tasks(params, torch.arange(1)), 1, Streams(0))
    rows = physics.start(0)[0, 0].unsqueeze(1).clone()
    rows[X, 0, 0], rows[Y, 0, 0], rows[TARGET, 0, 0] = -1e5, 0.0, 0.0
    for number, (x, lane, speed) in enumerate(places, 1):
        for row, value in ((X, x), (Y, 4.0 * lane), (TARGET, lane), (SPEED, speed), (WANTED, 30.0), (WAIT, 0.0)):
            rows[row, 0, number] = value
    turn(rows)
    return Traffic(rows, physics.culture, lanes, 0.2)


def test_following_by_hand():
    # g = 10 + 1.5 · 20 = 40 m at equal speeds; at d = 40 m the car ahead takes all, and the free road (2/3)⁴ beside it.
    rows = empty(1, 2, torch.zeros(1))
    rows[SPEED, 0, :2], rows[WANTED, 0, :2], rows[HEADWAY], rows[EXPONENT] = 20.0, 30.0, 1.5, 4.0
    rows[X, 0, 1] = 40.0
    turn(rows)
    follower, leader = rows[:, 0, :1], rows[:, 0, 1:2]
    assert crowding(follower, leader).item() == pytest.approx(1.0)
    rows[FREE].copy_(free_part(rows))
    assert PICKUP * (1.0 - 1.0 - rows[FREE, 0, 0].item()) == pytest.approx(-3.0 * (2.0 / 3.0) ** 4, rel=1e-5)
    # Coming nearer at 10 m/s: v Δv / (2 √15) more.
    rows[SPEED, 0, 1] = 10.0
    turn(rows)
    gap = 40.0 + 20.0 * 10.0 / (2.0 * 15.0**0.5)
    assert crowding(follower, leader).item() == pytest.approx((gap / 40.0) ** 2, rel=1e-5)


@pytest.mark.parametrize(
    ("others", "politeness", "lane"),
    [
        ([], 0.0, 1.0),  # a free lane beside a slow car
        ([(-6.0, 1.0, 29.0)], 0.0, 0.0),  # someone there would have to brake by more than 2 m/s²
        ([(-120.0, 1.0, 29.0)], 0.0, 1.0),  # not so far behind
        ([(24.0, 1.0, 20.0)], 0.0, 0.0),  # no gain: that lane is as full
    ],
)
def test_lanes_are_changed_where_it_is_safe_and_pays(others, politeness, lane):
    traffic = cars((0.0, 0.0, 20.0), (24.0, 0.0, 20.0), *others, politeness=politeness)
    traffic.rows[WAIT, 0, 2:] = 1e3  # the others do not think of it
    traffic.step()
    assert traffic.rows[TARGET, 0, 1].item() == lane


def test_who_is_polite_lets_others_keep_their_speed():
    # The one behind on the other lane would brake by less than 2 m/s², which counts for the polite alone.
    scene = ((0.0, 0.0, 24.0), (60.0, 0.0, 24.0), (-48.0, 1.0, 24.0))
    lanes = []
    for politeness in (0.0, 1.0):
        traffic = cars(*scene, politeness=politeness)
        traffic.rows[WAIT, 0, 2:] = 1e3
        traffic.step()
        lanes.append(traffic.rows[TARGET, 0, 1].item())
    assert lanes == [1.0, 0.0]


@pytest.mark.parametrize(
    ("others", "politeness", "lane"),
    [
        ([], 0.0, 0.0),  # nothing ahead: both lanes are as good
        ([], 1.0, 1.0),  # but the one behind could go on
        ([(12.0, 0.0, 10.0), (12.0, 1.0, 10.0)], 1.0, 0.0),  # not where a slower one is found ahead then
    ],
)
def test_who_is_polite_makes_way_where_that_helps(others, politeness, lane):
    traffic = cars((0.0, 0.0, 24.0), (-48.0, 0.0, 24.0), *others, politeness=politeness)
    traffic.rows[WAIT, 0, 2:] = 1e3
    traffic.step()
    assert traffic.rows[TARGET, 0, 1].item() == lane


def test_neighbours_are_those_of_a_search():
    rng = Streams(0)["cars"].generator()
    x = torch.from_numpy(rng.permuted(torch.arange(50 * 12).view(50, 12).numpy(), axis=1)).double()
    y = torch.from_numpy(rng.uniform(-1.5, 9.5, (50, 12)))
    x[:, -2], x[:, -1] = -1e9, 1e9
    lane = (y / 4.0).round().clamp(0, 2)
    queue = line_up(x, y, lane, 3)
    for road in range(50):
        for wanted in range(3):
            is_on = (y[road] - 4.0 * wanted).abs() <= REACH
            is_on[-2:] = True
            for car in range(10):
                on, rank = queue.on[road, wanted + 1].view(1), queue.rank[road, car].view(1)
                before, behind = x[road][is_on & (x[road] > x[road, car])], x[road][is_on & (x[road] < x[road, car])]
                found = [int(queue.order[road, queue.ahead(rank, on)]), int(queue.order[road, queue.back(rank, on)])]
                assert [x[road, other].item() for other in found] == [before.min().item(), behind.max().item()]


def test_a_car_turns_on_the_circle_of_its_wheels():
    # Of length 5 m with the middle between the axles: sin β = L / (2 R), and a full turn ends where it began.
    rows = empty(1, 1, torch.zeros(1, dtype=torch.float64))
    rows[SPEED, 0, 0] = 10.0
    turn(rows)
    slip = sin_slip(torch.tensor([[0.3, 0.0, 0.0]], dtype=torch.float64))
    radius, steps = 2.5 / slip[0, 0].item(), 20_000
    dt = 2.0 * torch.pi * radius / 10.0 / steps
    highest = 0.0
    for _ in range(steps):
        roll(rows, slip, torch.zeros_like(slip), dt)
        highest = max(highest, rows[Y, 0, 0].item())
    assert rows[HEADING, 0, 0].item() == pytest.approx(2.0 * torch.pi, rel=1e-6)
    assert abs(rows[X, 0, 0].item()) + abs(rows[Y, 0, 0].item()) < 0.02
    assert highest == pytest.approx(radius * (1.0 + (1.0 - slip[0, 0].item() ** 2) ** 0.5), rel=0.01)


@pytest.mark.parametrize(
    ("place", "turned", "speed", "touch", "soon"),
    [
        ((4.9, 0.0), 0.0, 0.0, True, True),
        ((5.1, 0.0), 0.0, 0.0, False, False),
        ((5.1, 0.0), 0.0, -1.0, False, True),  # 0.2 m nearer within the step
        ((0.0, 2.1), 0.0, 0.0, False, False),
        ((0.0, 3.4), torch.pi / 2, 0.0, True, True),  # across: 2.5 + 1 m
        ((0.0, 3.6), torch.pi / 2, 0.0, False, False),
        ((4.1, 2.6), torch.pi / 4, 0.0, True, True),  # a corner within
        ((4.6, 3.1), torch.pi / 4, 0.0, False, False),
    ],
)
def test_rectangles_touch_by_hand(place, turned, speed, touch, soon):
    rows = empty(1, 2, torch.zeros(1))
    rows[X, 0, 1], rows[Y, 0, 1] = place
    rows[HEADING, 0, 1], rows[SPEED, 0, 1] = turned, speed
    turn(rows)
    met = meet(rows[:, 0, :1], rows[:, 0, 1:2], 0.2)
    assert (met.touch.item(), met.will_touch.item()) == (touch, soon)
