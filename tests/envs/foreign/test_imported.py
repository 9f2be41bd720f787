"""`package.module:attribute`: what is accepted, and one line for each thing that can be wrong with it."""

import sys

import pytest
import torch

from drml.core.errors import InputError
from drml.envs.foreign.family import GymFamily
from drml.suites.registry import suite

MINE = '''
import sys
from dataclasses import dataclass
from functools import partial

import gymnasium as gym
from drml import Uniform, task_family
from drml.suites.registry import suite


class Env(gym.Env):
    observation_space = gym.spaces.Discrete(3)
    action_space = gym.spaces.Discrete(2)
    tasks = [0, 1, 2]
    horizon = 4

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 1, 0.0, False, False, {}


@task_family(size=Uniform(1.0, 2.0), horizon=6)
def decorated(size):
    """Do something."""
    return Env()


class Plain:
    params = {"size": Uniform(1.0, 2.0)}
    horizon = 5

    def make(self, size):
        return Env()


@dataclass(frozen=True)
class Configured:
    params: dict
    horizon: int = 7

    def make(self, size):
        return Env()


configured = Configured({"size": Uniform(1.0, 2.0)})


def factory():
    return Env()


factory.horizon = 8
bound = partial(Env)
bound.horizon = 9
theirs = suite("navigation-maml-v1")
number = 3


def undecorated(size):
    return Env()


@task_family(size=Uniform(1.0, 2.0))
def timeless(size):
    return Env()


@task_family(size=Uniform(1.0, 2.0), horizon=3)
def raising(size):
    raise RuntimeError("the motor is missing")


@task_family(size=Uniform(1.0, 2.0), horizon=3)
def leaving(size):
    sys.exit(0)


nothing = None


class NoHorizon(Plain):
    horizon = None


class TextHorizon(Plain):
    horizon = "20"


class Ranges(Plain):
    params = {"size": (1.0, 2.0)}


class Names(Plain):
    params = ["size"]


class Unlicensed(Plain):
    def __init__(self):
        raise ValueError("no licence")


class Needy(Plain):
    def __init__(self, file):
        self.file = file


class Leaving(Plain):
    def __init__(self):
        sys.exit(0)


class Unread(Plain):
    def __init__(self, ready=False):
        self.ready = ready

    @property
    def params(self):
        if not self.ready:
            raise KeyError("size")
        return Plain.params


unread = Unread()


class TasksNoHorizon(Env):
    horizon = None


class TasksPropertyHorizon(Env):
    @property
    def horizon(self):
        return 4


class TasksLeaving(Env):
    def __init__(self):
        sys.exit(0)
'''


