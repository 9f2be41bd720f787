"""Highways: one car is driven among others that follow one another and change lanes, on a road of parallel lanes.

    reward    (1 + 0.4 clip((v cos ψ − 20) / 10, 0, 1) + p ℓ / (lanes − 1) − crashed) / (1.4 + p), 0 beside the road
    see       the driven car and the next four, five numbers each (`seen`)
    end       a crash; after 30 s only our looking ends

ℓ is the lane steered for, counted from the side that pays less, and p is 0.1. A step is one second: five simulation
steps. In the families of conventions p is 0.4, paid for all steps at the end of the drive, to who gets there.

Source: highway-env 1.12.1 (Leurent 2018, https://github.com/Farama-Foundation/HighwayEnv), `highway-fast-v0`: rewards,
what is seen, ends, traffic and how drivers decide. What differs is listed in docs/driving.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from drml.core.rng import Streams, task_noise
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import Suite
from drml.envs.native import Outcome, native_suite
from drml.envs.pictures.aerial import Aerial
from drml.suites.driving import bicycle, commands, seen
from drml.suites.driving.cars import AGE, BESIDES, CRASHED, DUE, HEADING, TARGET, VX, X, Y, as_state, in_rows
from drml.suites.driving.straight import LANE_WIDTH, is_on_road, nearest_lane
from drml.suites.driving.tasks import Culture, culture
from drml.suites.driving.traffic import START_DRAWS, Traffic, starts
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Parameter, Uniform

HORIZON = 30
"""Steps of an episode, a second each."""
SIMULATION_STEPS = 5
"""Simulation steps per step."""
SEEN = 5
"""Cars in an observation, the driven one included."""
SPEED_PAY, CRASH_PAY = 0.4, -1.0
"""Weights of speed and crash in the reward."""
PAID_FROM, PAID_TO = 20.0, 30.0
"""Speeds (m/s) between which more speed pays more."""
SHOWN, SHOWN_BEHIND, PIXELS = 80.0, 20.0, 5.0
"""Length of road in a picture and how much of it lies behind the driven car (m), and pixels per m."""


@final
@dataclass(frozen=True)
class Rules:
    """Differences between highways that no task changes."""

    others: int
    """Other cars."""
    control: Literal["commands", "steering"]
    """Meta-actions, or throttle and steering."""
    most_lanes: int
    """Lanes where there are most."""
    lane_pay: float = 0.1
    """p: weight of the lane in the reward."""
    is_settled: bool = False
    """True where lanes are paid at the end of the drive."""


@final
@dataclass(frozen=True)
class Highway:
    """The physics of highways; the state is that of `cars`, `[K, B, Q, C]`."""

    rules: Rules
    culture: Culture
    ids: Tensor
    """`[K]` the tasks' stream keys."""
    copies: int
    rng: Streams

    def start(self, t: int) -> Tensor:
        """Return new traffic, with the driven car last."""
        shape = (START_DRAWS, self.copies, self.rules.others + 1)
        unit = task_noise(self.rng["start", t], self.ids, "uniform", shape).to(self.culture.lanes)  # [K, 4, B, C]
        unit = unit.transpose(0, 1).flatten(1, 2)
        return as_state(starts(unit, self.culture, 1.0 / SIMULATION_STEPS), self.copies)

    def observe(self, state: Tensor) -> Tensor:
        """Return what the driven car sees, `[K, B, V · 5]`."""
        rows = _rows(state)
        seen_cars = seen.look(rows, SEEN, self.culture.sight[:, 0], self.culture.lanes[:, 0])
        return seen_cars.view(*state.shape[:2], -1)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Drive for a second."""
        rows, lanes = in_rows(state), self.culture.lanes[:, 0]
        traffic = Traffic(rows, self.culture, self.rules.most_lanes, 1.0 / SIMULATION_STEPS)
        if self.rules.control == "commands":
            commands.obey(rows, action.flatten(), lanes)
        else:
            throttle, steering = action.flatten(0, 1).clamp(-1.0, 1.0).to(rows).unbind(1)
            traffic.throttle = commands.MAX_THROTTLE * throttle
            traffic.steering = bicycle.sin_slip(commands.MAX_STEERING * steering)
        for _ in range(SIMULATION_STEPS):
            traffic.step()
        rows[AGE] += 1.0
        crashed = rows[CRASHED][:, 0] > 0.0
        arrived = (rows[AGE][:, 0] >= HORIZON) & ~crashed
        reward, shape = self._reward(rows, arrived), state.shape[:2]
        after = as_state(rows, self.copies)
        return Outcome(after, reward.view(shape), crashed.view(shape), arrived.view(shape))

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures from above, which move with the driven car; wrecks are red and crossed out."""
        lanes = int(self.culture.lanes[task * self.copies, 0])
        x, middle = states[:, X, 0].cpu().numpy() + SHOWN / 2.0 - SHOWN_BEHIND, (lanes - 1) * LANE_WIDTH / 2.0
        view = Aerial(x, np.full_like(x, middle), SHOWN, (self.rules.most_lanes + 1) * LANE_WIDTH, PIXELS)
        cars = states[:, [X, Y, HEADING, CRASHED], :-BESIDES].transpose(1, 2).cpu().numpy()  # [T, C, 4]
        for t in range(len(cars)):
            view.straight(t, lanes, LANE_WIDTH)
            for number, (along, across, turn, crashed) in enumerate(cars[t]):
                view.car(t, (along, across), turn, is_driven=number == 0, is_wreck=crashed > 0.0)
        return view.frames

    def words(self, task: int) -> str:
        """Return what a convention is; nothing elsewhere."""
        row = task * self.copies
        if not self.rules.is_settled:
            return ""
        side = "right" if self.culture.paid_side[row, 0] > 0.0 else "left"
        density, lanes = float(self.culture.density[row, 0]), int(self.culture.lanes[row, 0])
        return f"keep {side}, {lanes} lanes, density {density:.2f}"

    def _reward(self, rows: Tensor, arrived: Tensor) -> Tensor:
        """Return the reward `[E]` of the driven cars of `[Q, E, C]`; what is paid later is kept in `rows`."""
        ego, lanes, pay = rows[:, :, 0], self.culture.lanes[:, 0], self.rules.lane_pay
        lane = nearest_lane(ego[Y], lanes)
        side = (ego[TARGET] if self.rules.control == "commands" else lane) / (lanes - 1.0).clamp_min(1.0)
        side = torch.where(self.culture.paid_side[:, 0] > 0.0, side, 1.0 - side)
        speed = ((ego[VX] - PAID_FROM) / (PAID_TO - PAID_FROM)).clamp(0.0, 1.0)
        on_road = is_on_road(ego[Y], lane) / (SPEED_PAY + pay - CRASH_PAY)
        reward, lane_part = CRASH_PAY * ego[CRASHED] + SPEED_PAY * speed - CRASH_PAY, pay * side
        if not self.rules.is_settled:
            return ((reward + lane_part) * on_road).float()
        due = rows[DUE][:, 0]
        due += lane_part * on_road
        return (reward * on_road + due * arrived).float()


