"""Training from Python: three lines do what the command line does, and a wrong word is one line."""

import json
import os
import sys
from pathlib import Path

import pytest

import drml
from drml.cli.main import main
from drml.core.errors import CheckpointError, EnvError, InputError

SUITE = "navigation-maml-v1"
SIZES = {"meta_iters": 2, "num_tasks": 2, "copies": 2, "validation_tasks": 2}
POLICY = drml.MLPConfig(hidden=(4,))
RADIO = """
import gymnasium as gym, numpy as np
from drml import Uniform, task_family

class Dial(gym.Env):
    observation_space = action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    def __init__(self, station): self.station = station
    def reset(self, *, seed=None, options=None): return np.zeros(1, np.float32), {}
    def step(self, action): return np.zeros(1, np.float32), -abs(float(action[0]) - self.station), False, False, {}

@task_family(station=Uniform(-1.0, 1.0), horizon=3)
def dials(station): return Dial(station)

class Dials:
    params, horizon, make = {"station": Uniform(-1.0, 1.0)}, 3, staticmethod(Dial)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dials(here, monkeypatch):
    """A module of the user's own tasks."""
    (here / "dial_tasks.py").write_text(RADIO)
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    yield pytest.importorskip("dial_tasks")
    sys.modules.pop("dial_tasks")


def rows_of(run):
    clocks = ("seconds", "crc32")
    lines = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in row.items() if key not in clocks} for row in lines]


def small(suite=SUITE, learner="maml", **words):
    return drml.train(suite, learner, **{"policy": POLICY, "verbose": False, **SIZES, **words})


