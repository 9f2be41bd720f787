"""Environments that start a process of their own, and leave its id, and theirs, in a file that the tests name."""

import multiprocessing
import os
import re
import subprocess
import time
from functools import partial
from typing import Any

from gymnasium.vector import AsyncVectorEnv
from planted_faults import Sound
from planted_task_faults import Reach

from drml import Uniform, task_family


class StartsAProcess(Sound):
    def __init__(self) -> None:
        child = subprocess.Popen(["sleep", "600"])
        with open(os.environ["DRML_TEST_IDS"], "a", encoding="utf-8") as file:
            file.write(f"{child.pid} {os.getpid()}\n")


class StartsAProcessAndHangs(StartsAProcess):
    def step(self, action: Any) -> Any:
        time.sleep(600.0)
        return super().step(action)


class HoldsTheInterpreter(Sound):
    """Leaves its id, that of its guard, of the server that this came from, and of a process in its own session."""

    def step(self, action: Any) -> Any:
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        guard = os.getppid()
        with open(f"/proc/{guard}/stat", encoding="utf-8") as file:
            server = file.read().rpartition(")")[2].split()[1]
        with open(os.environ["DRML_TEST_IDS"], "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {guard} {server} {child.pid}\n")
        re.match(r"(a+)+$", "a" * 64 + "b")
        return super().step(action)


class LeavesAChildBehind(Sound):
    def step(self, action: Any) -> Any:
        if self.t == 20:
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600.0,))
            child.start()
            with open(os.environ["DRML_TEST_IDS"], "a", encoding="utf-8") as file:
                file.write(f"{child.pid}\n")
            os._exit(5)
        return super().step(action)


class LeavesItsId(Reach):
    """Sound; one copy lives in the process that the checker watches, the others in processes which that starts."""

    def __init__(self, goal: float) -> None:
        super().__init__(goal)
        with open(os.environ["DRML_TEST_IDS"], "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")


class HangsInAProcessOfItsOwn(LeavesItsId):
    def step(self, action: Any) -> Any:
        time.sleep(600.0 if self.t > 20 else 0.0)
        return super().step(action)


@task_family(horizon=100, goal=Uniform(-1.0, 1.0))
def in_processes(goal: float, num_envs: int) -> AsyncVectorEnv:
    return AsyncVectorEnv([partial(LeavesItsId, goal)] * num_envs)


@task_family(horizon=100, goal=Uniform(-1.0, 1.0))
def hanging_in_processes(goal: float, num_envs: int) -> AsyncVectorEnv:
    return AsyncVectorEnv([partial(HangsInAProcessOfItsOwn, goal)] * num_envs)
