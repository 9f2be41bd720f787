"""What adaptation steps take, where episodes end early: said by every command; and tests beyond training."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Answer

Drml = Callable[..., Answer]
TINY = ["--meta-iters", "1", "--tasks", "2", "--episodes", "3", "--validation-tasks", "2", "--learner.episodes", "4"]
MINE = '''
import gymnasium as gym
import numpy as np
from drml import Choice, Uniform, task_family


class Timed(gym.Env):
    """Ends after as many steps as the task says; the reward is 1."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, length, shape=(2,)):
        self.length, self.observation_space = length, gym.spaces.Box(0.0, 1.0, shape, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.see(), {}

    def see(self):
        return np.full(self.observation_space.shape, self.t / 100.0, np.float32)

    def step(self, action):
        self.t += 1
        return self.see(), 1.0, self.t >= self.length, False, {}


@task_family(length=Choice((3.0,)), horizon=12, held_out=False)
def threes(length):
    return Timed(length)


@task_family(length=Choice((50.0,)), horizon=50, held_out=False)
def fifties(length):
    return Timed(length)


@task_family(length=Uniform(40.0, 50.0), horizon=50)
def pictures(length):
    return Timed(length, (64, 64, 3))
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "timed_tasks.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "timed_tasks", raising=False)
    return "timed_tasks"


def cells(out: str, name: str) -> list[str]:
    (row,) = (line for line in out.splitlines() if name in line)
    return [cell.strip() for cell in row.split("│")[2:-1]]


def test_the_fourth_point_of_rl2_comes_after_three_episodes_wherever_it_is_told(mine: str, drml: Drml):
    trained = drml("train", f"{mine}:threes", "rl2", *TINY, "--policy.size", "4", "--out", "run")
    assert trained.code == 0, trained.err
    assert trained.out.splitlines()[0] == "an adaptation step is one episode, of up to 12 steps"
    assert "72 env steps" in trained.out  # 2 tasks x 3 copies x 4 episodes x 3 steps
    tested = drml("test", "run", "--tasks", "1", "--episodes", "3")
    assert cells(tested.out, "after episodes") == ["0", "1", "2", "3"]
    assert cells(tested.out, "after env steps") == ["0", "3", "6", "9"]
    assert "points beyond" not in tested.out
    points = json.loads(Path("run/test.json").read_text())["return_by_step"]
    assert [(point["episodes"], point["env_steps"]) for point in points] == [(j, 3.0 * j) for j in range(4)]
    assert drml("report", "run").code == 0
    page = Path("run/report.html").read_text()
    assert "step 3: 3 episodes, 9 env steps" in page  # below the adaptation curve
    assert "Between before and after lie 3 episodes and 9 env steps of one agent" in page  # and the learning curve
    figures = {name: json.loads(Path(f"run/figures/{name}.json").read_text()) for name in ("adaptation", "learning")}
    assert figures["adaptation"]["env_steps"] == [0.0, 3.0, 6.0, 9.0]
    assert figures["learning"]["train"]["adapt_episodes"] == [3.0]


@pytest.mark.parametrize(
    ("adapts_on", "line", "episodes", "env_steps"),
    [
        (
            "steps",
            "takes 3 x 12 steps of a task, however many episodes these are",
            ["0", "12", "24"],
            [0, 36, 72],
        ),
        ("episodes", "takes 3 episodes of a task, of up to 12 steps each", ["0", "3", "6"], [0, 9, 18]),
    ],
)
def test_a_gradient_learner_adapts_on_episodes_or_on_steps(
    adapts_on: str, line: str, episodes: list[str], env_steps: list[int], mine: str, drml: Drml
):
    words = ["--policy.hidden", "4", "--learner.inner.adapts-on", adapts_on, "--out", "run"]
    trained = drml("train", f"{mine}:threes", "maml", *TINY[:-2], *words)
    assert trained.out.splitlines()[0] == f"an adaptation step {line}"
    tested = drml("test", "run", "--tasks", "1", "--episodes", "3", "--adapt-steps", "2")
    assert cells(tested.out, "after episodes") == episodes
    assert cells(tested.out, "after env steps") == [str(number) for number in env_steps]
    assert "training took 1 adaptation step; points beyond show" in tested.out


def test_what_an_adaptation_step_is_taken_on_is_one_of_two(mine: str, drml: Drml):
    answer = drml("train", f"{mine}:threes", "maml", *TINY[:-2], "--learner.inner.adapts-on", "tasks", "--out", "run")
    assert answer.code == 2 and "adapts-on" in answer.err and not Path("run").exists()


def test_the_printed_command_tests_a_transformer_of_default_context(mine: str, drml: Drml):
    """Two episodes of 50 steps fill the context of 100; the test that is printed takes four."""
    words = ["--policy.kind", "transformer", "--policy.size", "8", "--out", "run"]
    trained = drml("train", f"{mine}:fifties", "rl2", *TINY[:-2], *words)
    assert trained.code == 0, trained.err
    (command,) = (line.strip() for line in trained.out.splitlines() if line.strip().startswith("drml test"))
    tested = drml(*command.split(" && ")[0].split()[1:])
    assert tested.code == 0, tested.err
    assert cells(tested.out, "after env steps") == ["0", "50", "100", "150"]


def test_what_can_never_fit_is_refused_with_a_way_out(mine: str, drml: Drml):
    words = ["--episodes", "5000", "--tasks", "40", "--out", "run"]
    answer = drml("train", f"{mine}:pictures", "maml", *words)
    assert answer.code == 6 and "40 tasks x 5000 episodes of 50 steps with 12288 numbers each" in answer.err
    assert "--episodes " in answer.err and "would fit" in answer.err and not Path("run").exists()


@pytest.mark.slow
def test_pictures_are_trained_on_within_two_gigabytes(mine: str, tmp_path: Path):
    words = ["--tasks", "3", "--episodes", "2", "--meta-iters", "1", "--validation-tasks", "3", "--out", "run"]
    command = [sys.executable, "-m", "drml.cli.main", "train", f"{mine}:pictures", "maml", *words]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=240)  # a minute, where nobody else is at work
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # kB, of all children so far
    assert peak < 2_000_000
