import json
import math

import pytest

from drml.core.errors import InputError
from drml.report.record import read_run


def over(what):
    beside = {"split": "test", "held_out": True, "trained_adapt_steps": 1, "tasks": []}
    return json.dumps({**beside, "return_by_step": [{"step": 0, "over": what, "count": 2}]})


def test_a_full_run_is_read_as_it_was_written(full_run, run_files):
    _, config, test, rows = run_files
    run = read_run(full_run)
    assert (run.suite, run.learner, run.seed) == (config["suite"], config["learner"], config["seed"])
    assert [p.post_return for p in run.train] == [row["post_return"] for row in rows if row["kind"] == "train"]
    assert [(p.meta_iter, p.is_best) for p in run.validation] == [(10, True), (20, True), (30, False)]
    assert [step.mean for step in run.evaluation.return_by_step] == [row["mean"] for row in test["return_by_step"]]
    assert [(film.step, film.episode_return) for film in run.films.films] == [(1, 154.5), (0, -3.5)]


def test_only_the_configuration_must_exist(tmp_path, run_files):
    write_run, *_ = run_files
    run = read_run(write_run(tmp_path / "run", test=None, films=False))
    assert (run.train, run.validation, run.evaluation, run.films.films) == ((), (), None, ())


def test_null_is_not_a_number(tmp_path, run_files):
    write_run, _, _, rows = run_files
    run = read_run(write_run(tmp_path / "run", rows=[{**rows[0], "pre_return": None}], films=False))
    assert math.isnan(run.train[0].pre_return)


def test_a_last_row_that_a_crash_cut_short_is_left_out(tmp_path, run_files):
    write_run, _, _, rows = run_files
    run_dir = write_run(tmp_path / "run", rows=rows[:3], films=False)
    with (run_dir / "metrics.jsonl").open("a") as log:
        log.write('{"kind": "train", "meta_')
    assert len(read_run(run_dir).train) == 3


def test_what_is_not_a_run_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a directory"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"not a run directory: it has no config\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "config.json cannot be read"),
        ("config.json", "[]", "config.json: should be an object"),
        ("config.json", '{"suite": 1}', "'suite' should be a text, found 1"),
        ("config.json", '{"suite": "a", "learner": "b", "seed": "c"}', "'seed' should be a whole number"),
        ("config.json", "[" * 100_000, "config.json cannot be read"),
        ("test.json", '{"held_out": true', "test.json cannot be read"),
        ("test.json", "{}", "'return_by_step' should be a list, found None"),
        ("test.json", '{"return_by_step": []}', "at least one step"),
        ("test.json", '{"return_by_step": [{"step": 0, "iqm": true}]}', "'iqm' should be a number, found True"),
        ("test.json", '{"return_by_step": [{"step": 0, "iqm": 1e400}]}', "'iqm' should be a number, found inf"),
        (
            "test.json",
            '{"return_by_step": [{"step": 0}], "split": "test", "held_out": true, "trained_adapt_steps": -1}',
            "should be 0 or more, found -1",
        ),
        ("test.json", '{"return_by_step": [{"step": -1}]}', "'step' should be 0 or more, found -1"),
        ("test.json", '{"return_by_step": [], "return_by_step": []}', "a key occurs twice"),
        ("test.json", '{"return_by_step": NaN}', "NaN is not JSON"),
        ("test.json", "[" * 200 + "]" * 200, "nested too deeply"),
        ("metrics.jsonl", '{"kind": "train", "meta_iter": -5}\n', "'meta_iter' should be 0 or more, found -5"),
        (
            "metrics.jsonl",
            '{"kind": "train", "meta_iter": 1, "env_steps": -1}\n',
            "should be a number of 0",
        ),
        (
            "config.json",
            '{"suite": "a", "learner": "b", "seed": 1, "tasks": []}',
            "should be an object, found []",
        ),
        ("test.json", over(1), "'over' should be a text, found 1"),
        ("test.json", over("seeds"), "'over' should be 'tasks' or 'episodes', found 'seeds'"),
        ("metrics.jsonl", "nonsense\n", "line 1: not a row of a log"),
        ("metrics.jsonl", '{"kind": "train", "meta_iter": 1, "env_steps": "x"}\n', "'env_steps' should be a number"),
        (
            "metrics.jsonl",
            '{"kind": "validation", "meta_iter": 1, "return_by_step": []}\n',
            "'return_by_step' should be a list with at least one number",
        ),
        ("films.json", '{"something": "else"}', "'unavailable' should be a text"),
        ("films.json", '[{"task": "a", "step": 0, "file": "../../secret"}]', "a path inside the run directory"),
        ("films.json", '[{"task": "a", "step": 0, "file": "/etc/passwd"}]', "a path inside the run directory"),
        ("films.json", '"films"', "'films' should be a list"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path, run_files, name, content, message):
    write_run, *_ = run_files
    run_dir = write_run(tmp_path / "run", films=False)
    (run_dir / name).write_text(content)
    with pytest.raises(InputError) as failure:
        read_run(run_dir)
    assert message in str(failure.value) and name in str(failure.value)
    assert "\n" not in str(failure.value)


def test_tasks_must_have_a_return_for_every_step(tmp_path, run_files):
    write_run, _, test, _ = run_files
    short = json.loads(json.dumps(test))
    short["tasks"][1]["return_by_step"].pop()
    with pytest.raises(InputError, match="'return_by_step' should be a list of 3 numbers"):
        read_run(write_run(tmp_path / "run", test=short, films=False))


def test_a_file_that_is_not_text_is_one_clear_line(tmp_path, run_files):
    write_run, *_ = run_files
    run_dir = write_run(tmp_path / "run", films=False)
    (run_dir / "test.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"test\.json cannot be read"):
        read_run(run_dir)
