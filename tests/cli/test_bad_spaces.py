"""Spaces and packages that are not as a family says: one line that tells what, where and how to go on."""

from pathlib import Path

import pytest

TINY = ["--meta-iters", "1", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--policy.size", "4"]
MINE = """
import gymnasium as gym
import numpy as np
from drml import Uniform, task_family


class Lens(gym.Env):
    action_space = gym.spaces.Discrete(2)

    def __init__(self, height, since):
        self.observation_space = gym.spaces.Box(0, 255, (height, 6, 3), np.uint8)
        self.since = since

    def look(self):
        height, width, colours = self.observation_space.shape
        return np.zeros((height if self.time < self.since else height - 1, width, colours), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.look(), {}

    def step(self, action):
        self.time += 1
        return self.look(), float(action), False, False, {}


@task_family(goal=Uniform(0.0, 1.0), horizon=4)
def from_the_start(goal):
    return Lens(8, 0)


@task_family(goal=Uniform(0.0, 1.0), horizon=4)
def later(goal):
    return Lens(8, 2)


@task_family(goal=Uniform(0.0, 1.0), horizon=4)
def between_tasks(goal):
    return Lens(8 if goal == 0.5 else 7, 9)


@task_family(goal=Uniform(0.0, 1.0), horizon=4)
def packaged(goal):
    import package_that_is_not_there
"""
MISSING = "ModuleNotFoundError: No module named 'package_that_is_not_there'"


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lenses.py").write_text(MINE)
    (tmp_path / "shop.py").write_text("import package_that_is_not_there\n")


@pytest.mark.parametrize(
    ("name", "place", "wrong"),
    [
        ("from_the_start", "raised in reset, copy 0", "has shape [7, 6, 3], expected [8, 6, 3]"),
        ("later", "raised in step 1 of episode 0, copy 0", "has shape [7, 6, 3], expected [8, 6, 3]"),
        ("between_tasks", "the environment of goal=", "Box(0, 255, (7, 6, 3), uint8), other tasks"),
    ],
)
def test_pictures_that_change_their_size(drml, name: str, place: str, wrong: str):
    answer = drml("train", f"lenses:{name}", "rl2", "--out", "run", *TINY)
    (line,) = [line for line in answer.err.splitlines() if line.startswith("drml: error: ")]
    assert (answer.code, place in line, wrong in line) == (3, True, True), line
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("command", ["check", "train", "adapt"])
@pytest.mark.parametrize(("name", "line"), [("lenses:packaged", "(lenses.py:45)"), ("shop:anything", "(shop.py:1)")])
def test_a_package_that_is_missing(drml, run, mine, command: str, name: str, line: str):
    words = {"check": [name], "train": [name, "rl2", "--out", "new", *TINY], "adapt": [run, name]}[command]
    more = ["--task", "goal=0.5"] if command == "adapt" and name == "lenses:packaged" else []
    answer = drml(command, *words, *more)
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith("drml: error: ")
    assert f"{MISSING} {line}" in answer.err
    assert answer.code == (3 if more else 2)
    assert not Path("new").exists()
