import json
from collections.abc import Callable
from pathlib import Path

import pytest

from drml.check.checks import CHECKS

from .conftest import Answer

Drml = Callable[..., Answer]
ROOT = Path(__file__).parents[2]
FAMILY = """
import gymnasium as gym
import numpy as np
from drml import Choice, Uniform, task_family

@task_family(length=Uniform(0.5, 1.5))
def pendulum(length):
    env = gym.make("Pendulum-v1")
    env.unwrapped.l = length
    return env

@task_family(length=Uniform(0.5, 1.5))
def forgetful(length):
    return gym.make("Pendulum-v1")

class Bare(gym.Env):
    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 1.0, True, False, {}

def bare(observed=Bare.observation_space, acted=Bare.action_space):
    env = Bare()
    env.observation_space, env.action_space = observed, acted
    return env

def family(make, horizon=9):
    return task_family(length=Uniform(0.5, 1.5), horizon=horizon)(make)

WORDS = gym.spaces.Dict(place=Bare.observation_space, words=gym.spaces.Dict(mission=gym.spaces.Text(9)))
GRAPH = gym.spaces.Tuple((Bare.action_space, gym.spaces.Graph(Bare.observation_space, None)))
no_limit = family(lambda length: bare(), 0)
text = family(lambda length: bare(WORDS))
graph = family(lambda length: bare(acted=GRAPH))
own_limits = family(lambda length: gym.wrappers.TimeLimit(bare(), int(10 * length)), 0)
no_observations = family(lambda length: bare(gym.spaces.Dict({})))
raises = family(lambda length: gym.make("Pendulum-v7"))
closes_badly = family(lambda length: type("Odd", (Bare,), {"close": lambda self: 1 / 0})())
no_environment = family(lambda length: 3)
vector = family(lambda length, num_envs: gym.make_vec("Blackjack-v1", num_envs, vectorization_mode="sync"), 0)
short = family(lambda length: gym.make("Pendulum-v1", max_episode_steps=9), 10)
unscaled = task_family(length=Uniform(0.5, 1.5), horizon=9)

class Class:
    params = {"length": Uniform(0.5, 1.5)}
    make = staticmethod(lambda length: bare(WORDS))
    horizon = 9

def plain_text():
    return bare(WORDS)
"""
REFUSED = {
    "no_limit": "the environment has no time limit, so the family needs a horizon: horizon=STEPS, such as horizon=200",
    "text": "observation space['words']['mission'] Text(1, 9, ",
    "graph": "action space[1] Graph(Box(-1.0, 1.0, (1,), float32), None) is not supported",
    "own_limits": "tasks have time limits of their own (5 steps with length=0.52, 10 steps with length=1., 14 steps",
    "no_observations": "observations in Dict() hold no number",
    "raises": "making the environment of length=1. raised ",
    "closes_badly": "closing the environment of length=1. raised ZeroDivisionError",
    "no_environment": "a int is not an environment",
    "vector": "the environment has no time limit, so the family needs a horizon",
    "Class": "observation space['words']['mission'] Text(1, 9, ",
    "unscaled": "is a partial, expected a function under @task_family",
    "missing": "has no 'missing'",
}


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
    assert "3 tasks, " in answer.out and f"{len(CHECKS)} ok" in answer.out and not answer.err


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
    assert set(fault) == {"check", "verdict", "seen", "at", "mend", "place"}
    assert fault["place"].startswith(f"{my_tasks}.py:")
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


@pytest.mark.parametrize("name", REFUSED)
def test_what_train_refuses_check_refuses_with_the_same_line_and_code(name: str, drml: Drml, my_tasks: str):
    trained = drml("train", f"{my_tasks}:{name}", "maml", "--meta-iters", 1)
    checked = drml("check", f"{my_tasks}:{name}", "--tasks", 2, "--steps", 20, "--json", "found.json")
    assert (trained.code, checked.code) == (2, 2), checked.out
    assert REFUSED[name] in trained.err and trained.err == checked.err and trained.err.count("\n") == 1
    assert not Path("found.json").exists() and not Path("runs").exists()


def test_a_limit_one_step_below_the_horizon_is_said_by_train_and_by_check(drml: Drml, my_tasks: str):
    said = "the environment's own, 9 steps, lies below the horizon of 10"
    sizes = ("--meta-iters", 1, "--tasks", 2, "--episodes", 2, "--validation-tasks", 1)
    trained = drml("train", f"{my_tasks}:short", "maml", *sizes, "--out", "run")
    assert trained.code == 0 and said in trained.out
    assert said in drml("train", "--resume", "run", "--meta-iters", 2).out
    assert "a time limit of 9 steps, below the declared horizon of 10" in " ".join(
        drml("check", f"{my_tasks}:short", "--tasks", 2, "--steps", 20).out.split()
    )


def test_a_plain_environment_of_spaces_that_no_family_can_have_is_refused(drml: Drml, my_tasks: str):
    answer = drml("check", f"{my_tasks}:plain_text")
    assert answer.code == 2 and f"{my_tasks}:plain_text: {REFUSED['text']}" in answer.err


def test_every_check_is_explained():
    explained = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
    assert [name for name in CHECKS if f"| `{name}` |" not in explained] == []
