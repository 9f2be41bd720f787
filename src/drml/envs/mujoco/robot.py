"""Description of a robot, for `RobotEnv` to run: the body, what is seen of it and what its tasks ask for.

    u = motor_limit · clip(action_scale · a, −1, 1)                   the control that is applied
    r = progress · goal(p, v) + alive − control_cost · ‖u‖²           the reward of a control step

p is the robot's place after the step and v = Δp / seconds its mean velocity over it, in the plane. An episode ends at
the horizon (`truncated`), where the robot leaves the healthy range (`terminated`), or where the simulation breaks down
(`diverged`).

Nothing here needs MuJoCo, so that suites can be listed without it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drml.core.types import ActionSpec, EnvSpec
from drml.envs.mujoco.goal import Goal
from drml.envs.mujoco.variation import Variation, rows_of
from drml.tasks.distribution import TaskDistribution

ASSETS = Path(__file__).parent / "assets"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """Consecutive numbers of a simulated field, all of a simulation's numbers taken as one row."""

    field: str
    """Name of the `MjData` field."""
    first: int
    """The first number."""
    count: int
    """Length of the run of numbers."""
    through: Callable[[Floats], Floats] | None = None
    """Function that they go through, `[N, count]` to `[N, size]`; `None` leaves them as they are."""
    through_size: int = 0
    """The size of what comes out; 0 is `count`."""
    meaning: str = ""
    """Meaning of what is read, in words; without them the field and its numbers are named."""

    @property
    def size(self) -> int:
        """Return how many numbers are read."""
        return self.through_size or self.count

    def describe(self) -> str:
        """Return what is read, as text."""
        return self.meaning or rows_of(self.field, self.first, self.count)


def positions(first: int, end: int) -> Reading:
    """Return the joint positions from one to before another."""
    return Reading("qpos", first, end - first)


def velocities(count: int, limit: float | None = None) -> Reading:
    """Return all joint velocities, clipped to [−limit, limit] if there is one."""
    if limit is None:
        return Reading("qvel", 0, count)
    clipped = partial(np.clip, a_min=-limit, a_max=limit)
    return Reading("qvel", 0, count, clipped, meaning=f"qvel[0:{count}] clipped to ±{limit:g}")


@dataclass(frozen=True)
class Range:
    """Bounds within which `count` numbers of a field have to stay: low < x < high for each of them."""

    field: str
    first: int
    low: float
    high: float
    count: int = 1

    def describe(self) -> str:
        """Return the range, as text."""
        high = "" if math.isinf(self.high) else f" < {self.high:g}"
        return f"{self.low:g} < {rows_of(self.field, self.first, self.count)}{high}"


@dataclass(frozen=True)
class Start:
    """First states around rest in the model file's pose q₀: q = q₀ + position · U(−1, 1), q̇ = velocity · ε."""

    position: float
    """Half-width of the uniform noise on positions, in m and rad."""
    velocity: float
    """Scale of the noise on velocities, in m/s and rad/s."""
    velocity_noise: Literal["normal", "uniform"] = "uniform"
    """Distribution of ε: N(0, 1), or U(−1, 1)."""

    def describe(self) -> str:
        """Return how first states are drawn, as text."""
        noise = "N(0, 1)" if self.velocity_noise == "normal" else "U(−1, 1)"
        return f"qpos = the model file's + {self.position:g} U(−1, 1), qvel = {self.velocity:g} {noise}"


@dataclass(frozen=True)
class Robot:
    """A robot's body."""

    name: str
    """Name of the model file in `assets`, and in messages."""
    num_motors: int
    """Length of the control."""
    place: Reading
    """Place in the plane: x, or x and y, in m."""
    start: Start
    """Distribution of its first states."""
    motor_limit: float = 1.0
    """The largest control."""

    @property
    def model_path(self) -> Path:
        """Return the path of the MJCF file."""
        return ASSETS / f"{self.name}.xml"


@dataclass(frozen=True)
class Variant:
    """One published definition of a family of tasks for a robot."""

    robot: Robot
    """Robot that the tasks are asked of."""
    goal: Goal
    """Goal that a task sets: the score in the reward."""
    tasks: TaskDistribution
    """Distribution of its tasks' parameters."""
    horizon: int
    """Control steps per episode."""
    frame_skip: int
    """Physics steps per control step."""
    observes: tuple[Reading, ...]
    """Readings that make up the observation, in this order."""
    action_scale: float = 1.0
    """Factor on the policy's output, before it is clipped to [−1, 1]."""
    progress: float = 1.0
    """Weight of the goal in the reward."""
    control_cost: float = 0.0
    """The coefficient of ‖u‖²."""
    alive: float = 0.0
    """A constant part of the reward."""
    healthy: tuple[Range, ...] = ()
    """The ranges that end the episode where they are left."""
    varies: tuple[Variation, ...] = ()
    """Changes that the tasks make to the robot."""

    @property
    def spec(self) -> EnvSpec:
        """Return the shape of observations and actions, and the horizon."""
        obs_size = sum(reading.size for reading in self.observes)
        action = ActionSpec("continuous", self.robot.num_motors, bound=1.0 / self.action_scale)
        return EnvSpec(obs_size=obs_size, action=action, horizon=self.horizon)

    @property
    def parameters(self) -> frozenset[str]:
        """Return the names of the task parameters."""
        return self.goal.parameters | {variation.parameter for variation in self.varies}

    @property
    def fields(self) -> frozenset[str]:
        """Return the names of the `MjData` fields that are read."""
        readings = {reading.field for reading in (self.robot.place, *self.observes)}
        return frozenset(readings | {limit.field for limit in self.healthy})

    def describe(self) -> dict[str, str]:
        """Return the definition by heading, in the names of MuJoCo's fields."""
        limit, scale = self.robot.motor_limit, self.action_scale
        goal = self.goal.formula if self.progress == 1.0 else f"{self.progress:g} ({self.goal.formula})"
        alive = f" + {self.alive:g}" if self.alive else ""
        cost = f" − {_factor(self.control_cost)}‖u‖²" if self.control_cost else ""
        sound = ", ".join(limit.describe() for limit in self.healthy)
        definition = {
            "robot": f"{self.robot.name}.xml, {self.frame_skip} physics steps per control step",
            "reward": f"{goal}{alive}{cost}",
            "place p": f"{self.robot.place.describe()}; v = Δp / Δt over the control step",
            "control u": f"{_factor(limit)}clip({_factor(scale)}action, −1, 1)",
            "observation": ", ".join(reading.describe() for reading in self.observes),
            "first state": self.robot.start.describe(),
            "end": f"after {self.horizon} steps" + (f", and as soon as it fails that {sound}" if sound else ""),
        }
        return definition | {f"{v.parameter} (task)": v.describe() for v in self.varies}


def _factor(number: float) -> str:
    return "" if number == 1.0 else f"{number:g} "
