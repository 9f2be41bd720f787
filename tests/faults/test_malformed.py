"""Malformed command lines, made from the flags that each command lists: one line, a documented code, no trace."""

import os
import re
from pathlib import Path

import pytest

from drml.cli.main import COMMANDS, EXIT_CODES

from .conftest import PARTS, check_refusal, contents
from .fork_server import ForkServer

NAV, BANDIT = "navigation-maml-v1", "bandit-bernoulli-k5-n10-v1"
BEGINNINGS = [
    ["train", NAV, "maml"],
    ["train", NAV, "promp"],
    ["train", BANDIT, "rl2"],
    ["train", "--resume", "run"],
    ["test", "run"],
    ["report", "run"],
    ["export", "run"],
    ["adapt", "run", "nowhere:make_env"],
    ["check", NAV],
    ["reproduce", "navigation-maml"],
    ["demo"],
    ["gallery"],
    ["list"],
]
NUMBERS = {"INT": ["x", "1.5", "nan", "1e3", "--"], "FLOAT": ["x", "nan", "-inf", "1e999", "1,5"]}
WORDS = ["extra", "--unknown", "--unknown=1", "-q", "--", "--json", "--json="]
NAMES = [
    "",
    " ",
    "no such",
    "../run",
    "/",
    "a:b",
    ":",
    "nav\nigation",
    "\x1b[31m",
    "ü",
    "\udcff",
    "-x",
    "run/config.json",
]
NEEDS = {"train": 2, "test": 1, "report": 1, "export": 1, "adapt": 2, "check": 1, "reproduce": 1}


def malformed(fork: ForkServer, folder: Path) -> list[list[str]]:
    """Return command lines that each have one thing wrong."""
    cases = [
        [],
        *([name] for name in NAMES),
        *([name.upper()] for name in COMMANDS),
        *([f"{name}s"] for name in COMMANDS),
    ]
    for name in COMMANDS:
        cases += [[name, word] for word in WORDS[:4] if name != "check" or word != "extra"]
        cases += [[name, *["run"] * (NEEDS.get(name, 0) + 1)]]
    for command in ("train", "test", "report", "export", "check", "reproduce"):
        cases += [[command]] + [[command, name, *["maml"] * (command == "train")] for name in NAMES]
    cases += [["train", NAV, name] for name in NAMES]
    cases += [["train", "--resume", name] for name in NAMES] + [["train", "--resume=" + name] for name in NAMES]
    for beginning in BEGINNINGS:
        kinds = beginning[:3] if beginning[1:2] != ["--resume"] else ["train", NAV, "maml"]
        text = re.sub(r"\x1b\[[0-9;]*m", "", fork([*kinds, "--help"], folder).out)
        found = re.findall(r"^[│|] (--[a-z][a-z0-9.-]*) (\[?INT|FLOAT|\{|DIR|FILE)?", text, re.MULTILINE)
        assert found or beginning[0] == "report", text
        for flag, kind in found:
            values = NUMBERS.get(kind.strip("["), ["no such choice"] if kind == "{" else [])
            cases += [[*beginning, flag, value] for value in values]
            cases += [[*beginning, f"{flag}x"], [*beginning, f"{flag[:3]}={flag}"]]
            cases += [[*beginning, flag]] * (kind not in ("", "[INT"))  # a list may be empty
            if flag == "--json":
                bad = ("run", "nowhere/x", "pipe", "link", "file/x", "-", "")
                cases += [[*beginning, f"--json={value}"] for value in bad]
            if flag == "--out" and beginning[0] == "train":
                cases += [[*beginning, "--out", value] for value in ("run", "file", "file/x", "folder", "pipe", "link")]
    return cases


@pytest.fixture(scope="module")
def cases(fork: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    found = malformed(fork, tmp_path_factory.mktemp("help"))
    assert len(found) > 300
    return found


@pytest.mark.parametrize("part", [pytest.param(i, marks=[pytest.mark.slow] * (i > 0)) for i in range(PARTS)])
def test_a_malformed_command_line_is_one_line_and_writes_nothing(part, cases, fork, run):
    (run.parent / "file").write_text("mine")
    (run.parent / "folder").mkdir()
    (run.parent / "folder" / "notes").write_text("mine")
    (run.parent / "link").symlink_to("file")
    os.mkfifo(run.parent / "pipe")
    before = contents(run.parent)
    wrong: list[str] = []
    for words in cases[part::PARTS]:
        answer = fork(words, run.parent)
        try:
            check_refusal(answer, set(EXIT_CODES) - {0, 1, 75, 130})
            assert contents(run.parent) == before
        except AssertionError:
            changed = set(contents(run.parent).items()) ^ set(before.items())
            wrong.append(f"{words}: {answer.code}, {answer.out[-60:]!r} {answer.err[-300:]!r} {changed}")
    assert not wrong, "\n".join(wrong)
