"""`drml adapt`: from a run to a curve of the user's own environment."""

import json

import pytest

from drml.cli.main import help_text

MINE = """
import gymnasium as gym
import drml.gym.register
from drml import Uniform, task_family

GOAL = {"goal": (0.3, -0.2)}


def make_env():
    return gym.make("drml/navigation-maml-v1", task=GOAL)


def make_envs(num_envs):
    return gym.make_vec("drml/navigation-maml-v1", num_envs=num_envs, task=GOAL)


def other():
    return gym.make("CartPole-v1")


def needs(goal):
    return make_env()


class Broken(gym.Wrapper):
    def step(self, action):
        raise KeyError("torque")


def broken():
    return Broken(make_env())


class Stuck(Broken):
    def close(self):
        raise OSError("the door is stuck")


def stuck():
    return Stuck(make_env())


def number():
    return 3


@task_family(x=Uniform(-0.5, 0.5), horizon=100)
def family(x):
    return gym.make("drml/navigation-maml-v1", task={"goal": (x, 0.0)})
"""


@pytest.fixture
def mine(run, tmp_path, monkeypatch):
    name = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_the_curve_comes_as_table_json_and_picture(drml, mine, tmp_path):
    pytest.importorskip("matplotlib")
    answer = drml(
        "adapt", "run", f"{mine}:make_env", "--episodes", 2, "--steps", 2, "--out", "adapted", "--json", "c.json"
    )
    assert answer.code == 0, answer.err
    curve = json.loads((tmp_path / "adapted" / "curve.json").read_text())
    assert json.loads((tmp_path / "c.json").read_text()) == curve
    assert [point["step"] for point in curve["return_by_step"]] == [0, 1, 2]
    assert [len(point["returns"]) for point in curve["return_by_step"]] == [2, 2, 2]
    assert f"{curve['return_by_step'][2]['mean']:.4g}" in answer.out.splitlines()[3]
    assert (tmp_path / "adapted" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert len([line for line in answer.err.splitlines() if line.startswith("step ")]) == 3


@pytest.mark.parametrize(
    ("words", "episodes"),
    [(["make_env", "--copies", 2], 4), (["make_envs"], 3), (["family", "--task", "x=0.25", "--copies", 3], 3)],
)
def test_copies_of_a_vector_environment_and_a_task_of_a_family(drml, mine, tmp_path, words, episodes):
    answer = drml("adapt", "run", f"{mine}:{words[0]}", *words[1:], "--episodes", 3, "--json", "c.json")
    assert answer.code == 0, answer.err
    curve = json.loads((tmp_path / "c.json").read_text())
    assert [len(point["returns"]) for point in curve["return_by_step"]] == [episodes] * 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "MINE:other"], 2, "the environment has observations in Box"),
        (["run", "MINE:needs"], 2, "needs the argument goal"),
        (["run", "MINE:nothing"], 2, "has no 'nothing'"),
        (["run", "MINE:GOAL"], 2, "is a dict, expected a function that makes an environment"),
        (["run", "os:abort"], 2, "expected a function that makes an environment"),
        (["run", "MINE:broken"], 3, "raised in step 0"),
        (["run", "MINE:stuck"], 3, "raised in step 0"),
        (["run", "MINE:number"], 2, "a int is not an environment"),
        (["run", "MINE:family"], 2, "'x' is missing"),
        (["run", "MINE:family", "--task", "x"], 2, "is not written as name=value"),
        (["run", "MINE:family", "--task", "y=1"], 2, "unknown task parameter 'y'"),
        (["run", "MINE:make_env", "--task", "x=1"], 2, "is no family of tasks"),
        (["run", "MINE:make_env", "--episodes", "0"], 2, "episodes is 0"),
        (["run", "MINE:make_env", "--copies", "-1"], 2, "copies is -1"),
        (["run", "MINE:make_env", "--out", "run"], 2, "holds something already"),
        (["run", "MINE:make_env", "--out", "/proc/adapted"], 2, "cannot be written"),
        (["run", "MINE:make_env", "--epsodes", "2"], 2, "Did you mean '--episodes'?"),
        (["nowhere", "MINE:make_env"], 2, "there is nothing"),
    ],
)
def test_wrong_uses_are_one_line_and_nothing_is_written(drml, mine, tmp_path, words, code, said):
    before = sorted(path.name for path in tmp_path.iterdir())
    answer = drml("adapt", *[word.replace("MINE", mine) for word in words])
    assert answer.code == code
    lines = [line for line in answer.err.splitlines() if not line.startswith("step ")]
    assert len(lines) == 1 and said in lines[0], answer.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before


def test_the_help_leads_from_training_to_adapting():
    text = help_text()
    assert text.index("\n  train") < text.index("\n  test") < text.index("\n  adapt")
