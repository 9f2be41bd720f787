"""Names of tasks: a run keeps the name of its tasks, never the tasks, so that another process finds them again."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from drml.core.errors import InputError
from drml.envs.api import Suite
from drml.envs.foreign.family import GymFamily
from drml.suites.registry import SUITES

TaskSource = str | Suite | GymFamily | Callable[..., Any]
"""A name of tasks, or an object that some module holds under a name: a suite, a family, a class, a function."""
SCRIPT = "__main__"


def name_of(tasks: TaskSource) -> str:
    """Return the name by which tasks are found again: a suite's, or `package.module:attribute`.

    Raises:
        InputError: if they are no tasks, or no module holds them under a name, such as those that a script defines.
    """
    if isinstance(tasks, str):
        return tasks
    if isinstance(tasks, Suite) and SUITES.get(tasks.name) is tasks:
        return tasks.name
    if not (isinstance(tasks, Suite | GymFamily) or callable(tasks) or hasattr(tasks, "make")):
        kind = type(tasks).__name__
        raise InputError(f"tasks are a name (`drml list` shows them), a family or a suite, and not of type {kind}")
    found = next(_homes(tasks), None)
    if found is None:
        raise InputError(
            f"{_called(tasks)} {_why_not(tasks)}; put it into a module of its own and import it from there"
        )
    return found


def _homes(tasks: TaskSource) -> Iterator[str]:
    """Yield the names under which modules hold an object, that of the module which defines it first."""
    first = getattr(tasks.make if isinstance(tasks, GymFamily) else tasks, "__module__", "")
    for module_name in [first, *sorted(sys.modules)]:
        module = sys.modules.get(module_name)
        if module is not sys.modules.get(SCRIPT):  # which has other names too in some processes
            yield from (f"{module_name}:{name}" for name in _names_in(module, tasks))


def _names_in(module: ModuleType | None, tasks: TaskSource) -> list[str]:
    held = dict(vars(module)) if isinstance(module, ModuleType) else {}
    return [name for name, value in held.items() if value is tasks]


def _called(tasks: TaskSource) -> str:
    name = getattr(tasks, "name", getattr(tasks, "__name__", type(tasks).__name__))
    return f"'{name}'"


def _why_not(tasks: TaskSource) -> str:
    if _names_in(sys.modules.get(SCRIPT), tasks):
        return "is defined in the script or notebook that runs, where no other process finds it to go on with the run"
    return "is held by no module under a name, so no other process finds it to go on with the run"
