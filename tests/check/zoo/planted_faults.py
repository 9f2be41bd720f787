"""A sound environment, and as many others as there are faults, each with one."""

import datetime
import os
import random
import signal
import time
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np


class Sound(gym.Env[np.ndarray, Any]):
    """A point on a line: pushed, drifting a little, paid for being near 0.5."""

    length = 205
    observation_space = gym.spaces.Box(-10.0, 10.0, (2,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def start(self) -> float:
        return self.np_random.uniform(-1.0, 1.0)

    def drift(self) -> float:
        return self.np_random.normal(0.0, 0.01)

    def pay(self) -> float:
        return -abs(self.x - 0.5)

    def seen(self) -> Any:
        return np.array([self.x, self.t / self.length], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.x = 0, self.start()
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        self.x = float(np.clip(self.x + 0.1 * action[0] + self.drift(), -10.0, 10.0))
        return self.seen(), self.pay(), False, self.t >= self.length, {}


class NanAfter200Steps(Sound):
    def seen(self) -> Any:
        return super().seen() * (np.float32(np.nan) if self.t == 200 else 1)


class InfinitySlipsThroughTheSpace(Sound):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def seen(self) -> Any:
        return np.array([self.x, np.inf if self.t == 30 else 0.0], np.float32)


class OutOfBoundsAtStep4(Sound):
    def seen(self) -> Any:
        return np.array([11.0 if self.t == 4 else self.x, 0.0], np.float32)


class AnotherDtypeAfterAWhile(Sound):
    def seen(self) -> Any:
        return super().seen().astype(np.float64 if self.t > 20 else np.float32)


class AnotherShapeAfterAWhile(Sound):
    def seen(self) -> Any:
        return super().seen()[: 1 if self.t == 60 else 2]


class SeedIgnored(Sound):
    def start(self) -> float:
        return np.random.default_rng().uniform(-1.0, 1.0)


class SeedWithoutEffect(Sound):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.own = np.random.default_rng(7)
        return super().reset(seed=seed)

    def start(self) -> float:
        return self.own.uniform(-1.0, 1.0)

    def drift(self) -> float:
        return self.own.normal(0.0, 0.01)


class GeneratorLivesOn(Sound):
    def __init__(self) -> None:
        self.own = random.Random(7)

    def start(self) -> float:
        return self.own.uniform(-1.0, 1.0)

    def drift(self) -> float:
        return 0.0


class NondeterministicAfterStep5(Sound):
    def drift(self) -> float:
        return np.random.default_rng().normal() if self.t > 5 else 0.0


class HangsInStep(Sound):
    def step(self, action: Any) -> Any:
        while self.t == 40:
            pass
        return super().step(action)


class HangsInALaterReset(Sound):
    num_resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.num_resets += 1
        if self.num_resets > 12:
            time.sleep(1000.0)
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.t > 10, False, info


class LeavesTheProcess(Sound):
    def step(self, action: Any) -> Any:
        if self.t == 40:
            os._exit(0)
        return super().step(action)


class IsKilled(Sound):
    def step(self, action: Any) -> Any:
        if self.t == 40:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().step(action)


class Raises(Sound):
    def step(self, action: Any) -> Any:
        return super().step(action[self.t // 100 :])  # the mistake is this line


class DrawsFromGlobalNumpy(Sound):
    def drift(self) -> float:
        return np.random.normal(0.0, 0.01)  # noqa: NPY002


class DrawsFromGlobalRandom(Sound):
    def start(self) -> float:
        return random.uniform(-1.0, 1.0)


class RewardIsNan(Sound):
    def pay(self) -> float:
        return float("nan") if self.t == 77 else super().pay()


class RewardIsAnArray(Sound):
    def pay(self) -> Any:
        return np.array([super().pay()])


class TerminatedIsANumber(Sound):
    def step(self, action: Any) -> Any:
        obs, reward, _, truncated, info = super().step(action)
        return obs, reward, int(self.t > 100), truncated, info


class FourValues(Sound):
    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or truncated, info


class CounterSurvivesReset(Sound):
    fuel = 300

    def pay(self) -> float:
        self.fuel -= 1
        return super().pay() if self.fuel > 0 else 0.0


class StepBeyondTheEndSpoilsTheNextEpisode(Sound):
    spoiled = 0.0

    def step(self, action: Any) -> Any:
        self.spoiled += 0.1 * (self.t >= 20)
        obs, reward, _, _, info = super().step(action)
        return obs, reward + self.spoiled, self.t >= 20, False, info


class StateOfTheClass(Sound):
    state: ClassVar[dict[str, float]] = {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        obs, info = super().reset(seed=seed)
        self.state["x"] = self.x
        return obs, info

    def step(self, action: Any) -> Any:
        self.x = self.state["x"]
        answer = super().step(action)
        self.state["x"] = self.x
        return answer


class NeverEnds(Sound):
    length = 10**9


class TimeLimitCalledTermination(Sound):
    def step(self, action: Any) -> Any:
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.t >= 50, False, info


class ActionOverwritten(Sound):
    """Sound, as an action given is an action lent; here to be told from faults."""

    def step(self, action: Any) -> Any:
        action *= 2.0
        return super().step(action)


class OverwritesObservations(Sound):
    def __init__(self) -> None:
        self.buffer = np.zeros(2, np.float32)

    def seen(self) -> Any:
        self.buffer[:] = super().seen()
        return self.buffer


class PaysByTheClock(Sound):
    def pay(self) -> float:
        return super().pay() + 0.001 * (time.monotonic() % 10.0)


class PaysByTheHour(Sound):
    def pay(self) -> float:
        return super().pay() + 0.1 * (int(time.time() / 3600.0) % 24)


class PaysByTheDate(Sound):
    def pay(self) -> float:
        return super().pay() + 1e-3 * datetime.datetime.now().microsecond


class SymbolsCalledAPicture(Sound):
    observation_space = gym.spaces.Box(0, 255, (3, 3), np.uint8)  # as MiniGrid declares its codes of 0 to 10

    def seen(self) -> Any:
        return np.full((3, 3), int(10 * abs(self.x)) % 11, np.uint8)


class HangsInReset(Sound):
    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        time.sleep(600.0)
        return super().reset(seed=seed)


class TellsMillimetres(Sound):
    """The position and the time, in mm and ms."""

    observation_space = gym.spaces.Box(-10_000.0, 10_000.0, (2,), np.float32)

    def seen(self) -> Any:
        return 1000.0 * super().seen()


class SignalOnALargeConstant(Sound):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def seen(self) -> Any:
        return super().seen() + np.array([0.0, 1e4], np.float32)


class TellsKilometres(Sound):
    def seen(self) -> Any:
        return super().seen() / np.float32(1000.0)


class DictOfOneHotAndPascals(Sound):
    """The third entry, behind a one-hot one, is a pressure."""

    observation_space = gym.spaces.Dict(
        {"mode": gym.spaces.Discrete(2), "pressure": gym.spaces.Box(0.0, np.inf, (1,), np.float32)}
    )

    def seen(self) -> Any:
        return {"mode": self.t % 2, "pressure": np.array([101_325.0 + 50.0 * self.x], np.float32)}
