"""Time limits: where environments keep their own, and what to propose where they keep none."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv

from drml.core.errors import EnvError

LIMITS = ("_max_episode_steps", "max_episode_steps", "max_steps")  # where environments keep their time limit
LIKE_A_LIMIT = re.compile(r"horizon|duration|(max|limit|total|num).*(step|time|len|tick|frame)|(episode|path).*len")
MAX_WRAPPERS = 100  # some name themselves as their inner environment


def time_limit(env: object) -> int:
    """Return the steps after which an environment truncates its episodes, 0 where it does not say."""
    return next((limit for layer in _layers(env) if (limit := _own_limit(layer))), 0)


def early_limit(env: object, horizon: int) -> str:
    """Return what to say of an environment whose time limit lies below the horizon, "" where none does."""
    with suppress(Exception, SystemExit):  # with a horizon it is not needed
        limit = time_limit(env)
        if 0 < limit < horizon:
            return f"the environment's own, {limit} steps, lies below the horizon of {horizon}: episodes end there"
    return ""


def proposed_horizon(env: object) -> str:
    """Return how a family says its horizon, with the number that such an environment seems to hold for it."""
    for layer in _layers(env):
        for name, value in getattr(layer, "__dict__", {}).items():
            if LIKE_A_LIMIT.search(name) and (steps := _steps(value)) > 1:
                return f"horizon={steps} (its {name} is {steps})"
    return "horizon=STEPS, such as horizon=200"


def check_one_limit(limits: Mapping[str, int]) -> None:
    """Refuse tasks that end their episodes at different times, where nothing says how long the longest one is.

    Args:
        limits: the time limits, 0 where there is none, by what the tasks are called.

    Raises:
        EnvError: if they differ.
    """
    if len(set(limits.values())) < 2:
        return
    told = {limit: task for task, limit in limits.items()}
    said = ", ".join(f"{f'{limit} steps' if limit else 'none'} with {told[limit]}" for limit in sorted(told))
    raise EnvError(
        f"tasks have time limits of their own ({said}), so the family needs a horizon, within which each keeps its "
        f"own: horizon={max(told)}, or that of the longest"
    )


def _layers(env: object) -> Iterator[object]:
    """Yield an environment and those that it wraps, from the outside in; of a vector environment the first copy."""
    for _ in range(MAX_WRAPPERS):
        yield env
        envs = getattr(env, "envs", None)
        env = getattr(env, "env", None) or (envs[0] if isinstance(envs, list | tuple) and envs else None)
        if env is None:
            return


def _own_limit(env: object) -> int:
    """Return what an environment itself says, not those that it wraps; 0 where it is no number of steps."""
    said = [*(getattr(env, name, None) for name in LIMITS), _of_spec(getattr(env, "spec", None))]
    if isinstance(env, AsyncVectorEnv):  # its copies are in other processes, which end if they lack what is asked for
        said += [env.get_attr(name)[0] for name in LIMITS if env.call("has_wrapper_attr", name)[0]]
        said.append(_of_spec(env.get_attr("spec")[0]))
    return next((limit for value in said if (limit := _steps(value))), 0)


def _of_spec(spec: object) -> object:
    return getattr(spec, "max_episode_steps", None)


def _steps(value: Any) -> int:  # noqa: ANN401 — whatever an attribute holds
    """Return a value as a number of steps, 0 where it is none."""
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return int(value) if is_number and 0 < value < math.inf else 0