def _rows(state: Tensor) -> Tensor:
    """Return the state `[K, B, Q, C]` as rows `[Q, E, C]`, as it lies in memory."""
    return state.permute(2, 0, 1, 3).flatten(1, 2)


def begin(rules: Rules, tasks: Tasks, copies: int, rng: Streams) -> Highway:
    """Return highways of B copies of K tasks."""
    like = next(iter(tasks.params.values()))
    made = culture(tasks.params, copies, rules.others + 1 + BESIDES, like)
    return Highway(rules, made, tasks.ids, copies, rng)


def _suite(name: str, summary: str, rules: Rules, params: Mapping[str, Parameter]) -> Suite:
    action = ActionSpec("discrete", commands.META_ACTIONS)
    if rules.control == "steering":
        action = ActionSpec("continuous", 2, bound=1.0)
    suite = native_suite(
        name,
        summary,
        SOURCE,
        TaskDistribution(params),
        EnvSpec(SEEN * seen.FEATURES, action, HORIZON),
        partial(begin, rules),
    )
    return replace(suite, definition=_definition(rules))


def _definition(rules: Rules) -> dict[str, str]:
    """Return what the gallery says of given rules."""
    pay, worth = rules.lane_pay, SPEED_PAY + rules.lane_pay - CRASH_PAY
    lane = "lane steered for" if rules.control == "commands" else "lane"
    counted = f"{pay:g} of the {lane}, 0 to 1 from the side that pays less"
    speed = f"{SPEED_PAY:g} of the speed along the road, {PAID_FROM:g} to {PAID_TO:g} m/s as 0 to 1"
    beside = "0 with the middle of the car beside the road"
    settled = f"; the lane's part is paid at the end of step {HORIZON}, for all steps, and lost in a crash"
    obeyed = "0 lane to the left, 1 nothing, 2 lane to the right, 3 faster, 4 slower: 20, 25 or 30 m/s"
    steered = "throttle (±5 m/s²) and steering angle (±45°) as shares of their bounds"
    paid = f"(1 + {speed} + {counted} − 1 in a crash) / {worth:g}, {beside}"
    return {
        "reward": paid + settled * rules.is_settled,
        "observation": "presence, x / 200 m, y / (4 m · lanes), v_x / 80 m/s, v_y / 80 m/s, within ±1, of the driven "
        "car and of the next four within sight, these relative to it",
        "action": obeyed if rules.control == "commands" else steered,
        "traffic": f"{rules.others} other cars, following by IDM, changing lanes by MOBIL; 5 simulation steps of 0.2 s",
        "end of an episode": "a crash",
        "success": f"step {HORIZON} without a crash until then: the drive's end",
    }


