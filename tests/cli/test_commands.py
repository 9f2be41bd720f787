import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from drml.algos.registry import LEARNERS
from drml.cli.demo_command import set_aside
from drml.cli.main import COMMANDS, EXIT_CODES, main
from drml.cli.progress import ProgressLine
from drml.core.errors import DrmlError, InputError
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress
from drml.run.measure import load
from drml.run.rundir import lock
from drml.suites.registry import SUITES

from .conftest import SUITE, TINY, Answer

Drml = Callable[..., Answer]


def test_help_names_every_command_and_exit_code(drml: Drml):
    answer = drml("--help")
    assert answer.code == 0
    assert all(f"\n  {name} " in answer.out for name in COMMANDS)
    assert all(f"\n  {code} " in answer.out for code in EXIT_CODES)
    assert {kind.exit_code for kind in DrmlError.__subclasses__()} < set(EXIT_CODES)


@pytest.mark.parametrize("words", [[name] for name in COMMANDS] + [["train", SUITE, "promp"]], ids=" ".join)
def test_every_command_has_help(words: list[str], drml: Drml):
    answer = drml(*words, "--help")
    assert answer.code == 0 and "usage: drml" in answer.out and not answer.err


def test_list(drml: Drml, tmp_path: Path):
    answer = drml("list", "--json", tmp_path / "list.json")
    assert answer.code == 0
    assert all(name in answer.out for name in [*SUITES, *LEARNERS])
    listing = json.loads((tmp_path / "list.json").read_text())
    assert [suite["name"] for suite in listing["suites"]] == list(SUITES)
    assert listing["learners"][1]["defaults"]["order"] == 1  # fomaml


