"""A sound family of tasks, and others with one fault each in how they treat their task."""

from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from planted_faults import Sound

from drml import Choice, Uniform, task_family


class Reach(Sound):
    """The point on a line, paid for being near a hidden goal."""

    length = 100

    def __init__(self, goal: float, mass: float = 1.0) -> None:
        self.goal, self.mass = goal, mass

    def pay(self) -> float:
        return -abs(self.x - self.goal)

    def drift(self) -> float:
        return super().drift() / self.mass


def family(kind: Callable[[float, float], Any]) -> Any:
    @task_family(horizon=100, goal=Uniform(-1.0, 1.0), mass=Uniform(0.5, 2.0))
    def reach(goal: float, mass: float) -> gym.Env[Any, Any]:
        return kind(goal, mass)

    return reach


class Resampled(Reach):
    def start(self) -> float:
        self.goal = self.np_random.uniform(-1.0, 1.0)
        return super().start()


class ResampledInLaterEpisodes(Reach):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        answer = super().reset(seed=seed)
        if seed is None:
            self.goal = self.np_random.uniform(-1.0, 1.0)
        return answer


class PaysInAnArray(Reach):
    def pay(self) -> Any:
        return np.array([super().pay()])


class PaysTwoNumbers(Reach):
    def pay(self) -> Any:
        return np.array([super().pay(), 0.0])


class OtherSpaces(Reach):
    def __init__(self, goal: float, mass: float) -> None:
        super().__init__(goal, mass)
        if goal > 0.0:
            self.observation_space = gym.spaces.Box(-10.0, 10.0, (3,), np.float32)

    def seen(self) -> Any:
        return np.resize(super().seen(), self.observation_space.shape)


class OtherBounds(Reach):
    def __init__(self, goal: float, mass: float) -> None:
        super().__init__(goal, mass)
        self.action_space = gym.spaces.Box(-mass, mass, (1,), np.float64)


class Ignored(Reach):
    """Its `__init__` forgets what it was given."""

    def __init__(self, goal: float, mass: float) -> None:
        super().__init__(0.5, 1.0)


class StoredButNotUsed(Reach):
    def pay(self) -> float:
        return -abs(self.x - 0.5)

    def drift(self) -> float:
        return 0.0


class OneIsNotUsed(Reach):
    def drift(self) -> float:
        return 0.0


class TellsTheGoal(Reach):
    def seen(self) -> Any:
        return np.array([self.x, self.goal], np.float32)


class SharesABuffer(Reach):
    buffer: ClassVar[np.ndarray] = np.zeros(2, np.float32)

    def seen(self) -> Any:
        self.buffer[:] = super().seen()
        return self.buffer


class PaysByTheClock(Reach):
    def pay(self) -> float:
        import time

        return super().pay() - 0.01 * (int(time.time()) // 3600 % 24)


class TaskOfTheClass(Reach):
    """A later instance changes the goal of the earlier ones."""

    def __init__(self, goal: float, mass: float) -> None:
        super().__init__(goal, mass)
        type(self).shared = goal

    def pay(self) -> float:
        return -abs(self.x - self.shared)


class BlowsUpOnHeavyTasks(Reach):
    def seen(self) -> Any:
        return super().seen() * np.float32(np.nan if self.mass > 1.2 and self.t > 30 else 1.0)


sound = family(Reach)
resampled = family(Resampled)
resampled_in_later_episodes = family(ResampledInLaterEpisodes)
pays_in_an_array = family(PaysInAnArray)
pays_two_numbers = family(PaysTwoNumbers)
other_spaces = family(OtherSpaces)
other_bounds = family(OtherBounds)
ignored = family(Ignored)
stored_but_not_used = family(StoredButNotUsed)
one_is_not_used = family(OneIsNotUsed)
tells_the_goal = family(TellsTheGoal)
shares_a_buffer = family(SharesABuffer)
pays_by_the_clock = family(PaysByTheClock)
task_of_the_class = family(TaskOfTheClass)
blows_up_on_heavy_tasks = family(BlowsUpOnHeavyTasks)


class TurnedSound(Reach):
    """Speaks the older convention: `sample_tasks` and `set_task`."""

    horizon = 100

    def __init__(self) -> None:
        super().__init__(0.0)

    def sample_tasks(self, num: int) -> list[dict[str, float]]:
        return [{"goal": float(goal)} for goal in self.np_random.uniform(-1.0, 1.0, num)]

    def set_task(self, task: dict[str, float]) -> None:
        self.goal = task["goal"]

    def get_task(self) -> dict[str, float]:
        return {"goal": self.goal}


class TurnedIgnored(TurnedSound):
    def set_task(self, task: dict[str, float]) -> None:
        self.task = task


class TurnedResampled(TurnedSound):
    def start(self) -> float:
        self.set_task(self.sample_tasks(1)[0])
        return super().start()


class TurnedByOptions(Sound):
    """Speaks another convention: `sample_tasks` and `reset(options={"task": ...})`, without which it cannot start."""

    horizon = length = 100

    def sample_tasks(self, num: int) -> list[float]:
        return [float(goal) for goal in self.np_random.uniform(-1.0, 1.0, num)]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.goal = options["task"]
        return super().reset(seed=seed)

    def pay(self) -> float:
        return -abs(self.x - self.goal)


class TurnedHalf(TurnedSound):
    """Turning it to a task leaves something of the tasks before."""

    before = 0.0

    def set_task(self, task: dict[str, float]) -> None:
        self.before += abs(self.goal)
        super().set_task(task)

    def pay(self) -> float:
        return super().pay() - self.before


@task_family(held_out=False, horizon=50, wiring=Choice((-1, 1)))
def two_sound_tasks(wiring: int) -> gym.Env[Any, Any]:
    return Reach(0.5 * wiring)


@task_family(held_out=False, length=Choice(tuple(range(20, 60, 2))), limit=Choice((False, True)))
def another_limit_in_one_task(length: int, limit: bool) -> gym.Env[Any, Any]:
    return gym.wrappers.TimeLimit(Reach(0.01 * length), 25 if length in (34, 36, 42) else 30)
