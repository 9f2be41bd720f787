"""Environments of the old `gym` package, through Shimmy."""

import inspect
from typing import Any, cast

import gymnasium as gym

from drml.core.errors import InputError
from drml.envs.gymnasium.copies import AnyEnv


def is_legacy(env: object) -> bool:
    """Return whether an environment is of the old `gym` package."""
    return any(kind.__module__.partition(".")[0] == "gym" for kind in type(env).__mro__)


def modern(env: object) -> AnyEnv:
    """Return an environment as one of Gymnasium's.

    Raises:
        InputError: if it is neither of Gymnasium nor of gym, or Shimmy is not installed.
    """
    if isinstance(env, gym.Env):
        return cast(AnyEnv, env)
    if not is_legacy(env):
        raise InputError(f"a {type(env).__name__} is not an environment, expected a gymnasium.Env")
    old: Any = env
    try:
        from shimmy.openai_gym_compatibility import GymV21CompatibilityV0, GymV26CompatibilityV0
    except ImportError as error:
        raise InputError('an environment of the old gym needs Shimmy: pip install "drml[shimmy]"') from error
    takes_seed = "seed" in inspect.signature(old.reset).parameters  # since gym 0.26, with `truncated` beside `done`
    return GymV26CompatibilityV0(env=old) if takes_seed else GymV21CompatibilityV0(env=old)
