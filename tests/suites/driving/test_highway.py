"""Highways against what is worked out by hand: pay, ends, conventions, and that a task is alone with its numbers."""

import math

import numpy as np
import pytest
import torch

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.envs.pictures.tiles import BLUE, RED
from drml.suites.driving.cars import CRASHED, HEADING, SPEED, TARGET, X, Y
from drml.suites.driving.commands import FASTER, IDLE, LANE_LEFT, LANE_RIGHT, SLOWER
from drml.suites.driving.highway import HORIZON, Rules, begin
from drml.suites.registry import SUITES
from drml.tasks.distribution import check_leak
from drml.tasks.samplers.uniform import UniformSampler

HIGHWAYS = [name for name in SUITES if name.startswith("highway-")]
TRAFFIC, CONVENTION, STEERING = (SUITES[f"highway-{kind}-v1"] for kind in ("traffic", "convention", "steering"))


def alone(rules: Rules, copies: int = 1, **params: float):
    """Return physics of one task of which the others have driven off, and its first state."""
    given = {name: torch.tensor([value]) for name, value in {"lanes": 3.0, **params}.items()}
    physics = begin(rules, Tasks(given, torch.arange(1)), copies, Streams(0))
    state = physics.start(0).clone()
    state[:, :, X, 1:-2] += 1e5
    return physics, state


def drive(physics, state, actions):
    outcomes = []
    for t, action in enumerate(actions):
        outcomes.append(physics.move(state, torch.tensor([[action]]), t))
        state = outcomes[-1].state
    return outcomes


def test_pay_by_hand_on_an_empty_road():
    physics, state = alone(Rules(3, "commands", 3))
    state[:, :, [TARGET, Y], 0] = 0.0
    outcomes = drive(physics, state, [LANE_RIGHT, LANE_RIGHT, FASTER, *[IDLE] * 8])
    # The lane steered for counts at once; from 25 to 30 m/s the speed nears by (1 - 0.2 / 0.6) per simulation step.
    assert outcomes[1].state[0, 0, TARGET, 0] == 2.0
    speed = 30.0 - 5.0 * (1.0 - 1.0 / 3.0) ** (5 * 9)
    assert outcomes[-1].state[0, 0, SPEED, 0].item() == pytest.approx(speed, abs=1e-4)
    assert outcomes[-1].reward.item() == pytest.approx((1.0 + 0.4 * (speed - 20.0) / 10.0 + 0.1) / 1.5, abs=1e-5)
    assert outcomes[-1].state[0, 0, Y, 0].item() == pytest.approx(8.0, abs=0.02)
    assert not any(outcome.terminated.item() for outcome in outcomes)


@pytest.mark.parametrize(("paid_side", "lane"), [(1.0, 2), (-1.0, 0)])
def test_a_convention_is_paid_at_the_end_alone_and_all_of_it(paid_side, lane):
    settled, at_once = Rules(3, "commands", 3, 0.4, is_settled=True), Rules(3, "commands", 3, 0.4)
    action = LANE_RIGHT if lane else LANE_LEFT
    totals = {}
    for rules in (settled, at_once):
        physics, state = alone(rules, paid_side=paid_side)
        outcomes = drive(physics, state, [action, action, *[SLOWER] * (HORIZON - 2)])
        totals[rules.is_settled] = [outcome.reward.item() for outcome in outcomes]
        assert [outcome.success.item() for outcome in outcomes] == [False] * (HORIZON - 1) + [True]
    assert sum(totals[True]) == pytest.approx(sum(totals[False]), rel=1e-5)
    assert totals[True][-2] == pytest.approx(1.0 / 1.8, abs=1e-3)  # at 20 m/s, whatever the lane
    assert totals[False][-2] == pytest.approx(1.4 / 1.8, abs=1e-3)  # on the lane that pays most
    others = [a - b for a, b in zip(totals[False][:-1], totals[True][:-1], strict=True)]
    assert totals[True][-1] == pytest.approx(totals[False][-1] + sum(others), rel=1e-5)


def test_who_crashes_gets_nothing_of_a_convention():
    physics, state = alone(Rules(3, "commands", 3, 0.4, is_settled=True), lanes=1.0)
    state[0, 0, [X, SPEED], 1] = torch.tensor([state[0, 0, X, 0].item() + 12.0, 0.0])
    crash = drive(physics, state, [FASTER])[0]
    assert crash.terminated.item() and not crash.success.item()
    assert crash.state[0, 0, CRASHED, :2].tolist() == [1.0, 1.0]
    assert 0.0 <= crash.reward.item() <= 0.4 / 1.8


def test_beside_the_road_nothing_is_paid():
    physics, state = alone(Rules(3, "steering", 3))
    state[0, 0, Y, 0] = 8.0
    paid = []
    for t in range(6):
        outcome = physics.move(state, torch.tensor([[[0.0, 0.15]]]), t)
        state, paid = outcome.state, [*paid, (outcome.state[0, 0, Y, 0].item() <= 10.0, outcome.reward.item())]
    assert [is_on for is_on, _ in paid][-1] is False
    assert all((reward > 0.0) is is_on for is_on, reward in paid)


