"""No process is left behind, however a check ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drml.check.checks import check_tasks
from drml.core.errors import InputError

from .conftest import Check


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not asked how is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ids_in(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


def wait_until_gone(pids: list[int], seconds: float = 10.0) -> list[int]:
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@pytest.fixture
def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of process ids; the server that children are forked from keeps its own environment, so start anew."""
    from multiprocessing import forkserver

    forkserver._forkserver._stop()
    monkeypatch.setenv("DRML_TEST_IDS", str(tmp_path / "ids"))
    return tmp_path / "ids"


@needs_proc
def test_what_an_environment_starts_ends_with_it(check: Check, ids: Path):
    assert not check("planted_processes:StartsAProcess")
    assert ids_in(ids) and not wait_until_gone(ids_in(ids))


@needs_proc
def test_a_hanging_environment_is_killed_with_all_that_it_started(check: Check, ids: Path):
    begun = time.monotonic()
    wrong = check("planted_processes:StartsAProcessAndHangs", timeout=1.0)
    assert time.monotonic() - begun < 30.0
    assert wrong["responds"].line.startswith("tests/check/zoo/planted_processes.py:")
    assert ids_in(ids) and not wait_until_gone(ids_in(ids))


@needs_proc
def test_environments_in_processes_of_their_own_are_tried_and_ended(check: Check, ids: Path):
    assert not check("planted_processes:in_processes")
    assert len(set(ids_in(ids))) > 10 and not wait_until_gone(ids_in(ids))


@needs_proc
def test_hanging_environments_in_processes_of_their_own_are_killed(check: Check, ids: Path):
    wrong = check("planted_processes:hanging_in_processes", timeout=2.0)
    assert "step hung" in wrong["responds"].seen
    assert ids_in(ids) and not wait_until_gone(ids_in(ids))


@needs_proc
def test_an_end_is_seen_where_a_child_that_was_forked_lives_on(check: Check, ids: Path):
    wrong = check("planted_processes:LeavesAChildBehind", timeout=20.0)
    assert "step died: it left with exit code 5" in wrong["responds"].seen
    assert ids_in(ids) and not wait_until_gone(ids_in(ids))


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_ends_and_leaves_no_environment_behind(number: int, in_zoo: Path, ids: Path):
    listens = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # it may be ignored in a job
    code = f"{listens}; from drml.cli.main import main; raise SystemExit(main())"
    words = [sys.executable, "-c", code, "check", "planted_processes:hanging_in_processes", "--timeout", "600"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    with subprocess.Popen(words, cwd=in_zoo, env=environment, stderr=subprocess.PIPE) as running:
        end = time.monotonic() + 60.0
        while len(ids.read_text().split() if ids.exists() else []) < 3 and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(running.pid, number)
        try:
            running.communicate(timeout=20.0)
        finally:
            running.kill()  # leaving the block waits for its end
    assert len(ids_in(ids)) >= 3 and not wait_until_gone(ids_in(ids))


@needs_proc
@pytest.mark.slow
def test_a_killed_check_leaves_no_environment_behind(in_zoo: Path, ids: Path):
    words = [sys.executable, "-m", "drml.cli.main", "check", "planted_processes:StartsAProcessAndHangs"]
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    with subprocess.Popen([*words, "--timeout", "600"], cwd=in_zoo, env=environment) as running:
        end = time.monotonic() + 60.0
        while not (ids.exists() and len(ids_in(ids)) == 6) and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(running.pid, signal.SIGKILL)
    # of three environments, two that are looked at and one that hangs: the process, and what it has started
    assert len(ids_in(ids)) == 6 and not wait_until_gone(ids_in(ids))


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_check_that_ends_while_the_interpreter_is_held_leaves_nothing_behind(number: int, in_zoo: Path, ids: Path):
    words = [sys.executable, "-m", "drml.cli.main", "check", "planted_processes:HoldsTheInterpreter"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    with subprocess.Popen([*words, "--timeout", "600"], cwd=in_zoo, env=environment) as running:
        end = time.monotonic() + 120.0
        while not (ids.exists() and len(ids_in(ids)) == 4) and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(running.pid, number)
    # itself, its guard, the server that they come from, and what it started in a session of its own
    assert len(ids_in(ids)) == 4 and not wait_until_gone(ids_in(ids), 30.0)


@needs_proc
def test_a_step_that_holds_the_interpreter_is_killed_and_named(check: Check, ids: Path):
    wrong = check("planted_processes:HoldsTheInterpreter", timeout=3.0)
    assert "step hung: no answer within 3 s" in wrong["responds"].seen
    own, guard, _, child = ids_in(ids)[-4:]
    assert not wait_until_gone([own, guard, child])


def test_a_module_that_cannot_be_imported_is_bad_input(in_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_module.py").write_text("tasks = 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="importing broken_module raised ZeroDivisionError"):
        check_tasks("broken_module:tasks")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_tasks": 0}, "num_tasks is 0"), ({"steps": 5}, "steps is 5"), ({"timeout": 0.0}, "timeout is 0.0")],
)
def test_numbers_out_of_range_are_refused(options: dict[str, float], message: str):
    with pytest.raises(InputError, match=message):
        check_tasks("navigation-maml-v1", **options)  # pyright: ignore[reportArgumentType] — one of each type
