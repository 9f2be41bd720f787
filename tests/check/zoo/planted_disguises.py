"""Faults in disguise: what looks sound from a step to the next, or reads clocks and seeds where few would look."""

import datetime
import time
from datetime import datetime as moment
from time import localtime
from time import time as now
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.random import RandomState
from planted_faults import Sound

COUNTS = {"fast": 0, "slow": 0}


class OverwritesTheLastObservation(Sound):
    """Only the last observation of an episode is a buffer, and only a reset writes to it."""

    length = 50

    def __init__(self) -> None:
        self.buffer = np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        obs, info = super().reset(seed=seed)
        self.buffer[:] = obs
        return obs, info

    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        if rest[2]:
            self.buffer[:] = obs
        return (self.buffer if rest[2] else obs, *rest)


class FiveBuffersInTurn(Sound):
    num_seen = 0

    def __init__(self) -> None:
        self.buffers = np.zeros((5, 2), np.float32)

    def seen(self) -> Any:
        self.num_seen += 1
        buffer = self.buffers[self.num_seen % 5]
        buffer[:] = super().seen()
        return buffer


class ActionOverwrittenLater(Sound):
    last: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.last = None
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        if self.last is not None:
            self.last *= 0.5
        self.last = action
        return super().step(action)


class HourByAnImportedName(Sound):
    def pay(self) -> float:
        return super().pay() + 0.1 * (int(now() / 3600.0) % 24)


class HourOfLocaltime(Sound):
    def pay(self) -> float:
        return super().pay() + 0.1 * localtime().tm_hour


class HourAsText(Sound):
    def pay(self) -> float:
        return super().pay() + 0.1 * int(time.strftime("%H"))


class HourOfDatetime(Sound):
    def pay(self) -> float:
        return super().pay() + 0.1 * datetime.datetime.now().hour


class HourOfAnImportedDatetime(Sound):
    def pay(self) -> float:
        return super().pay() + 0.1 * moment.now(datetime.UTC).hour


class Day(Sound):
    def pay(self) -> float:
        return super().pay() + 0.1 * datetime.date.today().weekday()


class OwnStart(Sound):
    """Starts by a generator of its own, the same with every reset, and does not drift."""

    def drift(self) -> float:
        return 0.0


class OwnRandomState(OwnStart):
    def start(self) -> float:
        return float(RandomState(0).uniform(-1.0, 1.0))


class OwnBitGenerator(OwnStart):
    def start(self) -> float:
        return float(np.random.Generator(np.random.PCG64(0)).uniform(-1.0, 1.0))


class OwnTorchGenerator(OwnStart):
    def start(self) -> float:
        return float(torch.rand(1, generator=torch.Generator().manual_seed(0)))


class CountsInTheModule(Sound):
    def step(self, action: Any) -> Any:
        COUNTS["slow"] += 1
        return super().step(action)

    def pay(self) -> float:
        return super().pay() + COUNTS["slow"] // 3000


class CountsFastInTheModule(Sound):
    def pay(self) -> float:
        COUNTS["fast"] += 1
        return super().pay() + COUNTS["fast"]


class CannotBeMade(Sound):
    def __init__(self) -> None:
        raise RuntimeError("no display")


class HasNoObservationSpace(gym.Env[np.ndarray, Any]):
    action_space = Sound.action_space

    def __init__(self) -> None:
        self.t = 0


class SpaceIsAMethod(Sound):
    def observation_space(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] — the fault
        return Sound.observation_space


class SpaceRaises(Sound):
    @property
    def action_space(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride] — the fault
        raise KeyError("actions")
