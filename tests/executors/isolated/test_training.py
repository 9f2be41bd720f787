"""Whole runs on environments of which one task in eight fails, in each of seven ways: they finish, and say so."""

import json
from dataclasses import replace

import pytest

from drml.algos.gradient.promp import ProMPConfig
from drml.cli.main import main
from drml.core.tree import tree_leaves
from drml.envs.api import EnvOptions, Isolation
from drml.loop.config import TrainConfig
from drml.loop.quarantine import MAX_STRIKES, Quarantine
from drml.loop.train import meta_train
from drml.loop.trainer import init_progress
from drml.policies.mlp import MLPConfig
from drml.report.page import write_report
from drml.run import checkpoint, session
from drml.tasks.distribution import content_hashes

TRAIN = TrainConfig(meta_iters=4, num_tasks=8, copies=8, validate_every=100, validation_tasks=8, checkpoint_every=1)
ISOLATED = EnvOptions(isolation=Isolation(True, 2.0, 0.25))
KINDS = ("raise", "exit", "kill", "stop", "loop", "segfault", "bomb")
REPORTED = {"raise": "raised", "stop": "hung", "loop": "hung", "bomb": "out of memory"}


def config_of(name, **train):
    return session.RunConfig(
        f"fault_zoo:{name}", "promp", ProMPConfig(), MLPConfig(hidden=(8,)), replace(TRAIN, **train), 3
    )


def bits(progress):
    tree = {"state": progress.state.tree(), "best": dict(progress.best_shared)}
    return {path: value.numpy().tobytes() for path, value in tree_leaves(tree)}


def rows_of(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("seconds", "crc32")} for row in rows]


def bad_task():
    import fault_zoo

    tasks = fault_zoo.TASKS.all_tasks()
    return content_hashes(tasks)[tasks.params["goal"].tolist().index(fault_zoo.BAD)]


def without_the_task(**train):
    """The progress of a healthy run that never met the bad task, in this process."""
    setup = session.set_up(config_of("fine", **train))
    trainer = session.make_trainer(setup, EnvOptions(), lambda: False)
    start = replace(init_progress(trainer), quarantine=Quarantine({bad_task(): MAX_STRIKES}))
    rows = []
    return meta_train(trainer, start, [lambda _, new: rows.extend(new)])[0], rows


def test_isolated_and_not_are_the_same_run(zoo, tmp_path):
    here, _ = session.start(config_of("fine", meta_iters=2), tmp_path / "here")
    there, _ = session.start(config_of("fine", meta_iters=2), tmp_path / "there", options=ISOLATED)
    assert bits(here) == bits(there)
    assert rows_of(tmp_path / "here") == rows_of(tmp_path / "there")
    tests = [
        session.test(tmp_path / run, num_tasks=8, copies=2, options=options)
        for run, options in (("here", EnvOptions()), ("there", ISOLATED))
    ]
    times = ("seconds", "phases")
    assert [{k: v for k, v in test.items() if k not in times} for test in tests[:1]] == [
        {k: v for k, v in test.items() if k not in times} for test in tests[1:]
    ]
    assert zoo.left() == []


def always(kind, moment):
    return (kind, moment) in {("raise", "step"), ("kill", "step"), ("loop", "reset")}


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        pytest.param(kind, moment, marks=() if always(kind, moment) else pytest.mark.slow)
        for kind in KINDS
        for moment in ("construct", "reset", "step")
    ],
)
def test_a_run_goes_on_and_quarantines_the_task(kind, moment, zoo, tmp_path):
    run = tmp_path / "run"
    progress, reason = session.start(config_of(f"{kind}_{moment}"), run, options=ISOLATED)
    control, control_rows = without_the_task()
    rows = rows_of(run)
    assert (reason, progress.meta_iter) == ("budget", 4)
    assert bits(progress) == bits(control)
    kept = ("pre_return", "post_return", "return_by_step", "outer_loss_last")
    assert [[row.get(key) for key in kept] for row in rows] == [[row.get(key) for key in kept] for row in control_rows]
    faults = [fault for row in rows for fault in row.get("faults", ())]
    assert [fault["strikes"] for fault in faults] == [1, 2, 3]
    for fault in faults:
        assert (fault["task"], fault["params"], fault["moment"]) == (bad_task(), {"goal": 2.0}, moment)
        assert fault["fault"] == REPORTED.get(kind, "died") and fault["lost"]
        assert len(fault["action"]) == (2 if moment == "step" else 0)
    assert "goal=2" in faults[-1]["text"] and faults[-1]["quarantined"]
    assert progress.quarantine.strikes == {bad_task(): 3}
    page = write_report(run).read_text()
    assert "Faulty tasks" in page and "quarantined" in page
    assert zoo.left() == []


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "exit" else pytest.mark.slow) for kind in KINDS]
)
def test_a_fault_in_close_costs_strikes_and_no_data(kind, zoo, tmp_path):
    # with 5 of 8 tasks at a time, processes change tasks
    size = {"num_tasks": 5, "meta_iters": 30, "validation_tasks": 5, "max_faulty_share": 0.5}
    _, reason = session.start(config_of(f"{kind}_close", **size), tmp_path / "run", options=ISOLATED)
    rows = rows_of(tmp_path / "run")
    faults = [fault for row in rows for fault in row.get("faults", ())]
    assert [fault["strikes"] for fault in faults] == [1, 2, 3]
    assert all((f["fault"], f["moment"]) == (REPORTED.get(kind, "died"), "close") for f in faults)
    assert all(f["params"] == {"goal": 2.0} and not f["lost"] for f in faults)
    assert reason == "budget" and "dropped_episodes" not in {key for row in rows for key in row}
    # no episode was lost by it: until the task is out, the run is that on healthy tasks
    out = next(row["meta_iter"] for row in rows if row.get("faults") and row["faults"][0]["quarantined"])
    session.start(config_of("fine", **size), tmp_path / "fine")
    assert [row["post_return"] for row in rows[:out]] == [
        row["post_return"] for row in rows_of(tmp_path / "fine")[:out]
    ]
    assert zoo.left() == []


