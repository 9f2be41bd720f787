"""A recorder between a collector and an environment, which notes the poses of those who are to be seen in a film."""

import math
from typing import final

from torch import Tensor

from drml.core.fault import Fault
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.api import BatchEnv, Filmable, TellsFaults

MAX_PICTURES = 300  # in a film; of longer episodes every second step is shown, or every third …


@final
class Recorder:
    """A `BatchEnv` that notes the poses of one copy of each task in the first episode of some phases of another."""

    def __init__(self, env: BatchEnv, camera: Filmable, shown: dict[int, list[int]]) -> None:
        self._env, self._camera, self._shown = env, camera, shown
        self._every = math.ceil(env.spec.horizon / MAX_PICTURES)
        self._phase, self._taken = -1, 0
        self._going: set[int] = set()  # tasks whose episode goes on
        self.poses: dict[int, list[list[Tensor]]] = {}
        """Poses by phase and task."""
        self.moments: dict[int, list[list[int]]] = {}
        """Steps taken before each of them."""

    @property
    def spec(self) -> EnvSpec:
        """Return the shape of observations and actions, and the horizon."""
        return self._env.spec

    def take_faults(self) -> tuple[Fault, ...]:
        """Return what has failed since this was asked last."""
        return self._env.take_faults() if isinstance(self._env, TellsFaults) else ()

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Start first episodes, and take the first poses of a phase that is shown."""
        obs = self._env.reset(tasks, copies, rng)
        self._phase += 1
        self._taken = 0
        if self._phase in self._shown:
            self.poses[self._phase] = [[] for _ in range(len(tasks))]
            self.moments[self._phase] = [[] for _ in range(len(tasks))]
            self._going = set(range(len(tasks)))
            self._note(self._going)
        return obs

    def step(self, action: Tensor) -> Step:
        """Step all copies, and take poses where the first episode of who is shown goes on."""
        step = self._env.step(action)
        self._taken += 1
        if self._going:
            ended = step.terminated | step.truncated
            over = {k for k in self._going if bool(ended[k, self._shown[self._phase][k]])}
            self._note(over if self._taken % self._every else self._going)
            self._going -= over
        return step

    def _note(self, rows: set[int]) -> None:
        for k in rows:
            self.poses[self._phase][k].append(self._camera.pose(k, self._shown[self._phase][k]))
            self.moments[self._phase][k].append(self._taken)
