"""Signals: which are requests, which end the process, and that both hold from the first moment to the last."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drml.cli import stop
from drml.cli.main import COMMANDS
from drml.cli.stop import EXIT_CODES, NOTICE, StopSignals
from drml.core.signals import STOP_SIGNALS

from .conftest import DRML

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
USR1, USR2, XCPU = signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU
TINY = ["--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--policy.hidden", "4"]


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals at which the process would have ended at once."""
    numbers: list[int] = []
    monkeypatch.setattr(stop, "leave", numbers.append)
    return numbers


def test_what_schedulers_send_is_a_request():
    assert set(STOP_SIGNALS) == {INT, TERM, HUP, USR1, USR2, XCPU}
    assert {number for number, code in EXIT_CODES.items() if code == 75} == {TERM, HUP, USR1, USR2, XCPU}
    assert EXIT_CODES[INT] == 130


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_the_first_signal_asks(number: signal.Signals, left: list[int], capfd: pytest.CaptureFixture[str]):
    before = {each: signal.getsignal(each) for each in STOP_SIGNALS}
    with StopSignals() as asked:
        assert not asked()
        signal.raise_signal(number)
        assert asked() and asked.exit_code == EXIT_CODES[number]
    assert not left and capfd.readouterr().err == NOTICE.decode()
    assert {each: signal.getsignal(each) for each in STOP_SIGNALS} == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(
    ("numbers", "seconds", "leaves_at"),
    [
        *(([number, number], 1.0, 1) for number in STOP_SIGNALS if number != XCPU),
        ([TERM, INT], 1.0, 1),
        ([INT, TERM], 1.0, 1),
        ([TERM, TERM], 0.0, None),  # `timeout` tells the process and then its group
        ([TERM, TERM, TERM], 0.06, 2),
        ([TERM, INT], 0.0, 1),  # nobody sends two kinds in one breath
        ([USR1, TERM], 1.0, None),  # a scheduler's announcement, and its request
        ([USR1, USR2, TERM, TERM], 1.0, 3),
        ([XCPU] * 5, 1.0, None),  # the kernel sends it every second from the limit on
        ([XCPU, TERM], 1.0, None),
        ([TERM, XCPU], 1.0, None),
    ],
)
def test_which_signal_counts_as_the_second(numbers, seconds, leaves_at, left, monkeypatch):
    clock = 100.0
    monkeypatch.setattr(stop.time, "monotonic", lambda: clock)
    with StopSignals() as asked:
        for i, number in enumerate(numbers):
            signal.raise_signal(number)
            assert asked()
            assert left == ([] if leaves_at is None or i < leaves_at else [numbers[leaves_at]])
            if left:
                break
            clock += seconds
    assert asked.exit_code == EXIT_CODES[numbers[0]]


def test_where_there_is_nothing_to_save_the_first_one_ends_the_process(left: list[int]):
    with StopSignals(is_patient=False):
        with StopSignals() as inner:
            signal.raise_signal(TERM)
            assert inner() and not left
        signal.raise_signal(HUP)
        assert left == [HUP]


def test_a_thread_heeds_what_comes_while_the_main_thread_is_in_foreign_code(left: list[int]):
    """No handler is called within a call that does not return; the number of the signal is in the pipe by then."""
    with StopSignals(is_patient=False) as watch:
        handle = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(handle)
        os.write(handle, bytes([TERM]))
        deadline = time.monotonic() + 30.0
        while not left and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left == [TERM] and watch.exit_code == EXIT_CODES[TERM]


def test_nohup_is_heeded(left: list[int]):
    previous = signal.signal(HUP, signal.SIG_IGN)
    try:
        with StopSignals() as asked:
            signal.raise_signal(HUP)
            assert not asked() and signal.getsignal(HUP) is signal.SIG_IGN
    finally:
        signal.signal(HUP, previous)


def test_a_notice_that_nobody_reads_does_not_stop_the_stopping(monkeypatch: pytest.MonkeyPatch):
    def refuse(handle: int, data: bytes) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    with StopSignals() as asked:
        monkeypatch.setattr("drml.cli.stop.os.write", refuse)
        signal.raise_signal(INT)
        assert asked()


FORKS = """
import os, signal, sys, time
from drml.cli.stop import StopSignals
with StopSignals() as asked:
    child = os.fork()
    if not child:
        for number in (signal.SIGINT, signal.SIGUSR1):
            signal.raise_signal(number)
        print("still here", flush=True)
        time.sleep(60)
    time.sleep(0.3)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), asked())
"""


def test_what_an_environment_forks_can_be_terminated_and_tells_the_run_nothing():
    answer = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=60)
    assert (answer.stdout, answer.stderr) == ("still here\n-15 False\n", "")


