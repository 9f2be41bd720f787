"""Environments whose every number is known: they say which task, episode and step it is.

observation   (task, draw, t, last action)      draw is a number that the episode's seed decides
reward        100 · task + t + action, before the step
end           after 2 + draw mod 4 steps: terminated if draw is even, truncated otherwise
"""

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv

OBS = gym.spaces.Box(-np.inf, np.inf, (4,), np.float64)
TASK, DRAW, STEP, ACTION = range(4)
NUM_DRAWS = 1000


def draw_of(seed):
    return int(seeding.np_random(seed)[0].integers(NUM_DRAWS))


def length_of(draw):
    return 2 + draw % 4


class Counter(gym.Env):
    """One copy."""

    observation_space = OBS
    action_space = gym.spaces.Discrete(3, start=5)
    closed = 0

    def __init__(self, task=0.0):
        self.task, self.shown = task, np.zeros(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.shown[:] = self.task, self.np_random.integers(NUM_DRAWS), 0.0, 0.0
        return self.see(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        _, draw, t, _ = self.shown
        reward = 100.0 * self.task + t + float(action)
        self.shown[STEP:] = t + 1, action
        ended = t + 1 == length_of(draw)
        return self.see(), reward, bool(ended and draw % 2 == 0), bool(ended and draw % 2 == 1), {}

    def see(self):
        return self.shown.copy()

    def close(self):
        Counter.closed += 1


class Careless(Counter):
    """Hands out the same array each time, as some simulators do."""

    def see(self):
        return self.shown


class Tape(VectorEnv):
    """A third party's vector environment: one seed, no `reset_mask` but where the mode needs it.

    draw counts the episodes of a copy in which a step was taken, 10 · copy + episode, whatever the seed.
    """

    def __init__(self, num_envs, task, mode):
        self.metadata = {"autoreset_mode": mode}
        self.num_envs, self.task = num_envs, task
        self.single_observation_space, self.single_action_space = OBS, Counter.action_space
        self.observation_space = gym.vector.utils.batch_space(OBS, num_envs)
        self.action_space = gym.vector.utils.batch_space(Counter.action_space, num_envs)
        self.shown = np.zeros((num_envs, 4))
        self.draw = 10 * np.arange(num_envs)
        self.late = np.zeros(num_envs, bool)

    def start(self, which):
        self.draw[which] += self.shown[which, STEP] > 0
        self.shown[which] = np.stack(
            [np.full(which.sum(), self.task), self.draw[which], np.zeros(which.sum()), np.zeros(which.sum())], -1
        )

    def reset(self, *, seed=None, options=None):
        assert isinstance(seed, int)
        which = np.ones(self.num_envs, bool)
        if options:
            assert self.metadata["autoreset_mode"] is AutoresetMode.DISABLED
            which = options["reset_mask"]
        self.start(which)
        self.late &= ~which
        return self.shown.copy(), {}

    def step(self, action):
        mode = self.metadata["autoreset_mode"]
        assert mode is AutoresetMode.NEXT_STEP or not self.late.any()
        waiting = self.late.copy()
        reward = 100.0 * self.task + self.shown[:, STEP] + action
        self.shown[:, STEP] += 1
        self.shown[:, ACTION] = action
        if waiting.any():
            self.start(waiting)
            reward[waiting] = 0.0
        even = self.draw % 2 == 0
        ended = (self.shown[:, STEP] == 2 + self.draw % 4) & ~waiting
        info = {}
        if mode is AutoresetMode.SAME_STEP:
            if ended.any():
                final = np.full(self.num_envs, None, dtype=object)
                for b in np.flatnonzero(ended):
                    final[b] = self.shown[b].copy()
                info = {"final_obs": final, "_final_obs": ended}
            terminated, truncated = ended & even, ended & ~even  # of the episodes that ended, not of those that begin
            self.start(ended)
        else:
            self.late = ended
            terminated, truncated = ended & even, ended & ~even
        return self.shown.copy(), reward, terminated, truncated, info
