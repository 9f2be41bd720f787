"""A user's environment by `package.module:attribute`: a function that makes one, or a family and a task of it."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from drml.core.blame import foreign
from drml.core.errors import EnvError, InputError
from drml.envs.foreign.family import NUM_ENVS, GymFamily
from drml.envs.foreign.imported import imported
from drml.envs.foreign.legacy import modern
from drml.envs.foreign.maker import is_maker
from drml.gym.given_task import as_tasks, given_task
from drml.gym.tested import copies_of_task

EXPECTED = "a function that makes an environment, such as make_env() or make_env(num_envs), or a family of tasks"


def made(name: str, copies: int, task: Mapping[str, Any], default_copies: int) -> Any:  # noqa: ANN401 — an environment
    """Return the environment that `package.module:attribute` makes.

    Args:
        name: of a function without parameters, a function of `num_envs`, an environment class, or a family of tasks.
        copies: of the environment; 0 takes one of a plain environment, and `default_copies` of a vector environment.
        task: parameters of the task, for a family.
        default_copies: copies of a vector environment where nothing is said.

    Raises:
        InputError: if there is nothing of the kind, or a parameter is missing or unknown.
        EnvError: if making it fails.
    """
    if copies < 0:
        raise InputError(f"copies is {copies}, expected 0 or more")
    found = imported(name, "make_env")
    if isinstance(found, GymFamily):
        given = as_tasks([given_task(found.tasks, task)], [0])
        with foreign(f"'{name}': making the environment", EnvError):
            return copies_of_task(found, given, copies or 1)
    if task:
        raise InputError(f"'{name}' is no family of tasks, so it takes no task parameters; leave out {sorted(task)[0]}")
    if not (callable(found) and is_maker(found)):
        raise InputError(f"'{name}' is a {type(found).__name__}, expected {EXPECTED}")
    required, optional = _parameters(found)
    if required - {NUM_ENVS}:
        raise InputError(f"'{name}' needs the argument {sorted(required - {NUM_ENVS})[0]}, expected {EXPECTED}")
    with foreign(f"'{name}': making the environment", EnvError):
        if NUM_ENVS in required | optional:
            return found(**{NUM_ENVS: copies or default_copies})
        return found() if copies < 2 else _several(partial(_modern, found), copies)


def task_of(words: Sequence[str]) -> dict[str, Any]:
    """Return task parameters that were written as `name=value`, a number or a list of them.

    Raises:
        InputError: if one is not written so.
    """
    task: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            task[name] = json.loads(text)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise InputError(f"task parameter '{word}' is not written as name=value, such as length=0.8 or goal=[1,2]")
    return task


def _several(make: Callable[[], Any], copies: int) -> SyncVectorEnv:
    return SyncVectorEnv([make] * copies, autoreset_mode=AutoresetMode.SAME_STEP)


def _modern(make: Callable[[], Any]) -> Any:  # noqa: ANN401
    return modern(make())


def _parameters(function: Callable[..., Any]) -> tuple[set[str], set[str]]:
    """Return the names of the parameters that a function needs, and of those that it can do without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set(), set()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = {p.name for p in named if p.default is p.empty}
    return required, {p.name for p in named} - required
