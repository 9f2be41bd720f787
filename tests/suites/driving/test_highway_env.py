"""Highways against episodes of highway-env 1.12.1 with the same traffic, step by step, in float64.

`benchmarks/driving_traces.py` wrote traces.json; both sides compute in float64, and the file keeps nine digits.
"""

import json
from pathlib import Path

import pytest
import torch

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.suites.driving.cars import (
    BESIDES,
    CRASHED,
    EXPONENT,
    HEADING,
    HEADWAY,
    POLITENESS,
    SPEED,
    TARGET,
    WAIT,
    WANTED,
    X,
    Y,
    as_state,
    empty,
    turn,
)
from drml.suites.driving.drivers import TIME_GAP
from drml.suites.driving.highway import SIMULATION_STEPS, Highway, Rules, begin

TRACES = json.loads((Path(__file__).parent / "traces.json").read_text(encoding="utf-8"))
# Nine digits are kept; the shortened formulas and phantom cars change the last bits of 60 simulation steps.
ATOL = 1e-7


def made(trace) -> tuple[Highway, torch.Tensor]:
    is_steered = isinstance(trace["actions"][0], list)
    rules = Rules(len(trace["start"]) - 1, "steering" if is_steered else "commands", trace["lanes"])
    params = {name: torch.tensor([float(trace[name])], dtype=torch.float64) for name in ("lanes",)}
    physics = begin(rules, Tasks(params, torch.arange(1)), 1, Streams(0))
    start = torch.tensor(trace["start"], dtype=torch.float64).T  # [8, C]
    rows = empty(1, start.shape[1], start)
    for row, value in zip((X, Y, HEADING, SPEED, TARGET, WANTED), start, strict=False):
        rows[row, 0, :-BESIDES] = value
    turn(rows)
    rows[HEADWAY], rows[POLITENESS] = TIME_GAP, trace["politeness"]
    rows[EXPONENT, 0, :-BESIDES] = start[7]
    rows[WAIT, 0, :-BESIDES] = ((1.0 - start[6]) * SIMULATION_STEPS).floor() + 1.0
    rows[WAIT, 0, 0] = torch.inf
    return physics, as_state(rows, 1)


@pytest.mark.parametrize("name", TRACES)
def test_an_episode_is_that_of_highway_env(name):
    trace = TRACES[name]
    physics, state = made(trace)
    seen = physics.observe(state)[0, 0].double().view(5, 5)
    torch.testing.assert_close(seen, torch.tensor(trace["seen_at_start"], dtype=torch.float64), atol=1e-6, rtol=0.0)
    for t, (action, step) in enumerate(zip(trace["actions"], trace["steps"], strict=True)):
        told = torch.tensor([[action]], dtype=torch.float64 if isinstance(action, list) else torch.int64)
        outcome = physics.move(state, told, t)
        state = outcome.state
        cars = state[0, 0, [X, Y, HEADING, SPEED, CRASHED], :-BESIDES].T
        torch.testing.assert_close(cars, torch.tensor(step["cars"], dtype=torch.float64), atol=ATOL, rtol=0.0)
        assert state[0, 0, TARGET, :-BESIDES].tolist()[-len(step["lanes"]) :] == step["lanes"]
        seen = physics.observe(state)[0, 0].double().view(5, 5)
        torch.testing.assert_close(seen, torch.tensor(step["seen"], dtype=torch.float64), atol=1e-6, rtol=0.0)
        assert outcome.reward.item() == pytest.approx(step["reward"], abs=1e-6)
        assert outcome.terminated.item() is step["end"]
