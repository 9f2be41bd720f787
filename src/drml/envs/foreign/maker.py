"""Makers of environments, which are called because a name says so: `package.module:attribute`.

A run's config.json names the family that it was trained on, and going on with the run asks that name for environments.
So what is no class or function that makes environments is not called: `os:abort` is neither.
"""

import inspect
from typing import Any

import gymnasium as gym

from drml.core.named import may_be_called, without_arguments

PACKAGES = ("gymnasium", "gym")


def is_maker(found: Any) -> bool:  # noqa: ANN401 — whatever a name stands for
    """Return whether something makes environments: a class of them, or a function of the user's or of Gymnasium's kin.

    A function in an installed module is one where the module deals with environments.
    """
    found = without_arguments(found)
    return is_environment_class(found) if inspect.isclass(found) else may_be_called(found, PACKAGES)


def is_environment_class(found: type) -> bool:
    """Return whether a class is one of environments, of whatever package: it can be reset and stepped."""
    is_like_one = callable(getattr(found, "reset", None)) and callable(getattr(found, "step", None))
    return issubclass(found, gym.Env | gym.vector.VectorEnv) or is_like_one
