"""The user's own objects by `package.module:attribute`, from the current directory or from where packages lie.

Such a name stands in a run's config.json, which others may have written, and to use the run asks for what it names. So
what a name stands for is called only where it is of the kind that is looked for: `os:abort` is of none.
"""

import importlib
import inspect
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from drml.core.blame import blame, foreign, is_own, raised, torch_modes, undone
from drml.core.errors import DrmlError, InputError, suggest
from drml.core.fault import is_interruption

MISSING = object()


def imported(name: str, example: str) -> object:
    """Return what `package.module:attribute` stands for.

    Args:
        name: the name.
        example: an attribute, for the complaint about a name without one.

    Raises:
        InputError: if the module or the attribute is not found, or the module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    return _attribute(name, _module(name, module_name, example), attribute)


def _module(name: str, module_name: str, example: str) -> ModuleType:
    """Import a module as `python -m` would: the current directory comes first."""
    if module_name.endswith(".py") or "/" in module_name:
        raise InputError(f"'{name}' names a file; {_way_to(Path(module_name), name.partition(':')[2] or example)}")
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


def may_be_called(found: Any, packages: tuple[str, ...]) -> bool:  # noqa: ANN401 — whatever a name stands for
    """Return whether a function is the user's own, or one of an installed module that deals with certain packages.

    A function cannot be asked what it does without being called. One in the user's own code is taken at its word; a
    builtin and one of the standard library are not.
    """
    function = inspect.unwrap(getattr(found, "__func__", found))
    function = function if inspect.isfunction(function) else getattr(type(found), "__call__", None)  # noqa: B004
    if not inspect.isfunction(function):
        return False
    values = function.__globals__.values()
    return is_own(function.__code__.co_filename) or any(is_of(value, packages) for value in values)


def is_of(value: object, packages: tuple[str, ...]) -> bool:
    """Return whether something is one of these packages, or a class with a base in one of them."""
    if inspect.ismodule(value):
        return value.__name__.partition(".")[0] in packages
    return inspect.isclass(value) and any(base.__module__.partition(".")[0] in packages for base in value.__mro__)


def without_arguments(found: Any) -> Any:  # noqa: ANN401 — whatever a name stands for
    """Return the function or class below the arguments that `functools.partial` gives it."""
    while isinstance(found, partial):
        found = found.func
    return found
