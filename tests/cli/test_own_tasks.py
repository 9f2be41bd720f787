"""Train, test, report and resume on tasks of the user's own, through the command line."""

import json
import sys
from pathlib import Path

import pytest
import torch

from drml.run import session

TINY = ["--meta-iters", "1", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2"]
MINE = '''
import os

import gymnasium as gym
import numpy as np
from drml import Uniform, task_family


@task_family(gravity=Uniform(8.0, 12.0, ood=(12.0, 14.0)), horizon=8)
def pendulum(gravity):
    """Swing up."""
    return gym.make("Pendulum-v1", g=gravity)


class Corridor(gym.Env):
    observation_space = gym.spaces.Discrete(5)
    action_space = gym.spaces.Discrete(2)
    horizon = 6

    def sample_tasks(self, num_tasks):
        return [int(end) for end in self.np_random.integers(0, 2, num_tasks)]

    def set_task(self, task):
        self.end = 4 * task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 2
        return self.place, {}

    def step(self, action):
        self.place = min(4, max(0, self.place + 2 * int(action) - 1))
        return self.place, float(self.place == self.end), self.place == self.end, False, {}


class Codes(gym.Env):
    action_space = gym.spaces.Discrete(2)

    def __init__(self, largest, place):
        self.observation_space, self.place = gym.spaces.Box(0, largest, (3,), np.uint8), place

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(3, 2, np.uint8), {}

    def step(self, action):
        return np.full(3, 2, np.uint8), float(action == (self.place > 0.5)), False, False, {}


@task_family(place=Uniform(0.0, 1.0), horizon=4)
def symbols(place):
    return Codes(10, place)


@task_family(place=Uniform(0.0, 1.0), horizon=4)
def pictures(place):
    return Codes(255, place)


@task_family(gravity=Uniform(8.0, 12.0), horizon=8)
def breaking(gravity):
    env = gym.make("Pendulum-v1")
    env.unwrapped.g = None
    return env


built = []


@task_family(gravity=Uniform(8.0, 12.0), horizon=8)
def late(gravity):
    env = gym.make("Pendulum-v1", g=gravity)
    built.append(env)
    if len(built) > 20:
        env.observation_space = gym.spaces.Sequence(gym.spaces.Discrete(2))
    return env


def wander():
    elsewhere = os.path.join(os.path.dirname(__file__), "elsewhere")
    os.makedirs(elsewhere, exist_ok=True)
    os.chdir(elsewhere)


class Wandering(gym.Wrapper):
    def reset(self, **kwargs):
        wander()
        return super().reset(**kwargs)


@task_family(gravity=Uniform(8.0, 12.0), horizon=8)
def wandering(gravity):
    wander()
    return Wandering(gym.make("Pendulum-v1", g=gravity))


@task_family(gravity=Uniform(8.0, 12.0), horizon=8)
def leaving(gravity):
    raise SystemExit(0)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(("task", "learner"), [("pendulum", "maml"), ("Corridor", "rl2"), ("Corridor", "promp")])
def test_the_whole_way(drml, mine, task, learner):
    shape = ["--policy.size", "4"] if learner == "rl2" else ["--policy.hidden", "4"]
    answer = drml("train", f"mine:{task}", learner, *TINY, *shape)
    run = mine / f"runs/mine.{task}-{learner}-s0"
    assert answer.code == 0 and (run / "config.json").exists(), answer.err
    assert json.loads((run / "config.json").read_text())["suite"] == f"mine:{task}"
    assert drml("test", run, "--tasks", "2", "--episodes", "2", "--json", "test.json").code == 0
    assert json.loads((mine / "test.json").read_text())["suite"] == f"mine:{task}"
    resumed = drml("train", "--resume", run, "--meta-iters", "2")
    assert resumed.code == 0 and "after 2 meta-iterations" in resumed.out, resumed.err
    assert drml("report", run).code == 0 and f"mine:{task}" in (run / "report.html").read_text()


def test_a_resumed_run_is_the_run_that_was_never_stopped(drml, mine):
    common = ["mine:pendulum", "maml", "--tasks", "2", "--episodes", "2", "--policy.hidden", "4"]
    assert drml("train", *common, "--meta-iters", "2", "--out", "whole").code == 0
    assert drml("train", *common, "--meta-iters", "1", "--out", "parts").code == 0
    assert drml("train", "--resume", "parts", "--meta-iters", "2").code == 0
    states = [session.load(Path(run)).progress.state.shared for run in ("whole", "parts")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_out_of_distribution_tasks_are_those_that_the_parameter_names(drml, mine):
    assert drml("train", "mine:pendulum", "maml", *TINY, "--policy.hidden", "4", "--out", "run").code == 0
    assert drml("test", "run", "--split", "ood", "--tasks", "3", "--episodes", "1").code == 0
    tasks = json.loads((mine / "run/test.json").read_text())["tasks"]
    assert all(12.0 <= task["params"]["gravity"] < 14.0 for task in tasks)


@pytest.mark.parametrize(
    ("task", "note"),
    [("symbols", "symbols (other bounds) as they are"), ("pictures", "pictures (0 to 255) divided by 255")],
)
def test_what_is_done_with_bytes_is_said_wherever_a_run_is_looked_at(drml, mine, task, note):
    answer = drml("train", f"mine:{task}", "maml", *TINY, "--policy.hidden", "4", "--out", "run")
    assert answer.code == 0 and answer.out.startswith(f"bytes in observations: {note};"), answer.err
    resumed = drml("train", "--resume", "run", "--meta-iters", "2")
    assert resumed.code == 0 and resumed.out.startswith(f"bytes in observations: {note};"), resumed.err
    assert drml("test", "run", "--tasks", "2", "--episodes", "2").code == 0
    assert drml("report", "run").code == 0 and note in (mine / "run/report.html").read_text()
    assert drml("check", f"mine:{task}", "--tasks", "2", "--steps", "20").out.count(note) == 1


def test_a_run_of_before_bytes_were_told_apart_goes_on_where_nothing_has_changed(drml, mine):
    for task, code in (("pictures", 0), ("symbols", 2)):
        assert drml("train", f"mine:{task}", "maml", *TINY, "--policy.hidden", "4", "--out", task).code == 0
        config = json.loads((mine / task / "config.json").read_text())
        del config["tasks"]["bytes"]
        (mine / task / "config.json").write_text(json.dumps(config))
        answer = drml("train", "--resume", task, "--meta-iters", "2")
        assert answer.code == code, answer.err
    assert "bytes was pictures (0 to 255) divided by 255 and is symbols (other bounds) as they are" in answer.err


def test_from_elsewhere_the_module_is_asked_for(drml, mine, monkeypatch):
    assert drml("train", "mine:pendulum", "maml", *TINY, "--policy.hidden", "4", "--out", "run").code == 0
    (mine / "elsewhere").mkdir()
    monkeypatch.chdir(mine / "elsewhere")
    sys.modules.pop("mine")
    sys.path[:] = [place for place in sys.path if place != str(mine)]
    answer = drml("test", mine / "run")
    assert answer.code == 2 and "no module 'mine' for 'mine:pendulum'" in answer.err


def test_an_environment_that_raises_is_one_line(drml, mine):
    answer = drml("train", "mine:breaking", "maml", *TINY, "--policy.hidden", "4", "--out", "run")
    assert answer.code == 3 and answer.err.count("\n") == 1 and "TypeError" in answer.err
    assert "the last: task gravity=" in answer.err and "raised in step 0 of episode 0" in answer.err


def test_a_task_with_spaces_of_its_own_ends_the_run_saved(drml, mine):
    answer = drml("train", "mine:late", "maml", *TINY[2:], "--meta-iters", "9", "--policy.hidden", "4", "--out", "run")
    assert answer.code == 3 and answer.err.count("\n") == 1, answer.err
    assert "late: the environment of gravity=" in answer.err and "observation space Sequence" in answer.err
    assert [path.name for path in (mine / "run/checkpoints").iterdir()] != []


def test_paths_are_meant_from_where_the_command_was_given(drml, mine, monkeypatch):
    """An environment may go elsewhere, when it is made and at any time after."""
    shape = [*TINY, "--policy.hidden", "4"]
    answer = drml("train", "mine:wandering", "maml", *shape, "--json", "train.json")
    run = "runs/mine.wandering-maml-s0"
    assert answer.code == 0 and f"drml test {run} && " in answer.out, answer.err
    for words in (
        ["train", "mine:wandering", "maml", *shape, "--out", "run", "--json", "train.json"],
        ["train", "--resume", "run", "--meta-iters", "2", "--json", "resumed.json"],
        ["test", "run", "--tasks", "2", "--episodes", "2", "--json", "test.json"],
        ["report", "run"],
    ):
        monkeypatch.chdir(mine)
        assert drml(*words).code == 0, words
    written = {"run", "runs", "train.json", "resumed.json", "test.json"}
    assert written < {path.name for path in mine.iterdir()} and (mine / "run/report.html").exists()
    assert not [*(mine / "elsewhere").iterdir()]


def test_an_environment_that_leaves_is_no_success(drml, mine):
    answer = drml("train", "mine:leaving", "maml", *TINY)
    assert answer.code == 2 and answer.err.count("\n") == 1 and "raised SystemExit: 0 (mine.py:" in answer.err
    assert not (mine / "runs").exists()


def test_a_name_that_is_not_there_is_bad_input(drml, mine):
    answer = drml("train", "mine:pendulums", "maml")
    assert answer.code == 2 and answer.err.count("\n") == 1 and "Did you mean 'pendulum'" in answer.err
