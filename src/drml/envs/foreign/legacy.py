"""Environments of the old `gym` package, through Shimmy.

Their interface changed between 0.21 and 0.26, and environments mix its forms: a reset takes a seed, or there is a
method `seed`, or, from 0.26 on, neither; it returns an observation or a pair; a step returns four values or five. What
a wrapper takes tells nothing (`reset(**kwargs)`), so each call is read by what it returns.
"""

import inspect
from contextlib import suppress
from functools import cache
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.utils.step_api_compatibility import convert_to_terminated_truncated_step_api

from drml.core.errors import InputError
from drml.envs.foreign.copies import AnyEnv


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
    try:
        from shimmy.openai_gym_compatibility import GymV21CompatibilityV0
    except ImportError as error:
        raise InputError('an environment of the old gym needs Shimmy: pip install "drml[shimmy]"') from error
    return _reader(GymV21CompatibilityV0)(env=env)


@cache
def _reader(shimmy: Any) -> Any:  # noqa: ANN401 — a class, of a package that may be missing
    """Return the class that reads all forms of the old interface; spaces are converted by Shimmy's."""

    class OldGym(shimmy):
        """An environment of the old gym, as one of Gymnasium's."""

        def __init__(self, env: Any) -> None:  # noqa: ANN401
            super().__init__(env=env)
            self._inner = getattr(env, "unwrapped", env)
            self._taken = inspect.signature(self._inner.reset).parameters

        def seed(self, seed: int | None = None) -> None:
            """Seed what the environment draws from: by its own method, or as gym 0.26 does."""
            if callable(own := getattr(self.gym_env, "seed", None)):
                own(seed)
            else:
                with suppress(AttributeError):
                    self._inner.np_random = np.random.Generator(np.random.PCG64(seed))

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
            """Reset the environment."""
            gym.Env.reset(self, seed=seed)
            given = {"seed": seed, "options": options}
            taken = {name: value for name, value in given.items() if name in self._taken}
            if seed is not None and "seed" not in taken:
                self.seed(seed)
            answer = self.gym_env.reset(**taken)
            has_info = isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)
            if isinstance(space := self.observation_space, gym.spaces.Tuple):
                has_info = has_info and not space.contains(answer)
            return answer if has_info else (answer, {})

        def step(self, action: Any) -> Any:  # noqa: ANN401
            """Step the environment."""
            answer = self.gym_env.step(action)
            is_old = isinstance(answer, tuple) and len(answer) == 4
            return convert_to_terminated_truncated_step_api(answer) if is_old else answer

    return OldGym
