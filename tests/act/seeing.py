"""Families that show more than numbers: an engine of symbols with numbers beside them, and pictures in a dictionary."""

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from drml.core.observation import Part, width_of
from drml.core.rng import BlockNoise
from drml.core.types import ActionSpec, EnvSpec
from drml.envs.foreign.family import GymFamily
from drml.envs.native import Outcome, native_suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Uniform

PARTS = (Part("symbols", (4, 4, 1), 0, 3), Part("numbers", (2,)))
TASKS = TaskDistribution({"shift": Uniform(0.0, 3.0)})
ACTIONS = 3


@dataclass(frozen=True)
class Board:
    """A symbol 1 to 3 lies on each of the 16 cells, drawn at each step; its sum and the task say what is right."""

    shift: Tensor
    noise: BlockNoise

    def start(self, t: int) -> Tensor:
        """Return the symbols `[K, B, 16]`, and the steps that came before."""
        symbols = (self.noise.row(t) * 3.0).floor() + 1.0
        return torch.cat([symbols, torch.zeros_like(symbols[..., :1])], -1)

    def observe(self, state: Tensor) -> Tensor:
        """Return the symbols, and the time and its negative half, as bytes."""
        time = state[..., -1:]
        numbers = torch.cat([time, -0.5 * time], -1).contiguous().view(torch.uint8)
        return torch.cat([state[..., :-1].to(torch.uint8), numbers], -1)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Return 1 for the action that the sum of the symbols and the task name; a sum of 40 or more ends it."""
        total = state[..., :-1].sum(-1)
        reward = ((total + self.shift.floor()) % ACTIONS == action).to(torch.float32)
        after = self.start(t + 1)
        after[..., -1] = state[..., -1] + 1.0
        return Outcome(after, reward, total >= 40.0)


def _begin(tasks, copies, rng):
    noise = BlockNoise(rng["symbols"], tasks.ids, copies, "uniform", (16,), 10)
    return Board(tasks.params["shift"].unsqueeze(1), noise)


SPEC = EnvSpec(width_of(PARTS), ActionSpec("discrete", ACTIONS), 6, PARTS)
boards = native_suite("boards", "Names a sum of symbols.", "This test.", TASKS, SPEC, _begin)


class Lights(gym.Env):
    """Shows a picture beside two numbers; the light that is on, shifted by the task, is to be named."""

    observation_space = gym.spaces.Dict(
        {"state": gym.spaces.Box(-9.0, 9.0, (2,)), "view": gym.spaces.Box(0, 255, (20, 20, 3), np.uint8)}
    )
    action_space = gym.spaces.Discrete(ACTIONS)

    def __init__(self, shift=0.0):
        self.shift = int(shift)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._seen(), {}

    def _seen(self):
        self.light = int(self.np_random.integers(ACTIONS))
        view = self.np_random.integers(0, 50, (20, 20, 3)).astype(np.uint8)
        view[self.light * 6 : self.light * 6 + 6] = 200
        return {"state": np.array([self.time, -0.5], np.float32), "view": view}

    def step(self, action):
        reward = float((action + self.shift) % ACTIONS == self.light)
        self.time += 1
        return self._seen(), reward, self.time == 4, False, {}


lights = GymFamily("lights", Lights, TASKS, 6)
BOARDS, LIGHTS = f"{__name__}:boards", f"{__name__}:lights"
