"""Success as foreign environments say it in the `info` of a step, under one of the names that the field uses.

    info["success"]        Meta-World, ManiSkill: a number or a truth value
    info["is_success"]     Gymnasium-Robotics, Stable-Baselines3: the same

Some say so at each step, some at the last one alone, some only where it is true. A number is a success from 1 on. What
is neither a number nor a truth value (None, a text) says nothing.
"""

from typing import Any

import numpy as np
import torch

from drml.envs.foreign.answers import only

KEYS = ("success", "is_success")  # the first that says something counts
FINAL = ("final_info", "final_infos")


def success_of(info: Any) -> bool | None:  # noqa: ANN401 — whatever a step returned
    """Return whether the info of one environment's step says that it is a success; None where it says nothing."""
    if not isinstance(info, dict):
        return None
    found = (_truth(info[key]) for key in KEYS if key in info)
    return next((said for said in found if said is not None), None)


def successes_of(info: Any, restarted: np.ndarray, starting: np.ndarray) -> np.ndarray | None:  # noqa: ANN401
    """Return which copies of a vector environment say that a step is a success, `[B]` bool; None where all are silent.

    Args:
        info: of the step.
        restarted: the copies `[B]` whose next episode the environment has begun in this very step. What it says of
            these stands in a final info, where it has one: `info` itself is of the new episode then.
        starting: the copies `[B]` for which the step was none, but a reset: what it says is of no step.
    """
    if isinstance(info, dict) and not any(key in info for key in (*KEYS, *FINAL)):
        return None
    success, said = _read(info, len(restarted))
    if isinstance(info, dict) and restarted.any():
        for key in FINAL:
            if key in info:
                success[restarted], said[restarted] = (last[restarted] for last in _read(info[key], len(restarted)))
    success[starting], said[starting] = False, False
    return success if said.any() else None


def _read(info: Any, num_envs: int) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401
    """Return which copies say that they have a success, and which say anything, `[B]` bool each.

    Args:
        info: arrays by name, or one info for each copy.
        num_envs: B.
    """
    success, said = np.zeros((2, num_envs), np.bool_)
    if isinstance(info, dict):
        for key in reversed(KEYS):
            _read_column(info, key, success, said)
    elif isinstance(info, list | tuple | np.ndarray) and len(info) == num_envs:
        for b, value in enumerate(map(success_of, info)):
            success[b], said[b] = bool(value), value is not None
    return success, said


def _read_column(info: dict[str, Any], key: str, success: np.ndarray, said: np.ndarray) -> None:
    """Write what a vector environment's info says under a key, where it says anything."""
    values = _plain(info.get(key))
    if not isinstance(values, np.ndarray | list | tuple) or len(values) != len(said):
        return
    given = np.asarray(info.get(f"_{key}", True)).astype(np.bool_)  # Gymnasium's mask of those that said it
    for b, value in enumerate(map(_truth, values)):
        if value is not None and given.reshape(-1)[b % given.size]:
            success[b], said[b] = value, True


def _truth(value: Any) -> bool | None:  # noqa: ANN401
    value = only(_plain(value))
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return bool(value >= 1) if isinstance(value, int | float | np.integer | np.floating) else None


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return an array in place of a tensor."""
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
