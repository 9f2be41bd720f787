"""Run directories: one run each, one process at a time, files old or new."""

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drml.core.errors import InputError, ResourceError
from drml.run import durable, rundir

HOLDER = """
import sys, time
from pathlib import Path
from drml.run import rundir
with rundir.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_create_makes_parents_and_refuses_what_is_there(tmp_path):
    path = tmp_path / "a" / "b" / "run"
    assert rundir.create(path) == path
    assert path.is_dir()
    assert rundir.create(path) == path  # still empty: nothing can be lost
    (path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"already holds a run; go on with it by --resume, or choose another --out$"):
        rundir.create(path)
    with pytest.raises(InputError, match=r"config\.json is a file; choose another --out$"):
        rundir.create(path / "config.json")
    with pytest.raises(InputError, match=r"/a is not empty; choose another --out$"):
        rundir.create(tmp_path / "a")


def test_a_run_that_ended_before_its_first_file_does_not_block_its_directory(tmp_path):
    with rundir.lock(rundir.create(tmp_path / "run")):
        pass
    assert rundir.create(tmp_path / "run") == tmp_path / "run"


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"^cannot write .*/file/a/b: Not a directory$"):
        rundir.create(tmp_path / "file" / "a" / "b")

    def refuse(path, mode=0o777):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(ResourceError, match=r"^cannot write .*/closed: Permission denied$"):
        rundir.create(tmp_path / "closed")


def test_runs_that_start_together_get_distinct_directories(tmp_path):
    with ThreadPoolExecutor(20) as pool:
        paths = list(pool.map(lambda _: rundir.create_numbered(tmp_path / "runs", "maml"), range(20)))
    assert {path.name for path in paths} == {"maml"} | {f"maml-{number}" for number in range(2, 21)}


def test_a_second_holder_is_told_who_the_first_is(tmp_path):
    with rundir.lock(tmp_path):
        expected = f"{tmp_path} is in use by process {os.getpid()} on {socket.gethostname()}; stop it or choose another"
        with pytest.raises(InputError, match=re.escape(expected)), rundir.lock(tmp_path):
            pass
    with rundir.lock(tmp_path):
        pass
    with pytest.raises(InputError, match="is not a run's directory"), rundir.lock(tmp_path / "missing"):
        pass


@pytest.mark.parametrize("text", ["", "   ", "one two three", "\udcff"])
def test_an_odd_lock_file_still_locks(tmp_path, text):
    with rundir.lock(tmp_path):
        (tmp_path / ".lock").write_text(text, errors="surrogateescape")
        with pytest.raises(InputError, match="in use by another process"), rundir.lock(tmp_path):
            pass


def test_a_lock_survives_nothing_but_its_process(tmp_path):
    for _ in range(3):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(InputError, match=f"in use by process {holder.pid} on "), rundir.lock(tmp_path):
                pass
            holder.send_signal(signal.SIGKILL)
        assert holder.returncode == -signal.SIGKILL
        with rundir.lock(tmp_path):
            pass


def test_json_is_written_whole_with_null_for_what_is_not_finite(tmp_path):
    path = tmp_path / "result.json"
    durable.write_json(path, {"a": math.nan, "b": [1.5, -math.inf, {"c": math.inf}], "d": ("π", None, True, 3)})
    assert "NaN" not in path.read_text()
    assert json.loads(path.read_text()) == {"a": None, "b": [1.5, None, {"c": None}], "d": ["π", None, True, 3]}
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize("operation", ["open", "write", "fsync", "replace"])
def test_a_refused_write_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch, operation):
    path = tmp_path / "result.json"
    durable.write_json(path, {"old": 1})

    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, operation, refuse)
    with pytest.raises(ResourceError, match=r"result\.json: No space left on device; 0\.000 MB to write, .* MB free$"):
        durable.write_json(path, {"new": 2})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_writing_in_small_pieces_writes_all(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    durable.replace_file(tmp_path / "file", bytes(range(256)))
    assert (tmp_path / "file").read_bytes() == bytes(range(256))


def test_making_directories_ends_where_the_working_directory_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ResourceError, match="cannot write"):
        rundir.create(Path("a/b"))


def test_versions_are_found_without_importing():
    code = "import sys; from drml.run import rundir; print(rundir.versions()); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.endswith("False\n")
    assert {"python", "platform", "drml", "torch", "numpy"} <= set(rundir.versions())
    assert rundir.versions()["python"] == sys.version.split()[0]


@pytest.mark.parametrize("error", [InputError, ResourceError])
def test_a_run_that_is_refused_before_its_first_row_leaves_nothing(tmp_path, error):
    path = tmp_path / "new" / "parents" / "run"
    with pytest.raises(error), rundir.claimed(path):
        durable.write_json(path / "config.json", {})
        (path / "metrics.jsonl").write_bytes(b"")
        raise error("refused")
    assert list(tmp_path.iterdir()) == []
    path.mkdir(parents=True)
    with pytest.raises(error), rundir.claimed(path):
        durable.write_json(path / "config.json", {})
        raise error("refused")
    assert path.is_dir() and list(path.iterdir()) == []  # it was there before


def test_a_run_that_has_measured_something_stays(tmp_path):
    with pytest.raises(InputError), rundir.claimed(tmp_path / "run"):
        (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
        raise InputError("later")
    assert (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_half_made_directory_is_taken_and_swept_by_its_holder(tmp_path):
    (tmp_path / ".lock").write_text("1 elsewhere\n")
    (tmp_path / ".tmp-config.json-77").write_text("{")
    with rundir.claimed(tmp_path):
        rundir.sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"), rundir.claimed(tmp_path):
        pass


def test_a_refusal_leaves_the_lock_as_it_was(tmp_path):
    (tmp_path / ".lock").write_text("17 elsewhere\n")
    with pytest.raises(InputError), rundir.lock(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()} ")
        raise InputError("refused")
    assert (tmp_path / ".lock").read_text() == "17 elsewhere\n"
