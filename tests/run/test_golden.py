"""Runs that version 0.1.0 saved, kept as it wrote them: they load, are tested, reported on and go on."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from drml.run import session
from drml.run.log import read_rows

GOLDEN = Path(__file__).parent / "golden"
RUNS = ("promp", "rl2")


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN / request.param, tmp_path / "run")


def test_what_was_saved_is_loaded_bit_for_bit(run: Path):
    saved = safetensors.torch.load_file(run / "checkpoints" / "000002" / "state.safetensors")
    trained = session.load(run)
    assert (trained.progress.meta_iter, trained.setup.config.train.meta_iters) == (2, 2)
    for name, value in trained.progress.best_params.items():
        assert torch.equal(value, saved[f"best_params/{name}"])


def test_it_can_be_tested_and_reported_on(run: Path):
    pytest.importorskip("matplotlib")
    from drml.report.page import write_report

    assert "return" in write_report(run).read_text()  # with the test.json of that version
    result = session.test(run, adapt_steps=1, num_tasks=2, copies=2)
    assert len(result["return_by_step"]) == 2
    write_report(run)


def test_it_goes_on(run: Path):
    before = read_rows(run)
    config = session.read_config(run)
    progress, reason = session.resume(run, train=replace(config.train, meta_iters=4))
    assert (progress.meta_iter, reason) == (4, "budget")
    assert read_rows(run)[: len(before)] == before
    assert [row["meta_iter"] for row in read_rows(run) if row["kind"] == "train"] == [1, 2, 3, 4]
