"""What a name stands for is called only where it makes environments."""

import os
import pdb
import shutil
import threading
from functools import partial
from pathlib import Path

import gymnasium as gym
import pytest

from drml.cli.main import main
from drml.envs.foreign.maker import is_maker

GOLDEN = Path(__file__).parents[2] / "run/golden"


class Old:
    """An environment of nobody's kind."""

    def reset(self):
        return 0

    def step(self, action):
        return 0, 0.0, False, {}


class Maker:
    def __call__(self):
        return Old()

    def make(self):
        return Old()


def mine():
    return Old()


@pytest.mark.parametrize("found", [Old, gym.Env, mine, partial(mine), partial(Old), Maker(), Maker().make])
def test_classes_of_environments_and_own_functions_make_them(found):
    assert is_maker(found)


@pytest.mark.parametrize(
    "found", [os.abort, os._exit, partial(os.abort), pdb.set_trace, threading.Thread, dict, shutil.rmtree, [].clear, 3]
)
def test_builtins_the_standard_library_and_other_classes_do_not(found):
    assert not is_maker(found)


def test_a_function_of_an_installed_package_does_where_its_module_deals_with_environments():
    assert is_maker(gym.make) and not is_maker(pytest.main)


@pytest.mark.parametrize("name", ["os:abort", "pdb:set_trace", "builtins:breakpoint", "threading:Thread", "os:getcwd"])
@pytest.mark.parametrize("words", [["test", "run"], ["train", "--resume", "run"], ["check"], ["train"]], ids=" ".join)
def test_what_a_run_names_is_not_called(name, words, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(GOLDEN / "promp", tmp_path / "run")
    config = (run / "config.json").read_text().replace("navigation-maml-v1", name)
    (run / "config.json").write_text(config)
    monkeypatch.chdir(tmp_path)
    words = {"check": ["check", name], "train": ["train", name, "maml"]}.get(" ".join(words), words)
    assert main(words) == 2  # and this process is still there to see it
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"'{name}' is a" in err and "expected a function under @task_family" in err
    assert (run / "config.json").read_text() == config
