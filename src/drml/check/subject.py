"""Subjects of a check: a suite of ours, a family of the user's, or a plain environment without tasks."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any

import numpy as np
import torch

from drml.check.look import spaces_problem
from drml.core.errors import InputError
from drml.core.named import imported
from drml.core.rng import Streams
from drml.envs.api import Closable, EnvOptions, Suite
from drml.envs.foreign.copies import AnyEnv, Options
from drml.envs.foreign.family import GymFamily, is_vectorised
from drml.envs.foreign.imported import family_or_suite
from drml.envs.foreign.legacy import modern
from drml.envs.foreign.maker import is_maker
from drml.envs.foreign.protocols import brings_tasks
from drml.gym.single import TaskEnv
from drml.spaces.actions import actions
from drml.spaces.observations import observations
from drml.suites.registry import suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.samplers.stratified import StratifiedSampler

Task = Mapping[str, np.ndarray]
Announce = Callable[[], None]
"""Function that is called before an environment is built."""

MAX_VARIED = 8  # parameters that are varied one by one
EDGES = (0.02, 0.98)  # quantiles: far apart, and inside of the range


@dataclass(frozen=True)
class Subject:
    """Environments of several tasks, and how to make them."""

    name: str
    make: Callable[[Task], AnyEnv]
    """Returns a new environment."""
    tasks: tuple[Task, ...]
    """The first is the one that others are compared with."""
    varied: Mapping[int, str]
    """Tasks that differ from the first in one parameter alone, and its name."""
    horizon: int
    """Declared steps per episode, 0 where none is declared."""
    maker: Any
    """The user's own function or class: the line to fix is where it is defined."""
    first_step: Callable[[Announce], None]
    """Builds what a training builds before it begins, and raises the error that it would end with."""
    turn: Callable[[AnyEnv, Task], Options | None] | None = None
    """Turns an environment to another task and returns the options of its resets, where it can be turned."""

    @property
    def has_tasks(self) -> bool:
        """Return whether there are tasks, or this is one environment without."""
        return bool(self.tasks[0])


def find_subject(name: str, num_tasks: int) -> Subject:
    """Return what `name` stands for.

    Args:
        name: a suite of ours, or `package.module:attribute`: whatever can be trained on, or makes one environment.
        num_tasks: how many tasks to draw.

    Raises:
        InputError: if there is nothing of this name, or it is something else.
    """
    if ":" not in name:
        return _of_suite(suite(name), num_tasks)
    found: Any = imported(name, "my_tasks")
    if _is_plain(found):
        return Subject(name, lambda task: modern(found()), ({},), {}, 0, found, partial(_try_spaces, name, found))
    family = family_or_suite(name, found)
    if isinstance(family, Suite):
        return _of_suite(family, num_tasks)
    return _of_family(family, num_tasks, found if inspect.isclass(found) else family.make)


def _is_plain(found: Any) -> bool:  # noqa: ANN401
    """Return whether something makes environments, and these bring no tasks with them."""
    if not (inspect.isclass(found) or inspect.isfunction(found)) or not is_maker(found):
        return False
    if any(p.default is p.empty for p in inspect.signature(found).parameters.values() if p.kind <= p.KEYWORD_ONLY):
        return False
    if hasattr(found, "make"):
        return False
    try:
        return not brings_tasks(found)
    except BaseException:
        return True  # it cannot be made: that is what the check will say


def _of_suite(chosen: Suite, num_tasks: int) -> Subject:
    family = getattr(chosen.make, "__self__", None)
    if isinstance(family, GymFamily) and not is_vectorised(family):
        return _of_family(family, num_tasks, family.make)

    def make(task: Task) -> AnyEnv:
        return TaskEnv(chosen, dict(task), "train", EnvOptions(threads=1))

    tasks, varied = drawn(chosen.tasks, num_tasks)
    return Subject(chosen.name, make, tasks, varied, chosen.spec.horizon, chosen.make, partial(_open, chosen))


def _of_family(family: GymFamily, num_tasks: int, maker: Any) -> Subject:  # noqa: ANN401
    if is_vectorised(family):
        return _of_suite(family.suite(), num_tasks)

    def make(task: Task) -> AnyEnv:
        return modern(family.make(**_plain(family, task)))

    def turn(give: Any, env: AnyEnv, task: Task) -> Options | None:  # noqa: ANN401
        return give(env, _plain(family, task))

    tasks, varied = drawn(family.tasks, num_tasks)
    turns = partial(turn, family.give) if family.give else None
    return Subject(family.name, make, tasks, varied, family.horizon, maker, partial(_open_family, family), turns)


def _open_family(family: GymFamily, announce: Announce) -> None:
    @wraps(family.make, updated=())
    def make(**params: Any) -> Any:  # noqa: ANN401 — numbers and arrays, and an environment
        announce()
        return family.make(**params)

    _open(replace(family, make=make).suite(), announce)


def _open(chosen: Suite, announce: Announce) -> None:
    announce()
    env = chosen.make(EnvOptions(threads=1))
    if isinstance(env, Closable):
        env.close()


def _try_spaces(name: str, make: Callable[[], object], announce: Announce) -> None:
    """Refuse spaces that no family of such environments could have; whatever else is wrong will be recorded."""
    announce()
    try:
        with closing(modern(make())) as env:
            if not spaces_problem(env):
                observations(env.observation_space)
                actions(env.action_space, 1.0)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except BaseException:
        return


def _plain(family: GymFamily, task: Task) -> dict[str, Any]:
    return family.plain({name: torch.from_numpy(np.asarray(value)[None]) for name, value in task.items()}, 0)


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
