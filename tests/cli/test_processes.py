"""The installed command as a process of its own: signals, broken pipes, exit codes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drml.cli.main import main
from drml.cli.stop import EXIT_CODES
from drml.core.signals import STOP_SIGNALS

from .conftest import DRML

TINY = [
    "--tasks",
    "2",
    "--episodes",
    "2",
    "--validation-tasks",
    "2",
    "--validate-every",
    "1000",
    "--policy.hidden",
    "4",
]
FAST = (signal.SIGINT, signal.SIGUSR1)
CLOCKS = ("seconds",)  # what two identical runs differ in


def rows(run: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in CLOCKS} for line in lines]


def state(run: Path, meta_iter: int) -> bytes:
    return (run / "checkpoints" / f"{meta_iter:06d}" / "state.safetensors").read_bytes()


@pytest.mark.parametrize(
    "number", [number if number in FAST else pytest.param(number, marks=pytest.mark.slow) for number in STOP_SIGNALS]
)
def test_a_signal_saves_and_the_run_goes_on_with_the_same_bits(number: signal.Signals, tmp_path: Path):
    code = EXIT_CODES[number]
    run, whole = tmp_path / "run", tmp_path / "whole"
    train = ["train", "navigation-pearl-sparse-v1", "promp", *TINY]
    endless = [*DRML, *train, "--meta-iters", "100000", "--out", str(run)]
    with subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120.0
        while not (run / "metrics.jsonl").exists() or len(rows(run)) < 2:
            assert time.monotonic() < deadline and process.poll() is None, "no meta-iteration within two minutes"
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert f"drml train --resume {run}" in out
    reached = len(rows(run))
    assert state(run, reached)

    assert main(["train", "--resume", str(run), "--meta-iters", str(reached + 2)]) == 0
    assert main([*train, "--meta-iters", str(reached + 2), "--out", str(whole)]) == 0
    assert state(run, reached + 2) == state(whole, reached + 2)
    assert rows(run) == rows(whole)


def test_refusal_of_the_installed_command(tmp_path: Path):
    drml = shutil.which("drml", path=str(Path(sys.executable).parent))
    assert drml, "the package is installed without its command"
    answer = subprocess.run([drml, "tset", "run"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "drml: error: unknown command 'tset'. Did you mean 'test'?\n"


@pytest.mark.parametrize(("columns", "encoding"), [("30", "utf-8"), ("80", "ascii")])
def test_refusals_do_not_depend_on_the_terminal(columns: str, encoding: str, tmp_path: Path):
    terminal = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": columns}
    flag = "--learner.trust-region.backtrack-ratio"
    words = [*DRML, "train", "navigation-maml-v1", "maml", flag, "a-long-word-that-is-no-number"]
    answer = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=terminal, check=False)
    said = f"{flag} expects a number, got 'a-long-word-that-is-no-number'"
    assert answer.returncode == 2
    assert answer.stderr == f"drml: error: drml train navigation-maml-v1 maml: {said}\n"


def test_a_reader_that_leaves_is_no_failure():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        answer = subprocess.run([*DRML, "list"], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
