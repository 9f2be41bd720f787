"""The user's own tasks by `package.module:attribute`, from the current directory or from where packages lie."""

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from drml.core.errors import DrmlError, InputError, suggest
from drml.core.fault import is_interruption
from drml.envs.api import Suite
from drml.envs.foreign.blame import blame, foreign, raised, torch_modes, undone
from drml.envs.foreign.family import GymFamily, family_of
from drml.envs.foreign.maker import is_maker
from drml.envs.foreign.protocols import family_by_protocol

EXPECTED = (
    "a function under @task_family, a GymFamily, a class with params and make, an environment with tasks, or a Suite"
)
MISSING = object()


def imported_suite(name: str) -> Suite:
    """Return the suite that `package.module:attribute` stands for; that is also its name.

    Raises:
        InputError: if the module or the attribute is not found, or it is something else, or it cannot be built.
    """
    found = family_or_suite(name, imported(name))
    return replace(found if isinstance(found, Suite) else found.suite(), name=name)


def imported(name: str) -> object:
    """Return what `package.module:attribute` stands for.

    Raises:
        InputError: if the module or the attribute is not found, or the module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    return _attribute(name, _module(name, module_name), attribute)


def _module(name: str, module_name: str) -> ModuleType:
    """Import a module as `python -m` would: the current directory comes first."""
    if module_name.endswith(".py") or "/" in module_name:
        raise InputError(f"'{name}' names a file; {_way_to(Path(module_name), name.partition(':')[2] or 'my_tasks')}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        before = torch_modes()
        try:
            return importlib.import_module(module_name)
        finally:
            undone(before)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"no module '{error.name}' for '{name}', in {here} or among the installed packages; run drml where the "
                "module lies, or install it"
            ) from None
        raise InputError(f"'{name}': importing {module_name} {blame(error)}") from error
    except DrmlError as error:
        line = raised(error)[1]
        raise type(error)(f"{error} ({line})" if line else str(error)) from error
    except BaseException as error:
        if is_interruption(error):
            raise
        raise InputError(f"'{name}': importing {module_name} {blame(error)}") from error


def _way_to(file: Path, attribute: str) -> str:
    """Return how to name what a file holds: a module is found from the current directory, and from no other."""
    module = file.with_suffix("")
    if file.is_absolute() or ".." in file.parts:
        return f"run drml in {file.parent} and name the module: {module.name}:{attribute}"
    return f"name the module: {'.'.join(module.parts)}:{attribute}"


def _attribute(name: str, module: ModuleType, attribute: str) -> object:
    with foreign(f"'{name}': asking module {module.__name__} for it"):
        found = getattr(module, attribute, MISSING)
    if found is MISSING:
        known = [key for key, value in vars(module).items() if not key.startswith("_") and not inspect.ismodule(value)]
        raise InputError(f"'{name}': module {module.__name__} has no '{attribute}'{suggest(attribute, known)}")
    return found


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
