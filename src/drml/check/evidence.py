"""Evidence of a family: what was done to its environments and what came of it, made in the child, read by the checks.

A recording is one run of one task: T moments, each a reset or a step; the axis T comes first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from drml.spaces.observations import Layout

Call = Literal["gymnasium", "make", "spaces", "reset", "step", "close"]
Style = Literal["random", "held", "corners"]
Clock = Literal["real", "ahead", "ticking"]


@dataclass(frozen=True)
class Plan:
    """One recording to be made. Plans differ in one thing from another plan, so a difference has one cause."""

    name: str
    task: int = 0
    """Number of the task among the subject's."""
    seed: int = 0
    """The seed of the first reset; later episodes are reset without one."""
    style: Style = "random"
    """Actions: independent samples, samples held for ten steps, or corners of the action box held for ten steps."""
    global_seed: int = 0
    """The seed that the global random generators get beforehand."""
    clock: Clock = "real"
    """Time that the environment reads: the real one, one a day ahead, or one that ticks with every look at it."""
    warm_up: bool = False
    """True where the instance has lived through episodes of another seed before, beyond their end."""
    beside: int = -1
    """The task of a second instance that is stepped in turn, or -1."""


@dataclass(frozen=True)
class Where:
    """A call of the environment."""

    plan: Plan
    call: Call
    episode: int = 0
    step: int = 0
    """Steps that the episode had lasted before the call."""


@dataclass(frozen=True)
class Stop:
    """The end of a recording, or of the child process, that was not asked for."""

    where: Where
    kind: Literal["raised", "hung", "died"]
    message: str
    line: str = ""
    """The line of the user's code, where there is one."""


@dataclass(frozen=True)
class Problem:
    """A value that broke the contract."""

    kind: Literal["observation", "bounds", "reward", "reward form", "flags", "flags form", "aliasing"]
    moment: int
    """Index along T."""
    value: str


@dataclass(frozen=True)
class SpaceNote:
    """A space as text: two spaces are equal where `structure` and `bounds` are."""

    structure: str
    """Kind, shape, dtype and number of values."""
    bounds: str
    text: str
    """Space as it is shown."""


@dataclass(frozen=True)
class Recording:
    """Moments that came of one plan, in their order, and what was noticed on the way."""

    plan: Plan
    spaces: Mapping[str, SpaceNote]
    """Spaces by `observation` and `action`."""
    obs: np.ndarray
    """`[T, O]` float64, flattened; at most 512 entries of it."""
    digest: np.ndarray
    """`[T]` int64: of the whole observation."""
    reward: np.ndarray
    """`[T]` float64; 0 at resets, NaN where it was no number."""
    terminated: np.ndarray
    """`[T]` bool."""
    truncated: np.ndarray
    """`[T]` bool."""
    episode: np.ndarray
    """`[T]` int64."""
    step: np.ndarray
    """`[T]` int64: 0 at resets."""
    problems: tuple[Problem, ...] = ()
    """The first of each kind."""
    stop: Stop | None = None
    """The exception that ended it early."""
    layout: Layout = ()
    """Layout of an observation, as learners get it; empty where they get none."""
    largest: np.ndarray = field(default_factory=partial(np.zeros, 0))
    """`[O]` the largest bound that is declared for an entry, in absolute value; 0 where it is infinite."""
    time_limit: int = 0
    """The environment's own `max_episode_steps`, 0 where it has none."""
    nondeterministic: bool = False
    """True where the environment declares that it is."""
    made_generators: tuple[tuple[str, str], ...] = ()
    """Lines where a reset or a step made a random generator of its own, and the seed that this began with."""
    outside: tuple[str, ...] = ()
    """Variables of the user's modules and classes that have changed, as `module.name`."""
    drew_global: tuple[str, ...] = ()
    """The global generators whose state changed."""
    holds: Mapping[str, str] = field(default_factory=dict[str, str])
    """Attributes of the environment whose value is a task parameter after `make`, and the parameter's name."""
    lost: Mapping[str, str] = field(default_factory=dict[str, str])
    """Attributes of `holds` that had another value after some reset, and that value."""
    attributes: tuple[Mapping[str, int], ...] = ()
    """Digests of all attributes that are numbers or arrays of numbers: after `make`, the first and the second reset."""

    def __len__(self) -> int:
        """Return T."""
        return len(self.reward)


@dataclass(frozen=True)
class Remark:
    """Complaint of Gymnasium's own checker."""

    is_error: bool
    message: str
    line: str = ""


@dataclass(frozen=True)
class Evidence:
    """All that was seen of a subject."""

    tasks: tuple[Mapping[str, np.ndarray], ...]
    """The tasks that plans name by number."""
    varied: Mapping[int, str]
    """Tasks that differ from task 0 in one parameter alone, and its name."""
    has_tasks: bool
    """False for a plain environment: there is but one task, without parameters."""
    horizon: int
    """Declared steps per episode, 0 where none is declared."""
    recordings: Mapping[str, Recording]
    """Recordings that were made, by name of the plan."""
    remarks: tuple[Remark, ...] | None = None
    """Complaints of Gymnasium's checker; None where it had no environment to look at."""
    stop: Stop | None = None
    """The failure that ended the child process early; the plans after it were not carried out."""
    lines: Mapping[str, str] = field(default_factory=dict[str, str])
    """Lines of the user's code that define `make`, `reset`, `step` and `spaces`, as `file.py:12`."""
    cut: bool = False
    """True where the time for all of it was up before all plans were carried out."""

    @property
    def num_calls(self) -> int:
        """Return how many resets and steps were recorded."""
        return sum(map(len, self.recordings.values()))
