"""Observations and actions that changed hands, each with a copy, to tell when one is overwritten later."""

import pickle
from collections import deque
from copy import deepcopy
from typing import Any, final

import numpy as np

NUM_KEPT = 16  # moments: environments that take turns with a few buffers have no more of them


@final
class Handed:
    """The latest observations and actions of a recording."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, int, Any, Any]] = deque(maxlen=2 * NUM_KEPT)
        self._moment = 0

    def add_action(self, action: Any) -> None:  # noqa: ANN401 — of the environment's space
        """Keep an action that is about to be given."""
        self._keep("action", action)

    def add_obs(self, obs: Any) -> None:  # noqa: ANN401
        """Keep an observation that was returned; a moment has passed."""
        self._keep("observation", obs)
        self._moment += 1

    def overwritten(self, returned: Any) -> str:  # noqa: ANN401
        """Return which of those kept is not what it was, "" for none; `returned` is the newest observation."""
        for what, moment, value, copy in reversed(self._kept):
            if not _same(value, copy):
                age = self._moment - moment
                if what == "action":
                    return f"the action that was given{_ago(age) if age else ''} was overwritten"
                return f"the observation{_ago(age)} was overwritten{' (the same object)' if value is returned else ''}"
        return ""

    def _keep(self, what: str, value: Any) -> None:  # noqa: ANN401
        self._kept.append((what, self._moment, value, deepcopy(value)))


def _ago(moments: int) -> str:
    return " of the step before" if moments == 1 else f" of {moments} steps before"


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401
    if isinstance(one, np.ndarray) and one.dtype != object:
        return one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one is other or pickle.dumps(one) == pickle.dumps(other)
