"""Native environments: a family's file gives the physics, this file turns physics into episodes.

The physics say where episodes start, what is seen and what one action does; they are functions of the state.
`NativeEnv` ends the episodes, at the horizon or where the physics say so, and starts the next ones, copy by copy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, final, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from drml.core.check import check_shapes
from drml.core.errors import InputError, suggest
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.api import EnvOptions, Suite
from drml.tasks.distribution import TaskDistribution

ROWS_PER_BLOCK = 100  # rows of step noise drawn at a time: one block covers the usual rollout
FILM_SECONDS = 8.0  # of an episode that takes the whole horizon, within the bounds of what can be followed
SLOWEST, FASTEST = 4.0, 25.0  # pictures per second


class Outcome(NamedTuple):
    """Effect of one action in each of K x B copies."""

    state: Tensor
    """`[K, B, ...]` the state after the action."""
    reward: Tensor
    """`[K, B]` float32."""
    terminated: Tensor
    """`[K, B]` bool: the task ended."""
    success: Tensor | None = None
    """`[K, B]` bool: the step is a success; None in families without such a notion."""


class Physics(Protocol):
    """The physics of B copies of K given tasks: functions of the state `[K, B, ...]`.

    `t` counts the steps since the reset and addresses the randomness of a step. No tensor is changed in place, so
    whatever was returned once stays valid.
    """

    def start(self, t: int) -> Tensor:
        """Return the states `[K, B, ...]` in which episodes begin whose first step is step `t`."""
        ...

    def observe(self, state: Tensor) -> Tensor:
        """Return the observations `[K, B, O]`."""
        ...

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Return what step `t` does."""
        ...


@runtime_checkable
class Drawn(Protocol):
    """Physics whose states can be drawn."""

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures `[T, height, width, 3]` uint8 of states `[T, ...]` of one task's copies."""
        ...

    def words(self, task: int) -> str:
        """Return in words what is particular to a task; "" where its parameters say it best."""
        ...


Begin = Callable[[Tasks, int, Streams], Physics]
"""Makes the physics of `copies` copies of tasks whose parameters are float32, on the environment's device."""