def test_train_writes_the_result(drml: Drml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    answer = drml("train", SUITE, "promp", *TINY, "--learner.inner.lr", "0.05", "--json", "result.json")
    assert answer.code == 0, answer.err
    result = json.loads(Path("result.json").read_text())
    assert result["run"] == f"runs/{SUITE}-promp-s0" and result["run"] in answer.out
    assert result["env_steps"] == 2 * 2 * 2 * 100  # phases x tasks x episodes x steps
    assert result["stop_reason"] == "budget" and result["meta_iters"] == 1
    config = json.loads(Path(result["run"], "config.json").read_text())
    assert config["learner_config"]["inner"]["lr"] == 0.05 and config["train"]["copies"] == 2


def test_a_memory_takes_the_head_that_the_flags_ask_for(drml: Drml, tmp_path: Path):
    sizes = ["--meta-iters", "1", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--policy.size", "4"]
    head = ["--policy.head", "hypernetwork", "--policy.head-hidden", "3"]
    answer = drml("train", SUITE, "rl2", *sizes, *head, "--out", tmp_path / "run")
    assert answer.code == 0, answer.err
    trained = load(tmp_path / "run")
    assert trained.best["generator.hidden.weight"].shape == (4, 2 * 3)  # memory x (observation x width)


def test_runs_without_out_do_not_collide(drml: Drml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert drml("train", SUITE, "maml", *TINY).code == drml("train", SUITE, "maml", *TINY).code == 0
    assert sorted(os.listdir("runs")) == [f"{SUITE}-maml-s0", f"{SUITE}-maml-s0-2"]


def test_resume_extends_the_budget(run: Path, drml: Drml):
    answer = drml("train", "--resume", "run", "--meta-iters", "3")
    assert answer.code == 0 and "3 meta-iterations" in answer.out
    assert json.loads((run / "config.json").read_text())["train"]["meta_iters"] == 3


def test_resume_of_a_finished_run_has_nothing_to_do(run: Path, drml: Drml):
    before = (run / "metrics.jsonl").read_bytes()
    answer = drml("train", SUITE, "maml", "--resume", "run")
    assert answer.code == 0 and "after 1 meta-iterations" in answer.out
    assert (run / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["-weird", "a run of ours", "it's", "two\nlines", "--out"])
def test_the_next_command_can_be_pasted(name: str, run: Path, drml: Drml):
    run.rename(run.with_name(name))
    answer = drml("train", f"--resume={name}")
    assert answer.code == 0, answer.err
    print_words = f"drml() {{ printf '%s\\0' \"$@\"; }}; {answer.out.splitlines()[-1]}"
    words = subprocess.run(["bash", "-c", print_words], capture_output=True, check=True, text=True).stdout.split("\0")
    assert [words[0], words[2], *words[4:]] == ["test", "report", ""]
    assert words[1] == words[3] and os.path.samefile(words[1], name)
    assert drml(*words[:2], "--tasks", "1", "--episodes", "1").code == drml(*words[2:4]).code == 0


def test_a_name_like_a_flag_is_met_with_the_way_to_write_it(run: Path, drml: Drml):
    run.rename("-weird")
    for words in (["test", "-weird"], ["report", "-weird"], ["test", "x", "-weird"], ["train", "--resume", "-weird"]):
        answer = drml(*words)
        assert answer.code == 2 and answer.err.count("\n") == 1 and " ./-weird\n" in answer.err, answer.err


def test_of_two_resumes_the_last_counts(run: Path, drml: Drml):
    assert "drml test run " in drml("train", "--resume", "nowhere", "--resume", "run").out


def test_one_task_and_one_episode_have_no_spread(run: Path, drml: Drml):
    answer = drml("test", "run", "--tasks", "1", "--episodes", "1", "--adapt-steps", "1")
    assert answer.code == 0 and not answer.err
    assert json.loads((run / "test.json").read_text())["tasks"][0]["std_by_step"] == [None, None]
    assert drml("report", "run").code == 0


def test_a_training_goes_on_when_its_reader_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["train", SUITE, "maml", *TINY, "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run/checkpoints/000001").is_dir()


def test_what_a_terminal_cannot_show_becomes_a_question_mark(monkeypatch: pytest.MonkeyPatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="latin-1"))
    assert main(["list"]) == 0
    assert b"?" in shown.getvalue()  # the minus sign of a summary


def test_test_and_report(run: Path, drml: Drml):
    answer = drml("test", "run", "--adapt-steps", "2", "--tasks", "3", "--episodes", "2", "--json", "curve.json")
    assert answer.code == 0, answer.err
    curve = json.loads(Path("curve.json").read_text())
    assert curve == json.loads((run / "test.json").read_text())
    assert [point["step"] for point in curve["return_by_step"]] == [0, 1, 2] and len(curve["tasks"]) == 3
    assert f"{curve['return_by_step'][2]['mean']:.1f}" in answer.out
    report = drml("report", "run")
    assert report.code == 0 and Path(report.out.strip()).read_text().startswith("<!")


@pytest.mark.slow
def test_demo_twice(drml: Drml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    small = ["demo", "--meta-iters", "1", "--tasks", "2", "--episodes", "2"]
    assert drml(*small).code == 0
    summary = json.loads(Path("runs/demo/summary.json").read_text())
    assert summary["env_steps"] == 2 * 2 * 2 * 100
    by_task = summary["post_return_by_task"]
    assert set(by_task) == {"direction=-1", "direction=1"}
    assert summary["post_return"] == pytest.approx(sum(by_task.values()) / 2, rel=1e-6)  # float32 means
    assert drml(*small, "--seed", "2").code == 0
    assert json.loads(Path("runs/demo/summary.json").read_text())["seed"] == 2
    assert json.loads(Path("runs/demo-1/summary.json").read_text()) == summary


def test_older_demos_are_set_aside_in_order(tmp_path: Path):
    for number in (1, 2):
        (tmp_path / "demo").mkdir()
        assert set_aside(tmp_path / "demo") == tmp_path / f"demo-{number}"


def test_demo_in_use_is_not_set_aside(tmp_path: Path):
    (tmp_path / "demo").mkdir()
    with lock(tmp_path / "demo"), pytest.raises(InputError, match="in use"):
        set_aside(tmp_path / "demo")
    assert os.listdir(tmp_path) == ["demo"]


def progress(meta_iter: int) -> Progress:
    return Progress({}, {}, {}, meta_iter=meta_iter, env_steps=1000 * meta_iter, seconds=2.0 * meta_iter)  # pyright: ignore[reportArgumentType] — counters only


def test_progress_off_a_terminal_is_a_few_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    seconds = 0.0
    monkeypatch.setattr("drml.cli.progress.time.monotonic", lambda: seconds)
    row = {"kind": "train", "pre_return": -1.0, "post_return": 42.0}
    with ProgressLine(TrainConfig(meta_iters=30), Console(width=200)) as line:
        for meta_iter in range(1, 31):
            seconds = 1.0 * meta_iter  # one meta-iteration of 1000 env steps per second
            line(progress(meta_iter), [row])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # at 10, 20 and 30 s
    assert lines[1] == "meta-iteration 20/30  return -1.0 → 42.0 after adaptation  1,000 env steps/s  0:10 left"
    assert line.last_row == row


def test_progress_on_a_terminal_is_live():
    console = Console(force_terminal=True, width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file, ProgressLine(TrainConfig(meta_iters=2), console) as line:
        line(progress(1), [{"kind": "train", "pre_return": -1.0, "post_return": 42.0}])
    assert "return -1.0 → 42.0 after adaptation" in console.export_text()


def test_torch_is_not_imported_to_refuse_a_command():
    import subprocess

    source = "import sys; from drml.cli.main import main; main(['lst']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("code", "exit_code", "err"), [(None, 0, ""), (7, 7, ""), ("gone", 1, "drml: error: gone\n")])
def test_code_of_others_that_leaves_with_a_text_is_no_success(code, exit_code, err, monkeypatch, capsys):
    monkeypatch.setattr("drml.cli.main._find_command", lambda _: lambda _: sys.exit(code))
    assert main(["list"]) == exit_code
    assert capsys.readouterr().err == err