SOURCE = (
    "highway-env 1.12.1, `highway-fast-v0` with 15 other cars: rewards, observations, ends, traffic and drivers "
    "are equal step by step, and docs/driving.md lists what differs. The ranges are this project's."
)
_VARIED: Mapping[str, Parameter] = {
    "density": Uniform(0.8, 1.6, ood=(1.6, 2.0)),
    "lanes": Choice((2, 3, 4)),
    "time_gap": Uniform(0.8, 2.2),
    "politeness": Uniform(0.0, 0.5),
    "pace": Uniform(0.85, 1.1),
    "sight": Uniform(60.0, 200.0),
    "grip": Uniform(3.0, 9.0, ood=(2.0, 3.0)),
}
_CONVENTION: Mapping[str, Parameter] = {
    "paid_side": Choice((-1, 1)),
    "lanes": Choice((3, 4)),
    "density": Uniform(0.6, 1.0, ood=(1.0, 1.4)),
    "time_gap": Uniform(0.8, 2.2),
    "politeness": Uniform(0.0, 0.5),
}
SUITES: tuple[Suite, ...] = (
    _suite(
        "highway-traffic-v1",
        "A car is driven by lane and speed commands through traffic of unknown density, manners, grip and sight.",
        Rules(15, "commands", 4),
        _VARIED,
    ),
    _suite(
        "highway-convention-v1",
        "Which side of the road a country keeps to is told by nobody, and settled at the end of the drive.",
        Rules(15, "commands", 4, lane_pay=0.4, is_settled=True),
        _CONVENTION,
    ),
    _suite(
        "highway-steering-v1",
        "The traffic of `highway-traffic-v1`, with throttle and steering wheel in hand.",
        Rules(15, "steering", 4),
        _VARIED,
    ),
)
"""Highways."""