def test_the_drive_ends_with_the_horizon_and_only_a_crash_ends_it_before():
    tasks = UniformSampler().sample({}, TRAFFIC.tasks, "train", 20, Streams(1))
    env = TRAFFIC.make(EnvOptions())
    env.reset(tasks, 10, Streams(2))
    steps = [env.step(torch.full((20, 10), FASTER)) for _ in range(2 * HORIZON)]
    ended = torch.stack([step.terminated | step.truncated for step in steps])
    success = torch.stack([step.success for step in steps])
    truncated = torch.stack([step.truncated for step in steps])
    assert torch.equal(success, truncated)  # a drive that nothing ended is a success
    assert success.any() and (ended & ~success).any()


def test_slow_drivers_arrive():
    tasks = UniformSampler().sample({}, CONVENTION.tasks, "test", 20, Streams(1))
    env = CONVENTION.make(EnvOptions())
    env.reset(tasks, 20, Streams(2))
    steps = [env.step(torch.full((20, 20), SLOWER)) for _ in range(HORIZON)]
    assert steps[-1].success.float().mean() > 0.95


@pytest.mark.parametrize("name", HIGHWAYS)
def test_a_task_is_alone_with_its_numbers(name):
    suite = SUITES[name]
    tasks = UniformSampler().sample({}, suite.tasks, "train", 5, Streams(1))
    action = torch.rand(5, 3, 2) if name == STEERING.name else torch.randint(0, 5, (5, 3))
    seen = []
    for of in (torch.arange(5), torch.tensor([3])):
        env = suite.make(EnvOptions())
        rows = [env.reset(tasks.select(of), 3, Streams(4))]
        rows += [env.step(action[of]).obs for _ in range(HORIZON + 5)]
        seen.append(torch.stack(rows))
    torch.testing.assert_close(seen[0][:, 3:4], seen[1], atol=0.0, rtol=0.0)


@pytest.mark.parametrize("name", HIGHWAYS)
def test_tasks_of_the_splits_are_different_ones(name):
    train, test = (
        UniformSampler().sample({}, SUITES[name].tasks, split, 300, Streams(1)) for split in ("train", "test")
    )
    check_leak(train, test)


def test_nobody_can_see_a_convention():
    params = {name: torch.full((2,), value) for name, value in (("lanes", 3.0), ("density", 1.0), ("time_gap", 1.5))}
    params |= {"politeness": torch.zeros(2), "paid_side": torch.tensor([-1.0, 1.0])}
    env = CONVENTION.make(EnvOptions())
    obs = env.reset(Tasks(params, torch.tensor([7, 7])), 4, Streams(0))
    assert torch.equal(obs[0], obs[1])
    for t in range(HORIZON - 1):
        action = torch.full((2, 4), SLOWER if t else LANE_LEFT)
        step = env.step(action)
        assert torch.equal(step.obs[0], step.obs[1]) and torch.equal(step.reward[0], step.reward[1])
    last = env.step(torch.full((2, 4), SLOWER))
    assert last.success.any() and (last.reward[0] != last.reward[1])[last.success[0]].all()


def test_pictures_show_the_driven_car_and_mark_a_crash():
    physics, state = alone(Rules(3, "commands", 3))
    sound, wrecked = state[0, 0].clone(), state[0, 0].clone()
    wrecked[CRASHED, 0] = 1.0
    pictures = physics.draw(0, torch.stack((sound, wrecked)))
    assert pictures.shape == (2, 80, 400, 3) and pictures.dtype == np.uint8
    counts = [[int((picture == colour).all(-1).sum()) for colour in (BLUE, RED)] for picture in pictures]
    assert counts[0][1] == 0 and counts[1][0] == 0 and min(counts[0][0], counts[1][1]) > 100  # of 5 x 2 m at 25 per m²
    assert physics.words(0) == ""
    assert alone(Rules(3, "commands", 3, 0.4, is_settled=True), paid_side=-1.0)[0].words(0).startswith("keep left, 3")


def test_the_axis_of_a_turned_car_is_drawn_where_it_heads():
    physics, state = alone(Rules(3, "commands", 3))
    turned = state[0, 0].clone()
    turned[HEADING, 0] = math.pi / 2  # the heading: to the right of the road, which is below
    flat, up = physics.draw(0, torch.stack((state[0, 0], turned)))
    spans = []
    for picture in (flat, up):
        rows, columns = np.nonzero((picture == BLUE).all(-1))
        spans.append((np.ptp(rows) + 1, np.ptp(columns) + 1))
    assert spans[0][1] > 2 * spans[0][0] and spans[1][0] > 2 * spans[1][1]
