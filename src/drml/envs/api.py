"""The environment seam: one object steps K tasks x B copies in one call, and a task is an argument of `reset`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from drml.core.check import check_ranges
from drml.core.fault import Fault, Watch, nobody
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.spaces.interface import Interface
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Parameter

BYTES = "bytes"
"""Name of the fact that says what a suite does with the bytes in its observations."""


class BatchEnv(Protocol):
    """K tasks x B copies of an environment.

    An environment has no way to get a task but `reset`, and no source of randomness but the streams passed there; all
    randomness of task k is drawn under `tasks.ids[k]`. A copy whose episode ends starts its next episode by itself, in
    the same step: `Step.obs` is then the first observation of the new episode and `Step.final_obs` the true last one.

    Where a call of foreign code fails, the other tasks go on: all copies of that one are `diverged`, with zeros for
    observations, to the next reset, and the environment `TellsFaults`.
    """

    @property
    def spec(self) -> EnvSpec:
        """Return the shape of observations and actions, and the horizon."""
        ...

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Start a first episode in `copies` copies of each task and return the observations `[K, B, O]`."""
        ...

    def step(self, action: Tensor) -> Step:
        """Step all copies by one action each: `[K, B, A]` float32, or `[K, B]` int64 where actions are discrete."""
        ...


@runtime_checkable
class TellsFaults(Protocol):
    """An environment of foreign code, which may fail on one task and go on with the others."""

    def take_faults(self) -> tuple[Fault, ...]:
        """Return what has failed since this was asked last; the rows are those of the last reset."""
        ...


@runtime_checkable
class Closable(Protocol):
    """An environment that holds more than memory, such as processes."""

    def close(self) -> None:
        """Let go of it; the next reset starts anew."""
        ...


@runtime_checkable
class Filmable(Protocol):
    """An environment whose copies can be drawn. Drawing changes nothing of what they do.

    A film is the poses of one copy, taken after the reset and after each step. Environments of which some have no
    pictures say so in `pose`.
    """

    @property
    def fps(self) -> float:
        """Return at how many pictures per second a film is shown, one of them per step."""
        ...

    def pose(self, task: int, copy: int) -> Tensor:
        """Return what is needed to draw one copy as the newest reset or step left it: at an episode's end, its end.

        Raises:
            InputError: it has no pictures, and why.
        """
        ...

    def render(self, task: int, poses: Tensor) -> np.ndarray:
        """Return pictures `[T, height, width, 3]` uint8 of poses `[T, ...]` of one task's copies.

        Raises:
            InputError: what draws them is not installed.
        """
        ...

    def words(self, task: int) -> str:
        """Return in words what is particular to a task; "" where its parameters say it best."""
        ...


@dataclass(frozen=True)
class Isolation:
    """Choice of a process for each task, and the bounds that it is kept within.

    Raises:
        InputError: unless the bounds are above 0.
    """

    isolate: bool = False
    """Run each task in a process of its own, which is cut off where it hangs, dies or takes too much memory."""
    timeout: float = 10.0
    """Seconds that one call of an isolated environment may take: a copy's construction, reset, step or close."""
    memory_gb: float = 2.0
    """Memory in GB that an isolated process may take beyond what it has when it starts."""

    def __post_init__(self) -> None:
        check_ranges("", self, above_0=("timeout", "memory_gb"))


@dataclass(frozen=True)
class EnvOptions:
    """Options of running an environment; none of them changes what it computes."""

    device: str = "cpu"
    """Device of native environments (simulated robots run on the CPU)."""
    threads: int = 0
    """Simulator threads; 0 takes all cores."""
    isolation: Isolation = Isolation()
    """Processes of the tasks' own, and their bounds."""
    one_episode: bool = False
    """Leave a copy alone from the end of its first episode to the next reset, where that saves work."""
    watch: Watch = nobody
    """Listener that is told of each call of foreign code before it is made."""


@dataclass(frozen=True)
class Suite:
    """A named, versioned task family: which tasks there are, how they differ, and the environment that runs them."""

    name: str
    summary: str
    """One sentence."""
    source: str
    """Publication of this definition: paper or code base, and what is particular to it."""
    tasks: TaskDistribution
    spec: EnvSpec
    make: Callable[[EnvOptions], BatchEnv]
    definition: Mapping[str, str] = field(default_factory=dict[str, str])
    """Exact definition by heading (reward, observation, end of an episode ...), where a family can say it."""
    limit_note: str = ""
    """Note on time limits that lie below the horizon; "" where there is nothing to say."""
    bytes_note: str = ""
    """Treatment of the bytes in a foreign environment's observations, in words; "" where there are none."""
    look: Callable[[], Interface] | None = None
    """Looks at a foreign environment's own spaces, building one if need be; None where they follow from the shapes."""

    def interface(self) -> Interface:
        """Return the spaces of the family's environments, in Gymnasium's terms."""
        return Interface.of_spec(self.spec) if self.look is None else self.look()

    def facts(self) -> dict[str, str]:
        """Return what a run's numbers rest on besides the environment's own code: shapes, horizon, what varies."""
        spec, action = self.spec, self.spec.action
        shapes = {"observation": f"{spec.num_seen} numbers", "action": f"{action.kind}, {action.size}"}
        varied = {f"parameter {name}": _described(parameter) for name, parameter in self.tasks.params.items()}
        treated = {BYTES: self.bytes_note} if self.bytes_note else {}
        return shapes | treated | {"horizon": f"{spec.horizon} steps"} | varied


def _described(parameter: Parameter) -> str:
    outside = parameter.out_of_distribution()
    beside = f", out of distribution {outside.describe()}" if outside else ""
    return f"{parameter.describe()} of shape {list(parameter.shape)}{beside}"
