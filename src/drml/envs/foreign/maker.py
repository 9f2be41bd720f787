"""Makers called because a name says so: `package.module:attribute` stands in files that others may have written.

A run's config.json names the family that it was trained on, and going on with the run asks that name for environments.
So what is no class or function that makes environments is not called: `os:abort` is neither.
"""

import inspect
from functools import partial
from typing import Any

import gymnasium as gym

from drml.envs.foreign.place import is_own


def is_maker(found: Any) -> bool:  # noqa: ANN401 — whatever a name stands for
    """Return whether something makes environments: a class of them, or a function of the user's or of Gymnasium's kin.

    A function cannot be asked without being called. One in the user's own code is taken at its word, and so is one of
    an installed package in a module that deals with environments; a builtin and one of the standard library are not.
    """
    while isinstance(found, partial):
        found = found.func
    if inspect.isclass(found):
        return is_environment_class(found)
    function = inspect.unwrap(getattr(found, "__func__", found))
    function = function if inspect.isfunction(function) else getattr(type(found), "__call__", None)  # noqa: B004
    if not inspect.isfunction(function):
        return False
    return is_own(function.__code__.co_filename) or any(map(_is_of_environments, function.__globals__.values()))


def is_environment_class(found: type) -> bool:
    """Return whether a class is one of environments, of whatever package: it can be reset and stepped."""
    is_like_one = callable(getattr(found, "reset", None)) and callable(getattr(found, "step", None))
    return issubclass(found, gym.Env | gym.vector.VectorEnv) or is_like_one


def _is_of_environments(value: object) -> bool:
    """Return whether a module's global is a package of environments, or one of its classes."""
    if inspect.ismodule(value):
        return value.__name__.partition(".")[0] in ("gymnasium", "gym")
    return inspect.isclass(value) and issubclass(value, gym.Env)