GLOBAL_TORCH = """
import torch
from tasks.mine import decorated

torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's, `tasks.mine`, in the working directory."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/mine.py").write_text(MINE)
    (tmp_path / "tasks/broken.py").write_text("x = 1\ny = x.nothing\n")
    (tmp_path / "tasks/leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "tasks/ranges.py").write_text("from drml import Uniform\nsize = Uniform(2, 1)\n")
    (tmp_path / "tasks/lazy.py").write_text("def __getattr__(name):\n    raise KeyError(name)\n")
    (tmp_path / "tasks/global_torch.py").write_text(GLOBAL_TORCH)
    (tmp_path / "tasks/needy.py").write_text("import nonesuch_package\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "tasks"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("attribute", "horizon"),
    [("decorated", 6), ("Plain", 5), ("Env", 4), ("factory", 8), ("configured", 7), ("bound", 9), ("theirs", 100)],
)
def test_every_form_is_accepted_and_called_what_it_was_asked_by(mine, attribute, horizon):
    found = suite(f"tasks.mine:{attribute}")
    assert found.name == f"tasks.mine:{attribute}" and found.spec.horizon == horizon


def test_what_it_says_of_itself_is_kept(mine):
    assert suite("tasks.mine:decorated").summary == "Do something."


def test_what_a_module_sets_for_all_of_torch_is_undone(mine):
    suite("tasks.global_torch:decorated")
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()


def test_asking_again_builds_nothing_again(mine, monkeypatch):
    suite("tasks.mine:decorated")
    monkeypatch.setattr(GymFamily, "_built", None)
    suite("tasks.mine:decorated")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere.mine:x",
            r"no module 'nowhere' for 'nowhere.mine:x', in .* or among the installed packages; run",
        ),
        ("tasks.min:x", r"no module 'tasks.min' for 'tasks.min:x'"),
        (
            "tasks.mine:decorate",
            r"'tasks.mine:decorate': module tasks.mine has no 'decorate'. Did you mean",
        ),
        ("tasks.mine:", r"module tasks.mine has no ''"),
        ("tasks/mine.py:decorated", r"names a file; name the module: tasks.mine:decorated"),
        ("../tasks/mine.py:decorated", r"names a file; run drml in \.\./tasks and name the module: mine:decorated"),
        ("/tasks/mine.py:decorated", r"names a file; run drml in /tasks and name the module: mine:decorated"),
        ("tasks.mine:nothing", r"'tasks.mine:nothing' is a NoneType, expected a function under @task_family"),
        ("tasks.lazy:x", r"'tasks.lazy:x': asking module tasks.lazy for it raised KeyError: 'x' \(\S*lazy.py:2\)"),
        ("tasks.ranges:size", r"Uniform: range \(2, 1\) must be finite with low < high \(\S*ranges.py:2\)"),
        ("tasks.mine:number", r"is a int, expected a function under @task_family"),
        ("tasks.mine:undecorated", r"is a function, expected .*the arguments that it takes are parameters"),
        ("tasks.mine:timeless", r"timeless: the environment has no time limit"),
        (
            "tasks.mine:raising",
            r"making the environment of size=1.5 raised RuntimeError: the motor is missing \(tasks/mine.py:\d+\)",
        ),
        (
            "tasks.mine:leaving",
            r"leaving: making the environment of size=1.5 raised SystemExit: 0 \(tasks/mine.py:\d+\)",
        ),
        ("tasks.mine:NoHorizon", r"NoHorizon: horizon is None, must be a whole number"),
        ("tasks.mine:TextHorizon", r"TextHorizon: horizon is '20', must be a whole number"),
        ("tasks.mine:Ranges", r"Ranges: .*size is \(1.0, 2.0\), expected a distribution such as Uniform"),
        ("tasks.mine:Names", r"Names: .*params is \['size'\], expected a dictionary of distributions by name"),
        ("tasks.mine:Unlicensed", r"Unlicensed: .* raised ValueError: no licence \(tasks/mine.py:\d+\)"),
        ("tasks.mine:Needy", r"Needy: .* raised TypeError: .*missing 1 required positional argument: 'file'"),
        ("tasks.mine:Leaving", r"Leaving: .* raised SystemExit: 0 \(tasks/mine.py:\d+\)"),
        ("tasks.mine:Unread", r"Unread: .* raised KeyError: 'size' \(tasks/mine.py:\d+\)"),
        ("tasks.mine:unread", r"'tasks.mine:unread': .* raised KeyError: 'size' \(tasks/mine.py:\d+\)"),
        ("tasks.mine:TasksNoHorizon", r"TasksNoHorizon: horizon is None, must be a whole number"),
        ("tasks.mine:TasksPropertyHorizon", r"TasksPropertyHorizon: horizon is <property .*>, must be a whole number"),
        ("tasks.mine:TasksLeaving", r"asking an environment for its tasks raised SystemExit: 0 \(tasks/mine.py:\d+\)"),
        ("tasks.broken:x", r"importing tasks.broken raised AttributeError: .*'nothing' \(\S*broken.py:2\)"),
        ("tasks.leaving:x", r"importing tasks.leaving raised SystemExit: 3 \(\S*leaving.py:1\)"),
        (
            "tasks.needy:x",
            r"importing tasks.needy raised ModuleNotFoundError: .*nonesuch.* \(\S*needy.py:1\)",
        ),
    ],
)
def test_each_failure_is_one_line_that_names_what_and_where(mine, name, message):
    with pytest.raises(InputError, match=message) as failure:
        suite(name)
    assert "\n" not in str(failure.value)


def test_a_name_without_a_colon_is_one_of_ours():
    with pytest.raises(InputError, match=r"unknown suite 'cartpole-varied'.* Did you mean 'cartpole-varied-v1'"):
        suite("cartpole-varied")