def test_python_and_the_command_line_train_the_same_run(here):
    run = small(seed=3)
    sizes = ["--meta-iters", "2", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--policy.hidden", "4"]
    assert main(["train", SUITE, "maml", "--seed", "3", *sizes]) == 0
    twin = here / f"runs/{SUITE}-maml-s3-2"  # numbered, since the first name is taken
    assert run.path == here / f"runs/{SUITE}-maml-s3"
    assert rows_of(run.path) == rows_of(twin)
    assert run.config == drml.Run.at(twin).config


def test_a_run_is_tested_and_reported_on(here, capsys):
    pytest.importorskip("matplotlib")
    run = drml.train(SUITE, "promp", policy=POLICY, **SIZES)
    result = run.test(adapt_steps=1, num_tasks=2, copies=2)
    assert json.loads((run.path / "test.json").read_text()) == result
    assert run.report() == run.path / "report.html" and (run.path / "report.html").exists()
    lines = capsys.readouterr().out.splitlines()
    first, second = (point["mean"] for point in result["return_by_step"])
    assert lines[:2] == [
        "an adaptation step takes 2 x 100 steps of a task, however many episodes these are",
        f"the run is {run.path}",
    ]
    assert [line.split()[0] for line in lines[2:-3]] == ["meta-iteration", "meta-iteration"]
    assert lines[-3].startswith("ended (budget) after 2 meta-iterations, ")
    assert lines[-2] == f"mean return {first:.1f}, {second:.1f} after 0, 1 adaptation steps on 2 test tasks"
    assert lines[-1] == f"report: {run.path / 'report.html'}"


def test_silence_where_asked_for(here, capsys):
    run = small()
    run.test(adapt_steps=0, num_tasks=2, copies=2)
    drml.Run.at(run.path, verbose=False).resume(meta_iters=3)
    assert capsys.readouterr().out == ""


def test_two_and_two_meta_iterations_are_four(here):
    whole, parts = small(meta_iters=4, validate_every=2, out="whole"), small(validate_every=2, out="parts")
    assert drml.Run.at("parts", verbose=False).resume(meta_iters=4).path == parts.path
    assert rows_of(whole.path) == rows_of(parts.path)
    assert parts.config.train.meta_iters == 4  # a handle holds nothing that could be old


def test_a_run_goes_on_after_an_interruption(here):
    def interrupt(progress, rows):
        if progress.meta_iter == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small(meta_iters=4, checkpoint_every=2, out="parts", listeners=[interrupt])
    assert len(rows_of(here / "parts")) >= 2
    assert rows_of(drml.Run.at("parts", verbose=False).resume().path) == rows_of(
        small(meta_iters=4, checkpoint_every=2, out="whole").path
    )


def test_what_is_refused_leaves_nothing(here):
    with pytest.raises(InputError):
        small(num_tasks=0)
    with pytest.raises(InputError):
        small(learner="mamml")
    assert list(here.iterdir()) == []


def test_a_run_says_what_it_is(here):
    run = small()
    text = repr(run)
    assert text.startswith(f"<Run {run.path}: maml on {SUITE}, seed 0; 2 of 2 meta-iterations, return ")
    assert "→" in text and "\n" not in text
    (run.path / "config.json").unlink()
    assert repr(run) == f"<Run {run.path}: {run.path} is not a run directory: it has no config.json>"


def test_rows_are_the_log(here):
    rows = small().rows()
    assert [(row["kind"], row["meta_iter"]) for row in rows] == [("train", 1), ("train", 2), ("validation", 2)]


def test_settings_by_name_go_where_the_configuration_has_them(here):
    run = small(train=drml.TrainConfig(meta_iters=9, validate_every=1), learner_config=drml.MAMLConfig(order=1))
    assert (run.config.train.meta_iters, run.config.train.validate_every) == (2, 1)  # the word beats the object
    assert run.config.learner_config == drml.MAMLConfig(order=1)
    pool = drml.SamplerConfig(kind="pool", pool_size=7)
    assert small(sampler=pool).config.sampler == pool


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"meta_iter": 3}, "unknown setting 'meta_iter'. Did you mean 'meta_iters'?"),
        ({"tasks": 3}, "unknown setting 'tasks'. Did you mean 'num_tasks'?"),
        ({"order": 1}, "'order' is a setting of MAMLConfig; pass it as learner_config=drml.MAMLConfig(order=…)"),
        ({"hidden": (3,)}, "'hidden' is a setting of MLPConfig; pass it as policy=drml.MLPConfig(hidden=…)"),
        ({"meta_iters": "3"}, "train.meta_iters is '3', expected int"),
        ({"meta_iters": 2.5}, "train.meta_iters is 2.5, expected int"),
        ({"meta_iters": True}, "train.meta_iters is True, expected int"),
        ({"meta_iters": 0}, "meta_iters is 0, must be 1 or more"),
        ({"max_seconds": float("nan")}, "train.max_seconds is nan, must be a finite number"),
        ({"threads": -1}, "threads is -1, must be 0 (all cores) or more"),
        (
            {"sampler": "pool"},
            "sampler is of type str, meta-training takes SamplerConfig: sampler=drml.SamplerConfig(…)",
        ),
        ({"kind": "pool"}, "'kind' is a setting of SamplerConfig; pass it as sampler=drml.SamplerConfig(kind=…)"),
        ({"threads": "2"}, "threads is '2', must be 0 (all cores) or more"),
        ({"isolation": True}, "isolation is True, expected an Isolation: isolation=drml.Isolation(isolate=True)"),
        ({"isolate": True}, "'isolate' is a setting of Isolation; pass it as isolation=drml.Isolation(isolate=…)"),
        ({"seed": "3"}, "config.seed is '3', expected int"),
        ({"learner_config": drml.ProMPConfig()}, "learner_config is of type ProMPConfig, maml takes MAMLConfig"),
        ({"learner_config": {"order": 1}}, "learner_config is of type dict, maml takes MAMLConfig"),
        ({"policy": drml.MemoryConfig()}, "policy is of type MemoryConfig, maml takes MLPConfig or ModuleConfig: pol"),
        ({"train": {"meta_iters": 3}}, "train is of type dict, expected TrainConfig"),
        ({"learner": "MAML"}, "unknown learner 'MAML'"),
        ({"learner": None}, "unknown learner 'None'"),
        ({"suite": "navigation-mml-v1"}, "unknown suite 'navigation-mml-v1'. Did you mean 'navigation-maml-v1'?"),
        ({"suite": 3}, "tasks are a name (`drml list` shows them), a family or a suite, and not of type int"),
        ({"suite": None}, "tasks are a name (`drml list` shows them), a family or a suite, and not of type NoneType"),
        ({"suite": lambda: None}, "'<lambda>' is held by no module under a name"),
        ({"suite": os.abort}, "'posix:abort' is a builtin_function_or_method, expected a function under @task_family"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_a_wrong_word_is_one_line_and_nothing_is_written(words, line, here):
    with pytest.raises(InputError) as refused:
        small(**words)
    assert line in str(refused.value) and "\n" not in str(refused.value)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("kind", ["dials", "Dials"])
def test_tasks_may_be_given_as_they_are_and_are_found_again_by_name(kind, dials, here):
    run = small(getattr(dials, kind))
    assert run.config.suite == f"dial_tasks:{kind}"
    assert run.path == here / f"runs/dial_tasks.{kind}-maml-s0"
    words = ["train", "--resume", str(run.path), "--meta-iters", "3"]
    assert main(words) == 0 and len([row for row in run.rows() if row["kind"] == "train"]) == 3


def test_a_suite_of_the_house_is_known_by_its_name(here):
    from drml.suites.registry import SUITES

    assert small(SUITES[SUITE]).config.suite == SUITE


def test_tasks_of_a_script_are_refused_since_no_other_process_finds_them(here, dials, monkeypatch):
    family = drml.task_family(station=drml.Uniform(-1.0, 1.0), horizon=3)(dials.Dial)
    family_of_the_script = drml.GymFamily("mine", dials.Dial, family.tasks, 3)
    monkeypatch.setattr(sys.modules["__main__"], "mine", family_of_the_script, raising=False)
    with pytest.raises(InputError, match=r"'mine' is defined in the script or notebook that runs, .* a module of its"):
        small(family_of_the_script)
    with pytest.raises(InputError, match="'Dial' is held by no module under a name"):
        small(family)


def test_what_is_no_run_is_not_loaded(here):
    with pytest.raises(InputError, match=r"is not a run directory: it has no config.json"):
        drml.Run.at("nowhere")
    run = small()
    for checkpoint in (run.path / "checkpoints").iterdir():
        (checkpoint / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError):
        drml.Run.at(run.path).test()


def test_only_stop_rules_change_within_a_run(here):
    run = small()
    with pytest.raises(InputError, match="num_tasks cannot change within a run"):
        run.resume(num_tasks=3)
    with pytest.raises(InputError, match=r"unknown setting 'meta_itres'. Did you mean 'meta_iters'"):
        run.resume(meta_itres=3)


def test_a_directory_that_holds_something_is_refused(here):
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        small(out="out")
    assert Path("out/notes.txt").read_text() == "mine"


def test_a_family_that_fails_ends_the_training_with_its_kind_of_error(here, dials):
    dials.Dial.step = lambda self, action: 1 / 0
    with pytest.raises(EnvError, match="ZeroDivisionError"):
        small(dials.dials, meta_iters=40)
