"""Sound environments that look faulty: levels made by generators, names that Gymnasium's checker does not know."""

import datetime
import pickle
import random
import time
from typing import Any

import gymnasium as gym
import numpy as np
from planted_faults import Sound
from planted_task_faults import Reach

from drml import Choice, Uniform, task_family

LOG: list[float] = []


class Level(Reach):
    """A level that is made once, and is the same in every episode."""

    def __init__(self, level: int) -> None:
        self.slopes = np.random.default_rng(level).uniform(-0.1, 0.1, 5)
        super().__init__(float(self.slopes[0]))

    def start(self) -> float:
        return 0.0

    def drift(self) -> float:
        return float(self.slopes[self.t % 5])


class LevelMadeAgain(Level):
    """A level that each reset makes from its number."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.level = level

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.slopes = np.random.default_rng(self.level).uniform(-0.1, 0.1, 5)
        return super().reset(seed=seed)


@task_family(horizon=100, level=Choice(tuple(range(200))))
def levels(level: int) -> gym.Env[Any, Any]:
    return Level(level)


@task_family(horizon=100, level=Choice(tuple(range(200))))
def levels_made_again(level: int) -> gym.Env[Any, Any]:
    return LevelMadeAgain(level)


class FixedMap(Level):
    def __init__(self) -> None:
        super().__init__(42)


class SeedsItsOwnGenerators(Sound):
    """Generators of its own, made with the seed that it is given, and hardly used."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.rare = np.random.RandomState(seed), random.Random(seed), np.random.Generator(np.random.PCG64(seed))
            assert isinstance(self.rare[0], np.random.RandomState)
        self.t, self.x = 0, 0.0
        return self.seen(), {}

    def drift(self) -> float:
        return 0.0


class LogsInTheModule(Sound):
    """Keeps a log outside of itself, with dates, which matter to nothing."""

    def pay(self) -> float:
        LOG.append(time.time())
        today = pickle.loads(pickle.dumps(datetime.datetime.now()))
        assert isinstance(today, datetime.datetime) and isinstance(today, datetime.date)
        return super().pay()


class TellsTheTime(Sound):
    """Says in `info` what time it is, which nobody reads."""

    def step(self, action: Any) -> Any:
        return (*super().step(action)[:4], {"seconds": time.time()})


class SeedsLate(Sound):
    """Makes Gymnasium's generator at its first use."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.seed, self._np_random = seed, None
        self.t, self.x = 0, 0.0
        return self.seen(), {}

    def drift(self) -> float:
        if self._np_random is None:
            self._np_random = np.random.Generator(np.random.PCG64(self.seed))
        return super().drift()


class OtherArguments(Sound):
    def reset(self, **others: Any) -> Any:
        return super().reset(**others)


class NoMetadata(Sound):
    """As some environments of the old gym have it; nothing but rendering reads it."""

    metadata: Any = None


class TasksMadeInInit(Reach):
    """Speaks a convention by an attribute that its class does not have."""

    horizon = length = 100

    def __init__(self) -> None:
        super().__init__(0.0)
        self.tasks = [{"goal": i / 20} for i in range(20)]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.goal = options["task"]["goal"] if options and "task" in options else self.goal
        return super().reset(seed=seed)


class SlowResets(Sound):
    """Each reset takes a second: together those of Gymnasium's checker take longer than one call may."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        time.sleep(1.0)
        return super().reset(seed=seed)


class SlowSteps(Sound):
    def step(self, action: Any) -> Any:
        time.sleep(0.05)
        return super().step(action)


class ResetsWhenMade(Reach):
    """Where it starts then is chance. Its task is seldom felt: by no action that a check tries is the reward met."""

    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        self.reset()

    def pay(self) -> float:
        return float(abs(self.x - self.goal) < 1e-9)


class SeedsWhenMade(ResetsWhenMade):
    def __init__(self, goal: float) -> None:
        Reach.__init__(self, goal)
        gym.Env.reset(self, seed=int(1000 * goal))  # Gymnasium keeps this seed in the environment
        self.level = self.np_random.random()


@task_family(horizon=100, goal=Uniform(0.0, 1.0))
def resets_when_made(goal: float) -> Any:
    return ResetsWhenMade(goal)


@task_family(horizon=100, goal=Uniform(0.0, 1.0))
def seeds_when_made(goal: float) -> Any:
    return SeedsWhenMade(goal)


@task_family(horizon=100, seed=Choice(tuple(range(1, 40))))
def seeded_by_its_task(seed: int) -> Any:
    """Its parameter is what Gymnasium keeps as the seed, until the next reset."""
    made = SeedsWhenMade(seed / 40)
    gym.Env.reset(made, seed=seed)
    return made
