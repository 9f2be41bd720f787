"""Answers of a step that are not in the form that Gymnasium asks for: one number in an array, or none."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from drml.core.blame import line_of

NAMES = ("reward", "terminated", "truncated")


def single(answer: Any, env: gym.Env[Any, Any]) -> tuple[Any, ...]:  # noqa: ANN401 — whatever a step returned
    """Return observation, reward, terminated and truncated; an array of one number, of any shape, is that number.

    Raises:
        ValueError: if one of the last three is not one number; names the line where the step is defined.
    """
    if not isinstance(answer, tuple | list) or len(answer) != 5:
        got = f"{len(answer)} values" if isinstance(answer, tuple | list) else f"a {type(answer).__name__}"
        raise ValueError(f"step returned {got}, expected five: {', '.join(('observation', *NAMES, 'info'))}{_at(env)}")
    return answer[0], *(_one(name, value, env) for name, value in zip(NAMES, answer[1:4], strict=True))


def column(name: str, values: Any, env: VectorEnv[Any, Any, Any]) -> np.ndarray:  # noqa: ANN401
    """Return what a vector environment says of its B copies as `[B]`.

    Raises:
        ValueError: if it is not one number for each copy; names the line where the step is defined.
    """
    array = np.asarray(values)
    if array.size != env.num_envs:
        raise ValueError(f"{name} has shape {list(array.shape)}, expected [{env.num_envs}]{_at(env)}")
    return array.reshape(env.num_envs)


def only(value: Any) -> Any:  # noqa: ANN401
    """Return the one entry of an array, list or tuple that holds one; anything else as it is."""
    if isinstance(value, np.ndarray | list | tuple):
        array: Any = np.asarray(value)
        return array.reshape(-1)[0] if array.size == 1 else value
    return value


def _one(name: str, value: Any, env: gym.Env[Any, Any]) -> Any:  # noqa: ANN401
    number = only(value)
    if isinstance(number, bool | int | float | np.bool_ | np.integer | np.floating):
        return number
    shape = list(np.shape(number))
    got = f"has shape {shape}" if shape else f"is a {type(number).__name__}"
    raise ValueError(f"{name} {got}, expected one number{_at(env)}")


def _at(env: Any) -> str:  # noqa: ANN401 — plain, or of several copies
    line = line_of(type(env.unwrapped).step)
    return f" ({line})" if line else ""