@final
class NativeEnv:
    """A `BatchEnv` of torch code: physics, cut into episodes that restart by themselves.

    An episode that terminates at the horizon counts as terminated, not as truncated.
    """

    def __init__(
        self,
        spec: EnvSpec,
        param_shapes: Mapping[str, tuple[int, ...]],
        begin: Begin,
        options: EnvOptions,
        *,
        horizon_terminates: bool = False,
    ) -> None:
        """Make an environment.

        Args:
            spec: shapes and horizon.
            param_shapes: the shape of each task parameter, without K.
            begin: makes the physics of a batch of tasks.
            options: the device.
            horizon_terminates: whether reaching the horizon is the end of the task, not only of our looking.
        """
        self._spec, self._begin, self._horizon_terminates = spec, begin, horizon_terminates
        self._param_shapes = dict(param_shapes)
        self._device = torch.device(options.device)
        self._run: _Run | None = None

    @property
    def spec(self) -> EnvSpec:
        """Return the shape of observations and actions, and the horizon."""
        return self._spec

    @property
    def fps(self) -> float:
        """Return at how many pictures per second a film is shown."""
        return min(max(self._spec.horizon / FILM_SECONDS, SLOWEST), FASTEST)

    def pose(self, task: int, copy: int) -> Tensor:
        """Return the state of one copy as the newest reset or step left it, before a next episode began.

        Raises:
            InputError: if nothing draws these physics, or there was no reset.
        """
        self._drawn()
        return self._begun().reached[task, copy].cpu()

    def render(self, task: int, poses: Tensor) -> np.ndarray:
        """Return pictures `[T, height, width, 3]` uint8 of states `[T, ...]` of one task's copies."""
        return self._drawn().draw(task, poses)

    def words(self, task: int) -> str:
        """Return in words what is particular to a task."""
        return self._drawn().words(task)

    def _drawn(self) -> Drawn:
        physics = self._begun().physics
        if not isinstance(physics, Drawn):
            raise InputError("these tasks have no pictures, and cannot be filmed")
        return physics

    def _begun(self) -> "_Run":
        if self._run is None:
            raise InputError("step was called before reset; an environment gets its tasks from reset")
        return self._run

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Start a first episode in `copies` copies of each task and return the observations `[K, B, O]`.

        Raises:
            InputError: if `copies` < 1, or the tasks' parameters are not those of this environment.
        """
        if copies < 1:
            raise InputError(f"copies is {copies}, expected at least 1")
        self._check_params(tasks)
        params = {name: value.to(self._device, torch.float32) for name, value in tasks.params.items()}
        physics = self._begin(Tasks(params, tasks.ids), copies, rng)
        started = torch.zeros((len(tasks), copies), dtype=torch.int64, device=self._device)
        state = physics.start(0)
        self._run = _Run(physics, state, state, started, started.bool(), self._spec.horizon)
        return physics.observe(self._run.state)

    def step(self, action: Tensor) -> Step:
        """Step all copies by one action each: `[K, B, A]` float32, or `[K, B]` int64 where actions are discrete.

        Raises:
            InputError: at the first step after a reset, if the action does not fit; or if there was no reset.
        """
        run = self._begun()
        if run.t == 0:
            self._check_action(action, run.started)
        outcome = run.physics.move(run.state, action, run.t)
        obs = run.physics.observe(outcome.state)
        run.t += 1
        run.reached = outcome.state
        if run.t >= run.first_horizon or bool(outcome.terminated.any()):
            return self._end_episodes(run, outcome, obs)
        run.state = outcome.state
        return Step(obs, outcome.reward, run.never, run.never, run.never, obs, run.never, outcome.success)

    def _end_episodes(self, run: "_Run", outcome: Outcome, final_obs: Tensor) -> Step:
        """Start the next episode of each copy whose episode ended with this step."""
        ended = outcome.terminated | (run.t - run.started >= self._spec.horizon)  # [K, B]
        terminated = ended if self._horizon_terminates else outcome.terminated
        run.started = run.started.masked_fill(ended, run.t)
        run.first_horizon = int(run.started.min()) + self._spec.horizon
        starts = ended.view(*ended.shape, *(1,) * (outcome.state.dim() - 2))
        run.state = torch.where(starts, run.physics.start(run.t), outcome.state)
        obs = run.physics.observe(run.state)
        cut = ended ^ terminated
        return Step(obs, outcome.reward, terminated, cut, run.never, final_obs, run.never, outcome.success)

    def _check_params(self, tasks: Tasks) -> None:
        for name in tasks.params:
            if name not in self._param_shapes:
                raise InputError(f"unknown task parameter '{name}'{suggest(name, list(self._param_shapes))}")
        for name, shape in self._param_shapes.items():
            if name not in tasks.params:
                raise InputError(f"task parameter '{name}' is missing, expected shape {[len(tasks), *shape]}")
            if tasks.params[name].shape != (len(tasks), *shape):
                got = list(tasks.params[name].shape)
                raise InputError(f"task parameter '{name}' has shape {got}, expected {[len(tasks), *shape]}")

    def _check_action(self, action: Tensor, started: Tensor) -> None:
        size = self._spec.action.size
        if self._spec.action.kind == "continuous":
            check_shapes(copies=(started, "K B"), features=(started.new_empty(size), "A"), action=(action, "K B A"))
            expected = torch.float32
        else:
            check_shapes(copies=(started, "K B"), action=(action, "K B"))
            expected = torch.int64
        if action.dtype != expected:
            raise InputError(f"action has dtype {action.dtype}, expected {expected}")
        if expected == torch.int64 and not bool(((action >= 0) & (action < size)).all()):
            raise InputError(
                f"actions lie between {int(action.min())} and {int(action.max())}, expected 0 to {size - 1}"
            )


@dataclass(slots=True)
class _Run:
    """Run that a reset began: the tasks' physics and how far they are."""

    physics: Physics
    state: Tensor
    """`[K, B, ...]`."""
    reached: Tensor
    """`[K, B, ...]` what the newest step led to: the state, but at the end of an episode."""
    started: Tensor
    """`[K, B]` int64, the t at which the episode began."""
    never: Tensor
    """`[K, B]` bool, False: what is said of steps that end nothing, and of divergence, which does not happen here."""
    first_horizon: int
    """The t at which the oldest episode reaches the horizon: before it only termination can end one."""
    t: int = 0
    """Steps since the reset."""


def native_suite(
    name: str,
    summary: str,
    source: str,
    tasks: TaskDistribution,
    spec: EnvSpec,
    begin: Begin,
    *,
    horizon_terminates: bool = False,
    success: str = "",
) -> Suite:
    """Return the suite of a native environment, whose task parameters are those of its distribution.

    Its definition says what a `success` is, where the physics tell of one.
    """
    shapes = {name: parameter.shape for name, parameter in tasks.params.items()}
    make = partial(NativeEnv, spec, shapes, begin, horizon_terminates=horizon_terminates)
    return Suite(name, summary, source, tasks, spec, make, {"success": success} if success else {})
