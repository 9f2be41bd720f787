"""Families made of other people's packages, all the way through the command line."""

import json
from collections.abc import Callable

import pytest

from .conftest import Answer

Drml = Callable[..., Answer]
TINY = ["--meta-iters", "1", "--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--policy.size", "8"]
TINY += ["--policy.encoder.features", "8"]
CASES = {
    "minigrid-hidden-goal-v1": ("minigrid", "minigrid.environment('minigrid-hidden-goal-v1', 5)", True),
    "atari-qbert-wiring-v1": ("ale_py", "atari.environment('atari-qbert-wiring-v1', wiring=(4, 2, 0, 1, 3))", False),
}
ANY = pytest.mark.parametrize("suite", CASES)


@ANY
def test_train_test_report_adapt_and_export(suite: str, drml: Drml, tmp_path, monkeypatch):
    package, made, tells_success = CASES[suite]
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"mine_{package}"
    own = made.partition(".")[0]
    (tmp_path / f"{module}.py").write_text(
        f"from drml.suites.packages import {own}\n\ndef make_env():\n    return {made}\n", encoding="utf-8"
    )
    answer = drml("train", suite, "rl2", *TINY, "--out", "run")
    assert answer.code == 0, answer.err
    answer = drml("test", "run", "--tasks", 2, "--episodes", 2, "--json", "test.json")
    assert answer.code == 0 and ("success" in answer.out) == tells_success, answer.err
    result = json.loads((tmp_path / "test.json").read_text())
    assert result["suite"] == suite and result["held_out"] and not result["faulty_tasks"]
    assert drml("report", "run").code == 0 and suite in (tmp_path / "run" / "report.html").read_text()
    answer = drml("adapt", "run", f"{module}:make_env", "--episodes", 2, "--json", "curve.json")
    assert answer.code == 0, answer.err
    assert len(json.loads((tmp_path / "curve.json").read_text())["return_by_step"]) == 2
    answer = drml("export", "run", "--to", "torch", "--out", "exported")
    assert answer.code == 0 and (tmp_path / "exported" / "act.pt2").exists(), answer.err


@ANY
def test_the_checker_has_nothing_to_say(suite: str, drml: Drml, tmp_path):
    pytest.importorskip(CASES[suite][0])
    answer = drml("check", suite, "--json", tmp_path / "check.json")
    found = json.loads((tmp_path / "check.json").read_text())
    assert answer.code == 0 and {one["verdict"] for one in found["findings"]} <= {"ok", "skipped"}, answer.out
