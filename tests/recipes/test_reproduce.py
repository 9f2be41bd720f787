"""Reproducing a tiny recipe: what is trained, what is not trained again, and when a number counts as reached."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from drml.cli.main import main
from drml.core.errors import CheckpointError, InputError
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.recipes import catalog, reproduce
from drml.recipes.catalog import RECIPES
from drml.run import session
from drml.run.log import read_rows

TINY = replace(
    RECIPES["navigation-maml"],
    config=replace(
        RECIPES["navigation-maml"].config, train=TrainConfig(meta_iters=1, num_tasks=2, copies=2, validation_tasks=2)
    ),
    test_tasks=3,
    test_copies=2,
)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(catalog.RECIPES, "tiny", TINY)


def test_each_seed_is_a_run_and_is_trained_once(tiny, tmp_path):
    told = []
    first = reproduce.reproduce("tiny", 2, tmp_path, EnvOptions(), told.append)
    assert first["seeds"] == [1, 2] and len(told) == 2
    rows = read_rows(tmp_path / "tiny-seed1")
    assert reproduce.reproduce("tiny", 2, tmp_path, EnvOptions())["return_by_step"] == first["return_by_step"]
    assert read_rows(tmp_path / "tiny-seed1") == rows
    tests = [json.loads((tmp_path / f"tiny-seed{seed}" / "test.json").read_text()) for seed in (1, 2)]
    means = [np.mean([task["return_by_step"][1] for task in test["tasks"]]) for test in tests]
    point = first["return_by_step"][1]
    assert point["mean_by_seed"] == pytest.approx(means)
    assert point["mean"] == pytest.approx(sum(means) / 2)
    # Of two numbers the standard error of the mean is |a - b| / 2; Student's t with one degree of freedom is 12.7062.
    assert point["mean_half_width_95"] == pytest.approx(12.7062 * abs(means[0] - means[1]) / 2, rel=1e-5)
    assert (point["over"], point["count"]) == ("seeds", 2)
    gains = [np.subtract(*[np.mean([t["return_by_step"][s] for t in x["tasks"]]) for s in (-1, 0)]) for x in tests]
    assert first["gain"]["mean_by_seed"] == pytest.approx(gains, rel=1e-5)


def test_seeds_are_added_to_a_result_without_training_its_own(tiny, tmp_path):
    told = []
    whole = reproduce.reproduce("tiny", 3, tmp_path / "whole", EnvOptions())
    first = reproduce.reproduce("tiny", 2, tmp_path / "first", EnvOptions())
    joined = reproduce.reproduce("tiny", 3, tmp_path / "later", EnvOptions(), told.append, base=first)
    assert [path.name for path in (tmp_path / "later").iterdir()] == ["tiny-seed3"] and len(told) == 1
    assert joined | {"seconds": []} == whole | {"seconds": []}
    again = reproduce.reproduce("tiny", 2, tmp_path / "never", EnvOptions(), base=joined)
    assert again == joined and not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "rl2-tmaze"}, "seeds of tiny cannot be added to a result of rl2-tmaze"),
        ({"config": {"learner": "rl2"}}, "other settings than the recipe's: config.learner was 'rl2' and is 'maml'"),
        ({"config": {"speed": 1}}, "other settings than the recipe's: config.speed is no setting now"),
        ({"return_by_step": [{}]}, "tiny is tested with 3 adaptation steps, the given result with others"),
    ],
)
def test_seeds_are_not_added_to_another_result(tiny, tmp_path, change, message):
    base = {"recipe": "tiny", "config": {}, "return_by_step": [{}] * 4, "seeds": []} | change
    with pytest.raises(InputError, match=message):
        reproduce.reproduce("tiny", 1, tmp_path / "runs", EnvOptions(), base=base)
    assert not (tmp_path / "runs").exists()


def test_seeds_side_by_side_reach_the_same_numbers(tiny, tmp_path):
    results = [reproduce.reproduce("tiny", 2, tmp_path / str(jobs), EnvOptions(), jobs=jobs) for jobs in (1, 2)]
    assert results[0]["return_by_step"] == results[1]["return_by_step"]


def test_a_run_with_other_settings_is_refused_and_kept(tiny, tmp_path, monkeypatch):
    reproduce.reproduce("tiny", 1, tmp_path, EnvOptions())
    policy = replace(TINY.config.policy, hidden=(3,))
    train = replace(TINY.config.train, num_tasks=3)
    for words, change in (("other settings", {"policy": policy}), ("num_tasks cannot change", {"train": train})):
        monkeypatch.setitem(catalog.RECIPES, "tiny", replace(TINY, config=replace(TINY.config, **change)))
        with pytest.raises(InputError, match=words):
            reproduce.reproduce("tiny", 1, tmp_path, EnvOptions())
    assert (tmp_path / "tiny-seed1" / "test.json").exists()


def test_a_recipe_whose_budget_has_grown_goes_on(tiny, tmp_path, monkeypatch):
    reproduce.reproduce("tiny", 1, tmp_path, EnvOptions())
    longer = replace(TINY, config=replace(TINY.config, train=replace(TINY.config.train, meta_iters=2)))
    monkeypatch.setitem(catalog.RECIPES, "tiny", longer)
    reproduce.reproduce("tiny", 1, tmp_path, EnvOptions())
    assert [row["meta_iter"] for row in read_rows(tmp_path / "tiny-seed1") if row["kind"] == "train"] == [1, 2]


def test_a_learning_curve_means_stretches_of_training(monkeypatch):
    monkeypatch.setattr(reproduce, "CURVE_POINTS", 2)
    rows = [{"kind": "train", "env_steps": 10 * i, "pre_return": i, "post_return": 2 * i} for i in (1, 2, 3)]
    curve = reproduce.learning_curve([*rows, {"kind": "validation"}])
    assert curve == {"env_steps": [20, 30], "pre_return": [1.5, 3.0], "post_return": [3.0, 6.0]}
    assert reproduce.learning_curve(rows[:1]) == {"env_steps": [10], "pre_return": [1.0], "post_return": [2.0]}


def test_a_learning_curve_leaves_out_what_could_not_be_measured(monkeypatch):
    monkeypatch.setattr(reproduce, "CURVE_POINTS", 2)
    rows = [
        {"kind": "train", "env_steps": n, "pre_return": pre, "post_return": post}
        for n, pre, post in ((1, 4.0, None), (2, None, None), (3, 6.0, 1.0), (4, 8.0, 2.0))
    ]
    curve = reproduce.learning_curve(rows)
    assert (curve["env_steps"], curve["pre_return"]) == ([2, 4], [4.0, 7.0])
    assert np.isnan(curve["post_return"][0]) and curve["post_return"][1] == 1.5
    for wrong in ({"pre_return": "high"}, {"env_steps": -3}, {"post_return": [1.0]}):
        with pytest.raises(CheckpointError, match=next(iter(wrong))):
            reproduce.learning_curve([{**rows[0], **wrong}])


def test_a_stop_is_saved_and_the_same_command_goes_on(tiny, tmp_path, monkeypatch):
    config = replace(TINY.config, train=replace(TINY.config.train, meta_iters=2))
    monkeypatch.setitem(catalog.RECIPES, "tiny", replace(TINY, config=config))
    whole = reproduce.reproduce("tiny", 1, tmp_path / "whole", EnvOptions())
    asked = []

    def later():
        asked.append(1)
        return len(asked) > 250  # in the second of two meta-iterations of 2 x 100 steps

    with pytest.raises(reproduce.Stopped):
        reproduce.reproduce("tiny", 1, tmp_path / "parts", EnvOptions(), stop_requested=later)
    run = tmp_path / "parts" / "tiny-seed1"
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["000001"]
    assert not (run / "test.json").exists()
    parts = reproduce.reproduce("tiny", 1, tmp_path / "parts", EnvOptions())
    assert [parts[key] for key in ("return_by_step", "curve_by_seed")] == [
        whole[key] for key in ("return_by_step", "curve_by_seed")
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_stops_and_saves(number, code, tiny, tmp_path, monkeypatch, capsys):
    """The first signal comes in the training, in this very process; what was made of it is a run to go on with."""
    before = session.start

    def signalled(*args, **options):
        os.kill(os.getpid(), number)
        return before(*args, **options)

    monkeypatch.setattr(session, "start", signalled)
    assert main(["reproduce", "tiny", "--seeds", "2", "--runs", str(tmp_path)]) == code
    assert "stopped and saved; go on with the same command" in capsys.readouterr().out
    assert (tmp_path / "tiny-seed1" / "checkpoints" / "000000").is_dir()
    assert not (tmp_path / "tiny-seed2").exists()


def test_the_budget_counts_the_steps_of_every_phase():
    assert reproduce.budget(TINY) == 1 * 2 * 2 * 2 * 100


def test_the_command_prints_a_table_and_writes_the_result(tiny, tmp_path, capsys):
    out = tmp_path / "result.json"
    assert main(["reproduce", "tiny", "--seeds", "1", "--runs", str(tmp_path / "runs"), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "-11.68" in printed and "published" in printed
    assert "over 3 tasks, one seed: other seeds are not in them" in printed
    assert json.loads(out.read_text())["recipe"] == "tiny"


def test_the_command_adds_seeds_to_a_file_and_judges_it_again(tiny, tmp_path, capsys):
    out, words = tmp_path / "result.json", ["reproduce", "tiny", "--runs", str(tmp_path / "runs")]
    assert main([*words, "--seeds", "1", "--add-to", str(out)]) == 0
    first = json.loads(out.read_text())
    assert main([*words, "--seeds", "2", "--add-to", str(out)]) == 0
    assert "over 2 seeds" in capsys.readouterr().out
    both = json.loads(out.read_text())
    assert (first["seeds"], both["seeds"]) == ([1], [1, 2])
    assert both["return_by_step"][1]["mean_by_seed"][0] == first["return_by_step"][1]["mean"]
    wrong = {**both, "return_by_step": [{**point, "mean": 0.0, "reached": None} for point in both["return_by_step"]]}
    out.write_text(json.dumps(wrong))
    assert main(["reproduce", "--judge", str(out)]) == 0
    assert json.loads(out.read_text()) == both
    assert "tiny, 2 seeds" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"recipe": 1}', '{"recipe": "tiny"}', '{"recipe": "other"}'])
@pytest.mark.parametrize("words", [["--judge"], ["tiny", "--add-to"]])
def test_what_is_no_result_is_one_line_and_kept(tiny, tmp_path, capsys, words, content):
    path = tmp_path / "result.json"
    path.write_text(content)
    assert main(["reproduce", *words, str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and ("result.json is no result of" in error or "unknown recipe" in error)
    assert path.read_text() == content


def test_the_list_names_every_recipe_with_its_budget(tmp_path, capsys):
    assert main(["reproduce", "--list", "--json", str(tmp_path / "list.json")]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in RECIPES) and "16,000,000" in printed


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["navigation-mml"], ["unknown recipe", "navigation-maml"]),
        (["navigation-maml", "--seeds", "0"], ["seeds is 0"]),
        ([], ["drml reproduce"]),
    ],
)
def test_bad_input_is_one_line(words, parts, capsys):
    assert main(["reproduce", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(part in error for part in parts)
