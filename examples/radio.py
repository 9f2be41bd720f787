"""An environment of somebody else's: a radio whose dial is turned until a station is heard."""

import gymnasium as gym
import numpy as np


class Radio(gym.Env):
    """The dial starts in the middle; a turn moves it by up to 0.2, and the reward is how loud the station is there."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, station: float, width: float) -> None:
        self.station, self.width, self.dial = station, width, np.zeros(1, np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Put the dial near the middle."""
        super().reset(seed=seed)
        self.dial = self.np_random.uniform(-0.1, 0.1, 1).astype(np.float32)
        return self.dial, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Turn the dial."""
        self.dial = np.clip(self.dial + 0.2 * np.asarray(action, np.float32), -1.0, 1.0)
        loudness = 1.0 / (1.0 + (float(self.dial[0] - self.station) / self.width) ** 2)
        return self.dial, loudness, False, False, {}
