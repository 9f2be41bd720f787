"""Environments that fail in a chosen way, at a chosen moment, on one of eight tasks; imported by name, in any process.

`fault_zoo:loop_step` hangs in a step of task 2, `fault_zoo:nan50` gives NaN after its step 50, `fault_zoo:fine` is
healthy, `fault_zoo:all_raise` raises on each task. Where the directory FAULT_ZOO exists, each process that makes an
environment leaves its process id there.
"""

import ctypes
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv

from drml import Choice, GymFamily, TaskDistribution

NUM_TASKS, BAD = 8, 2.0
HORIZON = 6
FAIL_AT = 3  # the step of an episode that fails
TASKS = TaskDistribution({"goal": Choice(tuple(float(i) for i in range(NUM_TASKS)))}, held_out=False)


def _raise():
    raise KeyError("planted")


def _loop():
    while True:
        pass


def _bomb():
    held = []
    while True:
        held.append(bytearray(1 << 24))


def _backtrack():
    """Hold the interpreter, for years."""
    re.match(r"(a+)+$", "a" * 64 + "b")


KINDS = {
    "backtrack": _backtrack,
    "raise": _raise,
    "exit": lambda: os._exit(7),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "loop": _loop,
    "segfault": lambda: ctypes.string_at(0),
    "bomb": _bomb,
}
MOMENTS = ("construct", "reset", "step", "close")


class Line(gym.Env):
    """Come near a goal on a line; ends at random, to show that episodes of all lengths are the same everywhere."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, goal, fail=None, moment="", nan="", horizon=HORIZON):
        self.goal, self.fail, self.moment, self.nan, self.horizon = goal, fail, moment, nan, horizon
        if marks := os.environ.get("FAULT_ZOO"):
            (Path(marks) / str(os.getpid())).touch()
        self._fail_in("construct")

    def _fail_in(self, moment):
        if self.fail and moment == self.moment:
            self.fail()

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self._fail_in("reset")
        self.x, self.t = float(self.np_random.normal()), 0
        return self._obs("reset"), {}

    def _obs(self, at):
        return np.array([np.nan if at == self.nan else self.x, self.t / 10.0, 1.0], np.float32)

    def step(self, action):
        if self.t == FAIL_AT:
            self._fail_in("step")
        self.t += 1
        self.x += float(action[0])
        ends = bool(self.np_random.random() < 0.05)
        last = self.t == self.horizon
        obs = self._obs("last" if last and self.nan == "last" else str(self.t))
        return obs, -abs(self.x - self.goal), ends and not self.nan, last, {}

    def close(self):
        self._fail_in("close")


class Terminates(Line):
    """Sound: starts a process with each episode and terminates it with the next."""

    child = None

    def reset(self, seed=None, options=None):
        self.close()
        self.child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        self.child.start()
        return super().reset(seed=seed)

    def close(self):
        if self.child is not None:
            self.child.terminate()
            self.child.join()


class Says(Line):
    """Says that a step is a success where it is one, and nothing elsewhere; the task that fails would always say so."""

    def step(self, action):
        *rest, info = super().step(action)
        said = abs(self.x - self.goal) < 1.0 or self.goal == BAD
        return *rest, {**info, "is_success": np.float32(1.0)} if said else info


def _says(goal):
    return Says(goal, _raise if goal == BAD else None, "step")


def _make(goal, *, name):
    kind, _, moment = name.partition("_")
    if name.startswith("all_"):
        return Line(goal, KINDS[moment], "step")
    if name.startswith("nan"):
        return Line(goal, nan=name.removeprefix("nan") if goal == BAD else "", horizon=60)
    if name == "terminates":
        return Terminates(goal)
    if name == "grandchild" and goal == BAD:
        return Line(goal, _loop_with_a_child, "step")
    if kind == "session" and goal == BAD:
        return Line(goal, partial(_leave_sessions_behind, moment.removesuffix("_step")), "step")
    return Line(goal, KINDS[kind] if goal == BAD and kind in KINDS else None, moment)


def _make_in_processes(goal, num_envs, *, name):
    return AsyncVectorEnv([partial(_make, goal, name=name)] * num_envs)


def _loop_with_a_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (Path(os.environ["FAULT_ZOO"]) / str(child.pid)).touch()
    _loop()


SLEEPER = (
    "import os, pathlib, time; (pathlib.Path(os.environ['FAULT_ZOO']) / str(os.getpid())).touch(); time.sleep(600)"
)
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], start_new_session=True)"


def _leave_sessions_behind(end):
    """Start a process in a session of its own, and one more, whose parent has ended; then end, or hold on."""
    marks = Path(os.environ["FAULT_ZOO"])
    before = len(list(marks.iterdir()))
    subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True)
    subprocess.run([sys.executable, "-c", PARENT], start_new_session=True, check=True)
    while len(list(marks.iterdir())) < before + 2:
        time.sleep(0.01)
    KINDS[end]()


def family(name):
    horizon = 60 if name.startswith("nan") else HORIZON
    if name.startswith("async_"):
        make = partial(_make_in_processes, name=name.removeprefix("async_"))
        return GymFamily(f"fault_zoo:{name}", make, TASKS, horizon)
    return GymFamily(f"fault_zoo:{name}", _says if name == "says" else partial(_make, name=name), TASKS, horizon)


def __getattr__(name):
    kind = name.partition("_")[0]
    if (
        kind in KINDS
        or kind in ("fine", "all", "grandchild", "async", "terminates", "session", "says")
        or kind.startswith("nan")
    ):
        return family(name)
    raise AttributeError(name)
