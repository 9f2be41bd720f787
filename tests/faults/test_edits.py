"""Files of a run that were edited by hand: each entry of another type is one line, and nothing is written."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import PARTS, check_refusal, contents

FACTS, MANIFEST = "checkpoints/000004/facts.json", "checkpoints/000004/manifest.json"
TEST = ["test", "run", "--tasks", "1", "--episodes", "1"]
RESUME = ["train", "--resume", "run", "--meta-iters", "5"]
COMMANDS = {"config.json": [TEST, RESUME], FACTS: [TEST], "test.json": [["report", "run"]]}
BY_TASK = ("episodes_by_step", "env_steps_by_step")  # a report shows their means, which stand beside them
FREE = ("versions", "params", "config", "text", "iqm_half_width_95", *BY_TASK)  # what none reads, or shows as it is
# of test.json: a report has them from elsewhere, or it is for results over seeds
UNREAD = ("suite", "learner", "seed", "meta_iter", "adapt_steps", "adapts_on", "rounds", "gain", "trial_return")
BROKEN = {
    "empty": b"",
    "no object": b"[]",
    "half": b'{"suite": "nav',
    "binary": b"\xff\xfe\x00",
    "nested": b"[" * 90000,
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each entry that a command reads; of a list the first one."""
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, below in items:
        if key not in FREE:
            yield (*path, key)
            yield from places(below, (*path, key))


def of_another_type(value: Any) -> Any:
    return {"not": "this"} if isinstance(value, str | int | float | list) or value is None else "not this"


def replaced(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return of_another_type(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:])
    return copy


def is_unread(name: str, path: tuple[Any, ...]) -> bool:
    return name == "test.json" and path[0] in UNREAD


def edits(run: Path) -> list[tuple[str, str, bytes]]:
    """Return file, what is wrong with it, and its bytes."""
    found: list[tuple[str, str, bytes]] = []
    for name in COMMANDS:
        data = json.loads((run / name).read_text())
        found += [
            (name, repr(path), json.dumps(replaced(data, path)).encode())
            for path in places(data)
            if not is_unread(name, path)
        ]
        found += [(name, what, content) for what, content in BROKEN.items()]
    return found


def seal(run: Path) -> None:
    """Give a manifest the right hash of facts that were edited: a right hash is no proof of right content."""
    manifest = json.loads((run / MANIFEST).read_text())
    data = (run / FACTS).read_bytes()
    manifest["files"]["facts.json"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    manifest["sha256"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    (run / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("part", [pytest.param(i, marks=[pytest.mark.slow] * (i > 0)) for i in range(PARTS)])
def test_an_edited_file_is_refused_in_one_line(part, fork, run):
    for older in run.glob("checkpoints/000002"):
        older.rename(run.parent / "older")
    assert len(edits(run)) > 80
    wrong: list[str] = []
    for name, what, content in edits(run)[part::PARTS]:
        sound = {path: (run / path).read_bytes() for path in (name, MANIFEST)}
        (run / name).write_bytes(content)
        if name == FACTS:
            seal(run)
        before = contents(run)
        for words in COMMANDS[name]:
            answer = fork(words, run.parent)
            try:
                check_refusal(answer, {2, 4})
                assert contents(run) == before
            except AssertionError:
                wrong.append(f"{name} {what}, {words[0]}: {answer.code}, {answer.err[-200:]!r}")
        for path, data in sound.items():
            (run / path).write_bytes(data)
    assert not wrong, "\n".join(wrong)
