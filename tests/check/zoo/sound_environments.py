"""Sound environments of Gymnasium, as functions that make them: `sound_environments:CartPole_v1`."""

import sys
import types
from typing import Any

import gymnasium as gym

CLASSIC = ["CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "Acrobot-v1"]
BOX2D = ["LunarLander-v3", "LunarLanderContinuous-v3", "BipedalWalker-v3", "CarRacing-v3"]
TOY_TEXT = ["FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4", "Blackjack-v1", "CliffWalking-v1"]
MUJOCO = ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5", "HumanoidStandup-v5"]
MUJOCO += ["Reacher-v5", "Pusher-v5", "Swimmer-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    if "imageio" not in sys.modules:
        sys.modules["imageio"] = types.ModuleType("imageio")  # MuJoCo's viewer wants it for screenshots alone

    def made() -> gym.Env[Any, Any]:
        return gym.make(name.replace("_v", "-v"))

    return made