HANGING = """
import os, re, subprocess, time
import gymnasium as gym
from drml import Uniform, task_family

class Hanging(gym.Wrapper):
    steps = 0

    def step(self, action):
        Hanging.steps += 1
        if Hanging.steps == 200:
            started = subprocess.Popen(["sleep", "600"], start_new_session=True)
            with open("hanging", "w") as file:
                file.write(str(started.pid))
            {hang}
        return self.env.step(action)

@task_family(gravity=Uniform(8.0, 12.0), horizon=8)
def hanging(gravity):
    return Hanging(gym.make("Pendulum-v1", g=gravity))
"""
HANGS = {
    "sleeping and catching all": "\n".join(
        f"{' ' * 12 * (i > 0)}{line}"
        for i, line in enumerate(
            ["while True:", "    try:", "        time.sleep(600)", "    except BaseException:", "        pass"]
        )
    ),
    "holding the interpreter": 're.match("(a+)+$", "a" * 60 + "b")',
    "looping": "while True: pass",
    "waiting": 'subprocess.run(["sleep", "600"])',
}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def wait_for(path: Path, process: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + 120.0
    while not (path.exists() and (text := path.read_text())):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate(timeout=10)
        time.sleep(0.02)
    return text


@pytest.mark.parametrize(
    ("hang", "number"),
    [
        ("sleeping and catching all", TERM),
        pytest.param("holding the interpreter", INT, marks=pytest.mark.slow),
        pytest.param("looping", USR1, marks=pytest.mark.slow),
        pytest.param("waiting", HUP, marks=pytest.mark.slow),
    ],
)
def test_the_second_signal_ends_a_step_that_hangs(hang: str, number: signal.Signals, tmp_path: Path):
    (tmp_path / "mine.py").write_text(HANGING.replace("{hang}", HANGS[hang]))
    words = [*DRML, "train", "mine:hanging", "maml", *TINY, "--meta-iters", "1000", "--out", "run"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            started = int(wait_for(tmp_path / "hanging", process))
            for name in ("metrics.jsonl", "config.json"):
                assert (tmp_path / "run" / name).exists()
            process.send_signal(number)
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(number)
            asked = time.monotonic()
            process.wait(30)
            seconds = time.monotonic() - asked
        finally:
            process.kill()
        err = process.communicate()[1]
    assert process.returncode == EXIT_CODES[number], err
    assert seconds < 5.0  # one, on a machine that has nothing else to do
    assert f"stopped at once by {number.name}" in err.splitlines()[-1] and "Traceback" not in err
    assert not is_running(started)
    assert not (tmp_path / "run" / "checkpoints").exists()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert not any("faults" in row for row in rows)


AT_IMPORT = """
import os, signal, sys, time

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {when!r}:
            os.kill(os.getpid(), {number})
            time.sleep(1)

sys.meta_path.insert(0, Finder())
sys.argv = ["drml", *{words!r}]
from drml.__main__ import main
sys.exit(main())
"""


def starts() -> Iterator[tuple[list[str], str]]:
    """Yield command lines, each with a module that is imported on the way: of the first ones, and of the last."""
    words = {
        "train": ["train", "navigation-maml-v1", "maml", "--out", "new"],
        "test": ["test", "run"],
        "report": ["report", "run"],
        "check": ["check", "mine:hanging"],
        "reproduce": ["reproduce", "navigation-maml"],
    }
    for name in COMMANDS:
        for when in ("logging", "torch", "tyro"):
            yield words.get(name, [name]), when
    yield ["train", "--resume", "run", "--meta-iters", "9"], "drml.run.session"
    yield ["train", "--resume", "run", "--meta-iters", "9"], "tensorboard.compat.proto"
    yield ["report", "run"], "matplotlib"


@pytest.mark.parametrize(
    ("words", "when"),
    [
        pytest.param(*start, marks=[] if i % 9 == 1 else pytest.mark.slow, id=f"{' '.join(start[0])} at {start[1]}")
        for i, start in enumerate(starts())
    ],
)
@pytest.mark.parametrize("number", [TERM, INT], ids=lambda number: number.name)
def test_a_signal_in_the_first_seconds(words: list[str], when: str, number: int, run: Path):
    code = AT_IMPORT.format(when=when, number=int(number), words=words)
    started = subprocess.run(
        [sys.executable, "-c", code], cwd=run.parent, capture_output=True, text=True, check=False, timeout=120
    )
    if when == "tensorboard.compat.proto":  # within the training, which is asked and then goes on
        assert "stopping and saving" in started.stderr
    else:
        assert started.returncode == EXIT_CODES[number], started.stderr
        assert started.stderr.startswith("drml: error: stopped at once by SIG") and started.stderr.count("\n") == 1
    assert not (run.parent / "new").exists()


AT_THE_END = """
import os, sys
from drml import __main__ as program

class Last:
    def __del__(self):  # when the interpreter has taken down its handlers
        os.kill(os.getpid(), {number})
        os.write(1, b"gone on")

kept = Last()
sys.argv = ["drml", "--version"]
sys.exit(program.main())
"""


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_in_the_last_seconds(number: int):
    code = AT_THE_END.format(number=int(number))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "") and ended.stdout.endswith("gone on")
