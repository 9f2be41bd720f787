"""Faults planted in real command lines: kills, signals, flipped bits, edited files, malformed words."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from .fork_server import Answer, ForkServer

SIZES = ["--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--validate-every", "2"]
SHORT = ["--meta-iters", "4", "--checkpoint-every", "2"]
FAMILIES = {  # of learners: a gradient with curvature, a gradient with an optimiser's state, a memory
    "maml": ["train", "navigation-pearl-sparse-v1", "maml", *SIZES, "--policy.hidden", "4"],
    "promp": ["train", "navigation-pearl-sparse-v1", "promp", *SIZES, "--policy.hidden", "4"],
    "rl2": ["train", "bandit-bernoulli-k5-n10-v1", "rl2", *SIZES, "--policy.size", "4"],
}
PARTS = 10  # the first one belongs to the fast tests
Case = TypeVar("Case")


def in_parts(cases: list[Case]) -> Any:
    """Parametrize a test by every tenth of its cases, of which the first tenth is fast."""
    parts = [cases[i::PARTS] for i in range(PARTS)]
    marked = [pytest.param(part, marks=[pytest.mark.slow] * (i > 0), id=f"part{i}") for i, part in enumerate(parts)]
    return pytest.mark.parametrize("cases", marked)


@pytest.fixture(scope="session")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    server = ForkServer(tmp_path_factory.mktemp("forks"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def trained(fork: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each family that was never stopped, tested; in folders of their own, each called `run`."""
    found: dict[str, Path] = {}
    for family, words in FAMILIES.items():
        folder = tmp_path_factory.mktemp(family)
        for command in ([*words, *SHORT, "--out", "run"], ["test", "run", "--tasks", "2", "--episodes", "2"]):
            answer = fork(command, folder)
            assert answer.code == 0, answer.err
        found[family] = folder / "run"
    return found


@pytest.fixture
def run(trained: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the run of a gradient learner."""
    return shutil.copytree(trained["promp"], tmp_path / "run")


def contents(folder: Path) -> dict[str, str]:
    """Return what a folder holds, by path: the hash of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "other"
        for path in folder.rglob("*")
    }


def check_refusal(answer: Answer, codes: set[int]) -> None:
    """Check that a command said no in one line, and with one of the exit codes that are documented for it."""
    assert answer.code in codes, (answer.code, answer.err)
    assert answer.err.startswith("drml: error: ") and answer.err.count("\n") == 1 and answer.err[-1] == "\n", answer.err
    assert answer.err[:-1].isprintable() and "Traceback" not in answer.err


def end_of(run: Path) -> tuple[str, str, list[dict[str, Any]]]:
    """Return what must be equal for equal trainings: the hash of the last state, its facts and the log, but clocks."""
    (last,) = sorted((run / "checkpoints").glob("[0-9]*"))[-1:]
    facts = json.loads((last / "facts.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    clocks = ("seconds", "phases", "crc32")
    state = hashlib.sha256((last / "state.safetensors").read_bytes()).hexdigest()
    told = {key: value for key, value in facts.items() if key not in clocks}
    return state, json.dumps(told), [{k: v for k, v in row.items() if k not in clocks} for row in rows]
