"""The user's own tasks by `package.module:attribute`, from the current directory or from where packages lie."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from drml.core.blame import foreign
from drml.core.errors import InputError
from drml.core.named import imported
from drml.envs.api import Suite
from drml.envs.foreign.family import GymFamily, family_of
from drml.envs.foreign.maker import is_maker
from drml.envs.foreign.protocols import family_by_protocol

EXPECTED = (
    "a function under @task_family, a GymFamily, a class with params and make, an environment with tasks, or a Suite"
)


def imported_suite(name: str) -> Suite:
    """Return the suite that `package.module:attribute` stands for; that is also its name.

    Raises:
        InputError: if the module or the attribute is not found, or it is something else, or it cannot be built.
    """
    found = family_or_suite(name, imported(name, "my_tasks"))
    return replace(found if isinstance(found, Suite) else found.suite(), name=name)


def family_or_suite(name: str, found: object) -> GymFamily | Suite:
    """Return the family of tasks that an object stands for; a suite as it is.

    Raises:
        InputError: if it is neither, or brings tasks of its own and cannot be asked for them.
    """
    if isinstance(found, Suite | GymFamily):
        return found
    asks = callable(found) and _needs_arguments(found)
    with foreign(f"'{name}': asking for its tasks"):
        if (hasattr(found, "params") and hasattr(found, "make")) or (is_maker(found) and not asks):
            return _family(name, found)
    hint = "; the arguments that it takes are parameters, so say how they vary: @task_family" if asks else ""
    raise InputError(f"'{name}' is a {type(found).__name__}, expected {EXPECTED}{hint}")


def _family(name: str, found: Any) -> GymFamily:  # noqa: ANN401 — a class, a function or an object of the user's
    is_object = hasattr(found, "params") and not inspect.isclass(found)  # which need not be hashable
    return replace(family_of(found), name=name) if is_object else _kept_family(name, found)


@cache  # asking for a suite again builds no environments again
def _kept_family(name: str, found: Any) -> GymFamily:  # noqa: ANN401
    if hasattr(found, "params"):
        return replace(family_of(found), name=name)
    return family_by_protocol(name, found, getattr(found, "horizon", 0))


def _needs_arguments(made: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
