import json
from collections.abc import Callable
from pathlib import Path

import pytest

from drml.envs.gymnasium.check.checks import CHECKS

from .conftest import Answer

Drml = Callable[..., Answer]
ROOT = Path(__file__).parents[2]
FAMILY = """
import gymnasium as gym
from drml import Uniform, task_family

@task_family(length=Uniform(0.5, 1.5))
def pendulum(length):
    env = gym.make("Pendulum-v1")
    env.unwrapped.l = length
    return env

@task_family(length=Uniform(0.5, 1.5))
def forgetful(length):
    return gym.make("Pendulum-v1")
"""


@pytest.fixture
def my_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module in the working directory; each test has a name of its own, since modules are imported once."""
    name = f"my_tasks_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(FAMILY)
    monkeypatch.chdir(tmp_path)
    return name


def test_a_sound_family(drml: Drml, my_tasks: str):
    answer = drml("check", f"{my_tasks}:pendulum", "--tasks", 2, "--steps", 100)
    assert answer.code == 0, answer.out
    assert all(f"\n{name} " in answer.out for name in CHECKS if name != "gymnasium")
    assert "3 tasks, " in answer.out and "19 ok" in answer.out and not answer.err


def test_a_faulty_family(drml: Drml, my_tasks: str):
    answer = drml("check", f"{my_tasks}:forgetful", "--tasks", 2, "--steps", 100, "--json", "found.json")
    assert answer.code == 3
    assert "3 tasks with different parameters gave the same episodes" in answer.out
    assert f"{my_tasks}.py:" in answer.out
    found = json.loads(Path("found.json").read_text())
    assert found["num_faults"] == 1 and len(found["params"]) == 3
    assert [row["check"] for row in found["findings"]] == list(CHECKS)
    (fault,) = [row for row in found["findings"] if row["verdict"] == "fault"]
    assert fault["check"] == "task-effect" and fault["mend"]
    assert fault["at"] == {"call": "reset", "task": 0, "seed": 0, "actions": "random", "episode": 0, "step": 0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["navigation-mmal-v1"], "Did you mean 'navigation-maml-v1'?"),
        (["nowhere:tasks"], "no module 'nowhere'"),
        (["navigation-maml-v1", "--steps", "3"], "steps is 3, must be 20 or more"),
        (["navigation-maml-v1", "--json", "."], "is a directory"),
        ([], "TASKS is missing"),
    ],
)
def test_bad_requests(words: list[str], message: str, drml: Drml):
    answer = drml("check", *words)
    assert answer.code == 2 and message in answer.err and answer.err.count("\n") == 1


def test_every_check_is_explained():
    explained = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
    assert [name for name in CHECKS if f"| `{name}` |" not in explained] == []
