"""Environments that disturb more than their own task: one line that blames them, exit code 3, nothing beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

TINY = ["--meta-iters", "2", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--policy.hidden", "4"]
HOSTILE = """
import asyncio

import gymnasium as gym
import numpy as np
import torch
from drml import Uniform, task_family


class Silent(Exception):
    def __str__(self):
        raise ValueError("no text")


class Whole(BaseException):
    pass


def throw(error):
    raise error


DEEDS = {
    "dtype": lambda env: torch.set_default_dtype(torch.float64),
    "gradients": lambda env: torch.set_grad_enabled(True),
    "whole": lambda env: throw(Whole("of it")),
    "cancelled": lambda env: throw(asyncio.CancelledError()),
    "generator": lambda env: throw(GeneratorExit()),
    "interrupt": lambda env: throw(KeyboardInterrupt()),
    "silent": lambda env: throw(Silent()),
    "long": lambda env: throw(ValueError("x" * 100_000)),
    "paid": lambda env: setattr(env, "pay", 1e300),
    "owed": lambda env: setattr(env, "pay", np.float64(-1e39)),
    "paid in whole": lambda env: setattr(env, "pay", 10**400),
    "shown": lambda env: setattr(env, "x", 1e300),
}


class Hostile(gym.Env):
    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, goal, deed, moment):
        self.goal, self.deed, self.moment, self.pay, self.x = goal, DEEDS[deed], moment, 1.0, 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.moment == "reset":
            self.deed(self)
        return np.full(1, self.x), {}

    def step(self, action):
        if self.moment == "step":
            self.deed(self)
        return np.full(1, self.x), self.pay, False, False, {}


def family(name):
    deed, _, moment = name.rpartition("_")

    @task_family(goal=Uniform(0.0, 1.0), horizon=4)
    def hostile(goal):
        return Hostile(goal, deed.replace("_", " "), moment)

    return hostile


def __getattr__(name):
    if name.rpartition("_")[0].replace("_", " ") in DEEDS:
        return family(name)
    raise AttributeError(name)
"""
SAID = {
    "dtype_step": "changed torch's default type to torch.float64 for the whole program",
    "dtype_reset": "changed torch's default type to torch.float64 for the whole program",
    "gradients_step": "switched gradients on for the whole program",
    "whole_step": "Whole: of it (hostile.py:",
    "whole_reset": "Whole: of it (hostile.py:",
    "cancelled_step": "CancelledError",
    "generator_step": "GeneratorExit",
    "interrupt_step": "KeyboardInterrupt",
    "silent_step": "Silent: (asking for its text raises ValueError)",
    "long_step": "ValueError: xxx",
    "paid_step": "not finite in step 0 of episode 0, copy 0 (reward)",
    "owed_step": "not finite in step 0 of episode 0, copy 0 (reward)",
    "paid_in_whole_step": "OverflowError",
    "shown_step": "not finite in step 0 of episode 0, copy 0 (observation)",
}
ISOLATED_TOO = ("dtype_step", "whole_step", "silent_step", "paid_step")
FAST = {("dtype_step", False), ("whole_step", True), ("silent_step", False), ("paid_step", False)}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    return tmp_path


def run(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    drml = [sys.executable, "-m", "drml.cli.main", *words]
    return subprocess.run(drml, cwd=here, capture_output=True, text=True, timeout=250, check=False)


CASES = [(name, False) for name in SAID] + [(name, True) for name in ISOLATED_TOO]


@pytest.mark.parametrize(
    ("name", "isolate"), [pytest.param(*case, marks=() if case in FAST else pytest.mark.slow) for case in CASES]
)
def test_one_line_blames_the_environment(name: str, isolate: bool, here: Path):
    isolation = ["--isolate"] if isolate else []
    answer = run(here, "train", f"hostile:{name}", "maml", *TINY, *isolation, "--out", "run")
    assert answer.returncode == 3, answer.stderr
    assert answer.stderr.startswith("drml: error: ") and answer.stderr.count("\n") == 1, answer.stderr
    assert SAID[name] in answer.stderr and len(answer.stderr) < 3000
    assert "Traceback" not in answer.stdout and "Warning" not in answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "check"), [("dtype_step", "raises"), ("whole_reset", "raises"), ("silent_step", "raises")]
)
def test_the_checker_says_the_same(name: str, check: str, here: Path):
    answer = run(here, "check", f"hostile:{name}", "--tasks", "2", "--steps", "20")
    assert answer.returncode == 3 and not answer.stderr, answer.stderr
    (row,) = [line for line in answer.stdout.splitlines() if line.startswith(check)]
    assert SAID[name].split(" (")[0][:40] in row
