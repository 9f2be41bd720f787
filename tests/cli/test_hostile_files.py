"""Links, pipes and devices where a run's files should be: refused in one line, targets untouched, nobody waits."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.test_bad_input import contents

from drml.cli.main import main
from drml.run.durable import replace_file
from drml.run.rundir import FILES, FOLDERS

COMMANDS = {
    "resume": ["train", "--resume", "run", "--meta-iters", "3"],
    "test": ["test", "run", "--tasks", "2", "--episodes", "2"],
    "report": ["report", "run"],
}
Plant = Callable[[Path, Path], object]
PLANTS: dict[str, Plant] = {
    "link to a file": lambda path, mine: path.symlink_to(mine / "thesis.txt"),
    "link to a folder": lambda path, mine: path.symlink_to(mine),
    "link to nothing": lambda path, mine: path.symlink_to(mine / "nothing"),
    "pipe": lambda path, mine: os.mkfifo(path),
    "device": lambda path, mine: path.symlink_to("/dev/zero"),
    "folder or file": lambda path, mine: path.write_text("x") if path.name in FOLDERS else path.mkdir(),
}


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def mine_beside(run: Path) -> Path:
    mine = run.parent / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("three years of work\n")
    (mine / "events.out.tfevents.1.mine.1.0").write_text("mine")
    return mine


def check_refused(words: list[str], path: Path, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(mine), sorted(os.listdir(path.parent))
    capsys.readouterr()
    assert main(words) in (2, 4)
    err = capsys.readouterr().err
    assert err.startswith("drml: error: ") and err.count("\n") == 1 and path.name in err, err
    assert (contents(mine), sorted(os.listdir(path.parent))) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("plant", PLANTS)
def test_whatever_stands_in_place_of_a_file_or_folder_is_left_alone(command, plant, run: Path, capsys):
    mine = mine_beside(run)
    for name in (*FILES, *FOLDERS):
        path = run / name
        aside = run.parent / "aside"
        kept = os.path.lexists(path)
        if kept:
            path.rename(aside)
        PLANTS[plant](path, mine)
        check_refused(COMMANDS[command], path, mine, capsys)
        remove(path)
        if kept:
            aside.rename(path)


@pytest.mark.parametrize("folder", ["tensorboard", "figures", "films"])
def test_what_stands_in_a_folder_of_the_run_is_left_alone(folder: str, run: Path, capsys):
    mine = mine_beside(run)
    (run / folder).mkdir(exist_ok=True)
    for plant in ("link to a file", "link to a folder", "link to nothing", "pipe"):
        path = run / folder / "events.out.tfevents.0.x"
        PLANTS[plant](path, mine)
        check_refused(COMMANDS["resume"], path, mine, capsys)
        path.unlink()


def test_a_socket_is_refused_too(run: Path, capsys):
    mine = mine_beside(run)
    os.chdir(run)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("test.json")
        os.chdir(run.parent)
        check_refused(COMMANDS["report"], run / "test.json", mine, capsys)


def test_a_second_name_of_my_file_is_not_written_through(run: Path, capsys):
    """A hard link is a plain file; what is written in place goes to a file of its own first."""
    mine = mine_beside(run)
    (run / "tensorboard").mkdir(exist_ok=True)
    (run / ".lock").unlink()
    os.link(mine / "thesis.txt", run / ".lock")
    os.link(mine / "events.out.tfevents.1.mine.1.0", run / "tensorboard" / "events.out.tfevents.1.mine.1.0")
    (mine / "log").write_bytes((run / "metrics.jsonl").read_bytes() + b'{"kind": "tr')  # what a crash leaves is cut off
    (run / "metrics.jsonl").unlink()
    os.link(mine / "log", run / "metrics.jsonl")
    before = contents(mine)
    assert main(COMMANDS["resume"]) == 0
    assert contents(mine) == before


def test_a_new_run_writes_through_no_lock(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "thesis.txt").write_text("three years of work\n")
    (tmp_path / "new" / ".lock").symlink_to("../thesis.txt")
    tiny = ["--meta-iters", "1", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2"]
    assert main(["train", "navigation-maml-v1", "maml", "--out", "new", *tiny]) in (2, 6)
    assert ".lock" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "three years of work\n"


def test_a_draft_that_is_a_link_is_not_written_through(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("three years of work\n")
    (tmp_path / f".tmp-result.json-{os.getpid()}").symlink_to("thesis.txt")
    replace_file(tmp_path / "result.json", b"{}")
    assert (tmp_path / "result.json").read_bytes() == b"{}" and not (tmp_path / "result.json").is_symlink()
    assert (tmp_path / "thesis.txt").read_text() == "three years of work\n"


@pytest.mark.parametrize("name", [*FILES, "checkpoints/000001/facts.json", "figures/x.json"])
def test_a_result_is_not_written_over_a_file_that_a_run_keeps(name: str, run: Path, capsys):
    before = contents(run)
    (run / "figures").mkdir(exist_ok=True)
    assert main(["list", "--json", f"run/{name}"]) == 2
    assert "is where a run keeps a file of its own" in capsys.readouterr().err
    assert contents(run) | {str(run / "figures"): "directory"} == before | {str(run / "figures"): "directory"}


@pytest.mark.parametrize("key", ["file", "strip"])
def test_a_film_that_is_a_pipe_is_not_waited_for(key: str, run: Path, capsys):
    pytest.importorskip("matplotlib")
    os.mkfifo(run / "pipe")
    film = {"task": "a", "step": 0, "file": "config.json", "return": 1.0} | {key: "pipe"}
    (run / "films.json").write_text(json.dumps([film]))
    assert main(["report", "run"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "pipe cannot be read: it is a pipe" in err
