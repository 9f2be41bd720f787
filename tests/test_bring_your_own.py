"""The tutorial is run as it is printed: its files are written, its commands typed; only the budget is tiny."""

import re
import runpy
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drml.cli.main import main
from drml.policies.mlp import MLPConfig
from drml.run import session

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/bring-your-own.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SIZES = {"meta_iters": 1, "num_tasks": 2, "copies": 2, "validation_tasks": 2}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Trainings and tests are small; imports and the working directory are as before afterwards."""
    start, test = session.start, session.test

    def start_small(config, *args):
        policy = MLPConfig(hidden=(4,)) if isinstance(config.policy, MLPConfig) else replace(config.policy, size=8)
        return start(replace(config, train=replace(config.train, **SIZES), policy=policy), *args)

    monkeypatch.setattr(session, "start", start_small)
    monkeypatch.setattr(session, "test", lambda run, *_: test(run, num_tasks=2, copies=2))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield
    for name in FILES:
        sys.modules.pop(Path(name).stem, None)


def test_what_the_user_writes_is_short():
    lengths = {name: len([line for line in code.splitlines() if line]) for name, code in FILES.items()}
    assert lengths.pop("radio.py") > 15  # the environment, which was there before
    assert lengths["radio_tasks.py"] == 6 and max(lengths.values()) <= 15


def test_the_examples_are_the_files_of_the_page():
    for name in ("radio.py", "radio_tasks.py"):
        example = (ROOT / "examples" / name).read_text(encoding="utf-8")
        assert example.partition('"""\n\n')[2] == FILES[name], name


def test_every_command_of_the_page_does_what_it_says(small, capsys):
    pytest.importorskip("matplotlib")
    for name, code in FILES.items():
        Path(name).write_text(code, encoding="utf-8")
    assert len(COMMANDS) == 8
    for command in COMMANDS:
        program, *words = shlex.split(command)
        assert program == "drml" and main(words) == 0, (command, capsys.readouterr().err)
    assert "station" in Path("runs/radio-maml/test.json").read_text(encoding="utf-8")
    assert Path("runs/radio-maml/report.html").exists() and Path("runs/radio-rl2/test.json").exists()


def test_the_script_runs(small, monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    script = ROOT / "examples/tune_a_radio.py"
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])  # as Python does
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path / "radio")])
    runpy.run_path(str(script), run_name="__main__")
    *_, returns, page = capsys.readouterr().out.splitlines()
    assert "after 0, 1, 2, 3 adaptation steps" in returns and page == f"report: {tmp_path / 'radio/report.html'}"
    assert session.read_config(tmp_path / "radio").suite == "radio_tasks:radios"
