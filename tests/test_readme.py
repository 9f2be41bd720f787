"""What the README shows is run as it stands there, on a small training."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drml.cli.main import main
from drml.loop.config import TrainConfig
from drml.policies.mlp import MLPConfig
from drml.run import session

README = Path(__file__).parents[1] / "README.md"
SMALL = TrainConfig(meta_iters=1, num_tasks=2, copies=2, validation_tasks=2)


def test_the_tables_of_results_are_those_that_the_command_writes(tmp_path):
    text = README.read_text(encoding="utf-8")
    page = tmp_path / "README.md"
    page.write_text(re.sub(r"(<!-- results: .*? -->\n).*?(<!-- end -->)", r"\1\2", text, flags=re.DOTALL))
    assert "| navigation-maml |" not in page.read_text(encoding="utf-8")
    assert main(["reproduce", "--tables", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == text  # else: drml reproduce --tables README.md


def test_the_python_example_trains_tests_and_reports(tmp_path, monkeypatch, capsys):
    for package in ("mujoco", "matplotlib"):
        pytest.importorskip(package)
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    start = session.start

    def start_small(config, *rest):
        return start(replace(config, train=SMALL, policy=MLPConfig(hidden=(4,))), *rest)

    monkeypatch.setattr(session, "start", start_small)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example, str(README), "exec"), names)
    run = tmp_path / "runs/half-cheetah-vel-promp-v1-promp-s0"
    assert names["run"].path == run and (run / "report.html").exists()
    curve = json.loads((run / "test.json").read_text(encoding="utf-8"))["return_by_step"]
    assert [point["step"] for point in curve] == [0, 1, 2, 3]  # as its comment says
    assert "after 0, 1, 2, 3 adaptation steps" in capsys.readouterr().out
    assert names["agent"].steps == (1,) and np.isfinite(names["observation"]).all() and names["truncated"]


def test_the_pictures_numbers_are_those_of_the_stored_result():
    stored = json.loads((README.parent / "src/drml/recipes/results/navigation-maml.json").read_text(encoding="utf-8"))
    first, *_, last = (f"{point['mean']:.1f}".replace("-", "−") for point in stored["return_by_step"])
    assert f"rises from {first} to {last} within three adaptation steps" in README.read_text(encoding="utf-8")
