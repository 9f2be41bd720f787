"""One environment of each family, for `drml adapt`: `foreign.own:platforms` makes one of its tests."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from drml import GymFamily
from foreign.families import FAMILIES


def __getattr__(name: str) -> Callable[[], Any]:
    """Return the function that makes a family's environment.

    Raises:
        AttributeError: if there is no such family.
    """
    if name not in FAMILIES:
        raise AttributeError(name)
    family = FAMILIES[name]
    return partial(family.make, **_test_task(family))


def _test_task(family: GymFamily) -> dict[str, Any]:
    """Return the parameters of a task that is held out for tests."""
    units = np.random.default_rng(0).random((100, family.tasks.size))
    first = units[family.tasks.belongs(units, "test")][:1]
    return dict(family.plain(family.tasks.tasks(first, "test", torch.zeros(1, dtype=torch.int64)).params, 0))
