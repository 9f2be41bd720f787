"""Brackets, controls and halves of characters in names and messages: shown as they are, obeyed by nobody."""

import json
import sys
import unicodedata
from pathlib import Path

import pytest

from drml.cli.main import main
from drml.cli.terminal import console, say, show
from drml.run import durable

TINY = ["--meta-iters", "1", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--validate-every", "1"]
NASTY = "cannot open [/dev/ttyUSB0] [red]x[/red] [/] :smile: \x1b[2J\x1b]0;t\x07 \udce9 \u202e end"
SHOWN = r"cannot open [/dev/ttyUSB0] [red]x[/red] [/] :smile: \x1b[2J\x1b]0;t\x07 \udce9 \u202e end"
MINE = f'''
import gymnasium as gym
from drml import Choice, Uniform

NASTY = {NASTY!r}


class Env(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, value, raises):
        self.value, self.raises = value, raises

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample() * 0, {{}}

    def step(self, action):
        if self.raises and self.value > 0.8:
            raise OSError(NASTY)
        return self.observation_space.sample() * 0, float(action), False, False, {{}}


class Names:
    """Parameters whose names are nasty."""

    params = {{"[/a]": Uniform(0.0, 1.0), "[red]b[/red]": Uniform(0.0, 1.0), "\\x1b[31mc": Uniform(0.0, 1.0)}}
    horizon = 4

    def make(self, **params):
        return Env(params["[/a]"], False)


class Errors(Names):
    """Messages that are nasty."""

    def make(self, **params):
        return Env(params["[/a]"], True)
'''


def is_clean(text: str) -> bool:
    return not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cs")]


@pytest.fixture
def nasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nasty_tasks.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("nasty_tasks", None)


def test_names_of_parameters_are_shown_whole_in_every_command(nasty: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("matplotlib")
    assert main(["train", "nasty_tasks:Names", "promp", "--out", "run", *TINY]) == 0
    assert main(["test", "run", "--tasks", "2", "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert "[/a]=" in out and "[red]b[/red]=" in out and r"\x1b[31mc=" in out and is_clean(out)
    assert main(["report", "run"]) == 0
    page = (nasty / "run" / "report.html").read_text(encoding="utf-8")
    assert "[/a]" in page and "[red]b[/red]" in page and is_clean(page.replace("\t", " "))


def test_messages_are_shown_whole_wherever_they_go(nasty: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("matplotlib")
    words = ["train", "nasty_tasks:Errors", "promp", "--out", "run", *TINY, "--tasks", "8", "--max-faulty-share", "1"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert SHOWN in told.out and is_clean(told.out) and is_clean(told.err)
    assert main(["test", "run", "--tasks", "20", "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert f"OSError: {SHOWN}" in " ".join(out.split()) and is_clean(out)
    assert json.loads((nasty / "run" / "test.json").read_text())["faulty_tasks"]
    assert main(["report", "run"]) == 0
    page = (nasty / "run" / "report.html").read_text(encoding="utf-8")
    assert "cannot open […] [red]x[" in page and is_clean(page.replace("\t", " "))  # a page names no absolute path


def test_check_shows_messages_whole(nasty: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "nasty_tasks:Errors", "--steps", "20"]) in (2, 3)
    told = capsys.readouterr()
    assert "[/dev/ttyUSB0]" in told.out + told.err and is_clean(told.out) and is_clean(told.err)


@pytest.mark.parametrize("word", ["[/]", "[red]x", "\x1b[31m", "\udce9", "[/dev/ttyUSB0]"])
@pytest.mark.parametrize(
    "words",
    [
        ["{}"], ["train", "{}", "maml"], ["train", "navigation-maml-v1", "{}"], ["test", "{}"], ["report", "{}"],
        ["train", "navigation-maml-v1", "maml", "--seed", "{}"], ["train", "navigation-maml-v1", "maml", "--{}"],
        ["train", "--resume", "{}"], ["check", "{}"], ["check", "a:{}"], ["reproduce", "{}"],
        ["list", "--json", "{}/x"],
        ["train", "navigation-maml-v1", "maml", "--learner.inner-loss", "{}"], ["gallery", "--out", "{}"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_words_of_the_command_line_are_told_as_they_were_typed(words, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([part.format(word) for part in words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("drml: error: ") and is_clean(err)


def test_a_configuration_of_nasty_texts_is_refused_in_one_clean_line(run: Path, capsys: pytest.CaptureFixture[str]):
    config = json.loads((run / "config.json").read_text())
    for change in ({"suite": NASTY}, {"learner": NASTY}, {NASTY: 1}, {"suite": f"a:{NASTY}"}, {"tasks": {NASTY: "x"}}):
        durable.write_json(run / "config.json", config | change)
        assert main(["test", "run"]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "[/dev/ttyUSB0]" in err and is_clean(err)


def test_console_and_lines_show_texts_as_they_are(capsys: pytest.CaptureFixture[str]):
    show(NASTY)
    say(NASTY)
    out = capsys.readouterr().out
    assert out == f"{SHOWN}\n" * 2
    assert console().render_str("two\nlines").plain == "two\nlines"
