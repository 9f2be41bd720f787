"""Success on the terminal, in files and in a report, from training to test; and nothing where it is never said."""

import json
import re
from pathlib import Path

import pytest

from drml.cli.main import main
from drml.run.log import read_rows
from drml.run.measure import load

SAYS, SILENT = "gridnavi-varibad-v1", "probe-goal-flip-v1"
TINY = ["--meta-iters", "2", "--tasks", "3", "--episodes", "4", "--validation-tasks", "2", "--validate-every", "1"]
NAMES = {f"{when}_success_{kind}" for when in ("pre", "post") for kind in ("any", "last")}


def trained(suite: str, out: Path, *more: str) -> str:
    learner = "rl2" if suite == SAYS else "promp"
    assert (
        main(["train", suite, learner, *TINY, "--out", str(out), "--json", str(out.with_suffix(".json")), *more]) == 0
    )
    return str(out)


def test_from_training_to_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = trained(SAYS, tmp_path / "run")
    assert re.search(r"return \S+ → \S+, success \d+% → \d+% after adaptation", capsys.readouterr().out)
    rows = read_rows(Path(run))
    train = [row for row in rows if row["kind"] == "train"]
    assert all(set(row) >= NAMES and 0 <= row["pre_success_last"] <= row["pre_success_any"] <= 1 for row in train)
    assert all(len(row["success_any_by_step"]) == 2 for row in rows if row["kind"] == "validation")
    told = json.loads((tmp_path / "run.json").read_text())
    assert {name: told[name] for name in NAMES} == {name: train[-1][name] for name in NAMES}

    assert main(["test", run, "--tasks", "3", "--episodes", "3", "--adapt-steps", "1", "--deterministic"]) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "run/test.json").read_text())
    for part in (found, found["deterministic"]):
        assert [point["step"] for point in part["success_any_by_step"]] == [0, 1]
        for kind in ("any", "last"):
            means = [point["mean"] for point in part[f"success_{kind}_by_step"]]
            assert re.search(rf"success, {kind} step\W+" + r"\W+".join(f"{mean:.1%}" for mean in means), shown)
    assert "most likely actions" in shown and re.search(r"goal=\S+ \d\W+-?\d+\.\d \(\d+%\)", shown)

    assert main(["report", run]) == 0
    page = (tmp_path / "run/report.html").read_text()
    section = page.split("<h2>Success</h2>")[1].split("</section>")[0]
    for part in (found, found["deterministic"]):
        for point in part["success_any_by_step"]:
            assert f"{100 * point['mean']:.1f} %" in section
    assert 'most likely</td><td class="">1</td>' in section and "<svg" in section
    drawn = json.loads((tmp_path / "run/figures/success.json").read_text())
    assert drawn["train"]["post_success_any"] == [row["post_success_any"] for row in train]
    assert "success before" in page


def test_a_family_that_never_says_it_shows_nothing_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = trained(SILENT, tmp_path / "run")
    assert main(["test", run, "--tasks", "2", "--episodes", "2", "--deterministic"]) == 0
    assert main(["report", run]) == 0
    assert "success" not in capsys.readouterr().out
    for name in ("metrics.jsonl", "test.json", "report.html"):
        assert "success" not in (tmp_path / "run" / name).read_text().lower(), name
    assert not list((tmp_path / "run").rglob("figures/success*"))
    assert "<h2>Most likely actions</h2>" in (tmp_path / "run/report.html").read_text()
    facts = next((tmp_path / "run/checkpoints").rglob("*.json")).read_text()
    assert "success" not in facts


def test_a_run_that_goes_on_knows_that_success_was_said(tmp_path: Path):
    run = tmp_path / "run"
    trained(SAYS, run)
    assert load(run).progress.says_success
    assert main(["train", "--resume", str(run), "--meta-iters", "3"]) == 0
    whole = tmp_path / "whole"
    trained(SAYS, whole, "--meta-iters", "3")
    clock = {"seconds", "crc32"}
    rows = [[{k: v for k, v in row.items() if k not in clock} for row in read_rows(path)] for path in (run, whole)]
    assert rows[0] == rows[1] and set(rows[0][-2]) >= NAMES
