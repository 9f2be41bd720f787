"""What is checked: a suite of ours, a family of the user's, or a plain environment."""

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.envs.api import EnvOptions, Suite
from drml.envs.gymnasium.single import TaskEnv
from drml.envs.registry import suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.sampler import StratifiedSampler

AnyEnv = gym.Env[Any, Any]
Task = Mapping[str, np.ndarray]
Options = dict[str, Any] | None

MAX_VARIED = 8  # parameters that are varied one by one
EDGES = (0.02, 0.98)  # quantiles: far apart, and inside of the range


@dataclass(frozen=True)
class Subject:
    """Environments of several tasks, and how to make them."""

    name: str
    make: Callable[[Task], AnyEnv]
    """Returns a new environment."""
    give: Callable[[AnyEnv, Task], Options]
    """Turns an environment to a task and returns the options of its resets."""
    tasks: tuple[Task, ...]
    """The first is the one that others are compared with."""
    varied: Mapping[int, str]
    """Tasks that differ from the first in one parameter alone, and its name."""
    horizon: int
    """Declared steps per episode, 0 where none is declared."""
    maker: Any
    """What the user wrote: the line to fix is where it is defined."""
    can_turn: bool = False
    """Whether one environment can be turned from task to task."""

    @property
    def has_tasks(self) -> bool:
        """Return whether there are tasks, or this is one environment without."""
        return bool(self.tasks[0])


def find_subject(name: str, num_tasks: int) -> Subject:
    """Return what `name` stands for.

    Args:
        name: a suite of ours, or `package.module:attribute`: a family, a suite, or what makes one environment.
        num_tasks: how many tasks to draw.

    Raises:
        InputError: if there is nothing of this name, or it is something else.
    """
    if ":" not in name:
        return _of_suite(suite(name), num_tasks)
    found = _imported(name)
    if isinstance(found, Suite):
        return _of_suite(found, num_tasks)
    if hasattr(found, "tasks") and hasattr(found, "make"):
        return _of_family(found, num_tasks)
    if callable(found):
        return Subject(name, lambda task: found(), _give_nothing, ({},), {}, 0, found)
    raise InputError(f"'{name}' is a {type(found).__name__}, expected a family of tasks or a function")


def _of_suite(chosen: Suite, num_tasks: int) -> Subject:
    def make(task: Task) -> AnyEnv:
        return TaskEnv(chosen, dict(task), "train", EnvOptions(threads=1))

    tasks, varied = drawn(chosen.tasks, num_tasks)
    return Subject(chosen.name, make, _give_nothing, tasks, varied, chosen.spec.horizon, chosen.make)


def _of_family(family: Any, num_tasks: int) -> Subject:  # noqa: ANN401
    def make(task: Task) -> AnyEnv:
        return family.make(**_plain(task))

    tasks, varied = drawn(family.tasks, num_tasks)
    return Subject(family.name, make, _give_nothing, tasks, varied, family.horizon or 0, family.make)


def drawn(family: TaskDistribution, num_tasks: int) -> tuple[tuple[Task, ...], dict[int, str]]:
    """Return tasks of the training split, then some that differ from the first in one parameter alone, and in which."""
    count = family.num_combinations("train")
    number = num_tasks if count is None else min(num_tasks, count)
    sample = StratifiedSampler().sample({}, family, "train", number, Streams(0)["check", "tasks"])
    tasks: list[Task] = [{name: v[k].numpy() for name, v in sample.params.items()} for k in range(number)]
    varied: dict[int, str] = {}
    for name, parameter in list(family.params.items())[:MAX_VARIED]:
        edges = parameter.quantile(np.repeat(np.array(EDGES)[:, None], parameter.size, 1))
        distance = np.abs(edges - tasks[0][name]).reshape(2, -1).sum(1)
        if distance.max() > 0.0:
            varied[len(tasks)] = name
            tasks.append({**tasks[0], name: edges[int(distance.argmax())]})
    return tuple(tasks), varied


def _plain(task: Task) -> dict[str, Any]:
    return {name: value if value.ndim else float(value) for name, value in task.items()}


def _give_nothing(env: AnyEnv, task: Task) -> Options:
    return None


def _imported(name: str) -> Any:  # noqa: ANN401
    module, _, attribute = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return getattr(importlib.import_module(module), attribute)