@pytest.mark.parametrize("place", ["reset", "1", "50", "last"])
def test_nan_is_dropped_struck_and_never_learned_from(place, zoo, tmp_path):
    run = tmp_path / "run"
    progress, _ = session.start(config_of(f"nan{place}"), run)
    setup = session.set_up(config_of("nannever"))
    trainer = session.make_trainer(setup, EnvOptions(), lambda: False)
    start = replace(init_progress(trainer), quarantine=Quarantine({bad_task(): MAX_STRIKES}))
    control, _ = meta_train(trainer, start, [])
    assert bits(progress) == bits(control)
    faults = [fault for row in rows_of(run) for fault in row.get("faults", ())]
    assert [(f["strikes"], f["fault"], f["task"]) for f in faults] == [(n, "not finite", bad_task()) for n in (1, 2, 3)]
    where = {"reset": ("reset", 0, "observation"), "1": ("step", 0, "observation"), "50": ("step", 49, "observation")}
    expected = where.get(place, ("step", 59, "last observation"))
    assert all((f["moment"], f["step"], f["message"]) == expected for f in faults)
    assert all(bool(value.isfinite().all()) for _, value in tree_leaves(progress.state.tree()))


def test_a_quarantine_survives_stop_and_resume_with_the_same_bits(zoo, tmp_path):
    whole, _ = session.start(config_of("raise_step", meta_iters=6), tmp_path / "whole")
    session.start(config_of("raise_step", meta_iters=2), tmp_path / "parts")  # two strikes
    assert session.load(tmp_path / "parts").progress.quarantine.strikes[bad_task()] == 2
    session.resume(tmp_path / "parts", train=replace(TRAIN, meta_iters=4))  # the third
    parts, _ = session.resume(tmp_path / "parts", train=replace(TRAIN, meta_iters=6))
    assert bits(whole) == bits(parts)
    in_training = [
        {key: count for key, count in progress.quarantine.strikes.items() if "validation" not in key}
        for progress in (whole, parts)  # what was stopped has validated once more than what was not
    ]
    assert in_training == [{bad_task(): 3}] * 2
    last = [row for row in rows_of(tmp_path / "whole") if row["kind"] == "train"]
    assert last == [row for row in rows_of(tmp_path / "parts") if row["kind"] == "train"]


def test_a_test_leaves_the_faulty_task_out_of_the_means_and_names_it(zoo, tmp_path, capsys):
    run = tmp_path / "run"
    session.start(config_of("raise_step", meta_iters=1), run)
    result = session.test(run, num_tasks=8, copies=4)
    assert [task["params"]["goal"] for task in result["tasks"]] == [0.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    (faulty,) = json.loads((run / "test.json").read_text())["faulty_tasks"]
    assert faulty["params"] == {"goal": 2.0}
    assert faulty["text"].startswith("goal=2: raised in step 3 of episode 0, copy 0, seed ")
    for step, point in enumerate(result["return_by_step"]):
        mean = sum(task["return_by_step"][step] for task in result["tasks"]) / 7
        assert point["mean"] == pytest.approx(mean, rel=1e-6)
    assert main(["test", str(run), "--tasks", "8", "--episodes", "2"]) == 0
    assert "not measured: goal=2: raised in step 3" in capsys.readouterr().out
    assert "not measured" in write_report(run).read_text()


TINY = ["--meta-iters", "3", "--tasks", "8", "--episodes", "2", "--validation-tasks", "2", "--policy.hidden", "4"]


def test_all_tasks_bad_is_exit_code_3_and_one_line(zoo, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "fault_zoo:all_raise", "maml", *TINY, "--out", str(run)]) == 3
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("drml: error")]
    assert line.startswith("drml: error: 100% of the latest tasks could not be used, the last: task goal=")
    assert f"drml train --resume {run} --max-faulty-share 1" in line
    assert said.err.count("\n") == 1
    assert checkpoint.newest(run / "checkpoints") is not None
    assert main(["test", str(run), "--tasks", "8", "--episodes", "2"]) == 3
    assert "none of the 8 tasks could be measured" in capsys.readouterr().err
    # the way out that the line names
    words = ["train", "--resume", str(run), "--max-faulty-share", "1", "--meta-iters", "2"]
    assert main(words) == 0


def test_the_flags_of_isolation(zoo, tmp_path, capsys):
    run = tmp_path / "run"
    flags = ["--isolate", "--timeout", "1.5", "--memory-gb", "0.5"]
    assert main(["train", "fault_zoo:loop_step", "maml", *TINY, *flags, "--out", str(run)]) == 0
    out = capsys.readouterr().out
    assert "goal=2" in out and "quarantined" in out
    assert main(["train", "fault_zoo:fine", "maml", *TINY, "--isolate", "--timeout", "0"]) == 2
    assert "timeout is 0.0, must be above 0" in capsys.readouterr().err
    assert main(["test", str(run), "--tasks", "8", "--episodes", "1", *flags]) == 0
    assert "not measured: goal=2: hung in step 3" in capsys.readouterr().out
    assert zoo.left() == []
