"""Action spaces: a policy's vectors and indices as the actions of an environment.

Box                           numbers of a vector, see `box_actions.py`
Discrete                      u = start + a
MultiDiscrete, MultiBinary    one choice for each entry, u = start + a: a product, see `joint_actions.py`
Dict, Tuple                   choices and numbers of all parts side by side, however deep they lie
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from gymnasium import spaces

from drml.core.types import ActionSpec
from drml.spaces.box_actions import BoxActions, box_actions
from drml.spaces.joint_actions import JointActions, joint_actions
from drml.spaces.observations import AnySpace


@final
@dataclass(frozen=True)
class Actions:
    """Translation of a policy's actions to those of one action space."""

    spec: ActionSpec
    """Actions as the policy gives them."""
    decode: "BoxActions | ListedActions | JointActions"
    """Maps actions `[..., *shape]` of the policy to those `[..., *shape]` of the space, in its dtype."""


@final
@dataclass(frozen=True)
class ListedActions:
    """The actions of a space that are listed: a policy's index picks one."""

    table: np.ndarray
    """`[A, *shape]`, in the space's dtype."""

    def __call__(self, action: np.ndarray) -> np.ndarray:
        """Return actions `[..., *shape]` of indices `[...]` int64."""
        return self.table[action]


def actions(space: AnySpace, scale: float) -> Actions:
    """Return how a policy acts in a space.

    Args:
        space: the action space of one environment.
        scale: c, what a continuous policy's output is multiplied by first.

    Raises:
        InputError: if the space, or a part of it, is of another kind.
    """
    if isinstance(space, spaces.Box):
        box = box_actions(space, scale)
        return Actions(ActionSpec("continuous", len(box.low), box.bound), box)
    if isinstance(space, spaces.Discrete):
        table = int(space.start) + np.arange(int(space.n), dtype=space.dtype)
        return Actions(ActionSpec("discrete", len(table)), ListedActions(table))
    joint = joint_actions(space, scale)
    return Actions(joint.spec, joint)
