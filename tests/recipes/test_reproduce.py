"""Reproducing a tiny recipe: what is trained, what is not trained again, and when a number counts as reached."""

import json
from dataclasses import replace

import numpy as np
import pytest

from drml.cli.main import main
from drml.core.errors import InputError
from drml.envs.api import EnvOptions
from drml.recipes import catalog, reproduce
from drml.recipes.catalog import RECIPES
from drml.runlog import read_rows
from drml.train import TrainConfig

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
    # of two numbers the standard deviation is |a - b| / √2, and that of their mean |a - b| / 2
    assert point["mean_half_width_95"] == pytest.approx(1.96 * abs(means[0] - means[1]) / 2)


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


def result(by_seed):
    return [
        {"seed": i, "tasks": [{"return_by_step": [value]}], "env_steps": 1, "seconds": 1.0, "curve": {}}
        for i, value in enumerate(by_seed)
    ]


@pytest.mark.parametrize(
    ("by_seed", "published", "reached"),
    [
        ((1.0, 3.0), 3.9, True),  # 2 ± 1.96
        ((1.0, 3.0), 4.0, False),
        ((5.0,), 4.0, True),
        ((3.9,), 4.0, False),  # one seed has no interval
    ],
)
def test_a_number_is_reached_where_the_interval_over_seeds_is_not_below_it(by_seed, published, reached):
    recipe = replace(TINY, published=(published,))
    (point,) = reproduce.summary("tiny", recipe, result(by_seed))["return_by_step"]
    assert point["reached"] is reached


@pytest.mark.parametrize(
    ("at_least", "reached"),
    [(0.0, True), (0.1, False)],  # 2 ± 1.96: the lower end counts
)
def test_a_share_of_an_optimum_is_reached_where_the_interval_lies_above_it(at_least, reached):
    recipe = replace(TINY, published=(1.0,), at_least=(at_least,))
    (point,) = reproduce.summary("tiny", recipe, result((1.0, 3.0)))["return_by_step"]
    assert point["reached"] is reached


def test_the_return_of_a_trial_is_the_sum_over_its_episodes():
    tests = [
        {
            "seed": i,
            "tasks": [{"return_by_step": [i, 10.0]}, {"return_by_step": [i, 30.0]}],
            "env_steps": 1,
            "seconds": 1.0,
            "curve": {},
        }
        for i in (1, 3)
    ]
    recipe = replace(TINY, at_least_trial=22.0)
    trial = reproduce.summary("tiny", recipe, tests)["trial_return"]
    assert trial["mean_by_seed"] == [21.0, 23.0] and trial["mean"] == 22.0
    assert trial["reached"] is False  # 22 - 1.96
    assert reproduce.summary("tiny", TINY, tests)["trial_return"] is None


def test_a_point_says_what_came_before_it_where_the_tests_do():
    taken = {"episodes_by_step": [0.0, 4.0], "env_steps_by_step": [0.0, 12.0]}
    tests = [
        {
            "seed": i,
            "tasks": [{"return_by_step": [1.0, 2.0], **taken}, {"return_by_step": [1.0, 2.0], **other}],
            "env_steps": 1,
            "seconds": 1.0,
            "curve": {},
        }
        for i, other in enumerate((taken, {**taken, "env_steps_by_step": [0.0, 20.0]}))
    ]
    points = reproduce.summary("tiny", TINY, tests)["return_by_step"]
    assert [(point["episodes"], point["env_steps"]) for point in points] == [(0.0, 0.0), (4.0, 14.0)]  # by hand
    older = reproduce.summary("tiny", TINY, result((1.0, 2.0)))["return_by_step"]
    assert "env_steps" not in older[0]


def test_nothing_published_is_nothing_reached():
    (point,) = reproduce.summary("tiny", replace(TINY, published=()), result((1.0, 2.0)))["return_by_step"]
    assert point["published"] is None and point["reached"] is None


def test_the_budget_counts_the_steps_of_every_phase():
    assert reproduce.budget(TINY) == 1 * 2 * 2 * 2 * 100


def test_the_command_prints_a_table_and_writes_the_result(tiny, tmp_path, capsys):
    out = tmp_path / "result.json"
    assert main(["reproduce", "tiny", "--seeds", "1", "--runs", str(tmp_path / "runs"), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "-11.68" in printed and "published" in printed
    assert json.loads(out.read_text())["recipe"] == "tiny"


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
