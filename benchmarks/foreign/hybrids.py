"""Environments whose actions have parts of several kinds."""

import gymnasium as gym
import numpy as np

from drml import Uniform, task_family
from foreign.package import comes_from


class OneJump(gym.ActionWrapper):
    """A jump and its three lengths as four numbers, of which the first chooses the jump."""

    def __init__(self, env: gym.Env, strength: float) -> None:
        super().__init__(env)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.most = strength * np.concatenate([box.high for box in env.action_space[1]])

    def action(self, action: np.ndarray) -> tuple[int, tuple[np.ndarray, ...]]:
        """Return the platform's own action."""
        lengths = ((action[1:] + 1) / 2 * self.most).astype(np.float32)
        return min(int(1.5 * (action[0] + 1)), 2), tuple(lengths[:, None])


@comes_from(
    "hybrid-platform",
    "0.1.0",
    "Platform-v0",
    varies="strength of the legs",
    needed="an `ActionWrapper`: an action is a choice and three numbers, which is refused in one line (exit code 2)",
    also="numba==0.68.1 llvmlite==0.50.0",
)
@task_family(strength=Uniform(0.5, 1.0))
def platforms(strength: float) -> gym.Env:
    """Jump from platform to platform with legs of hidden strength (an action of a choice and three numbers)."""
    return OneJump(gym.make("gym_platform:Platform-v0"), strength)
