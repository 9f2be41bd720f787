"""`drml export`: a run in, files out; every wrong word one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

import drml as package

from .conftest import TINY

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


def test_an_exported_run_acts_as_the_loaded_one(drml, run: Path):
    answer = drml("export", "run", "--to", "onnx", "--out", "robot")
    assert answer.code == 0 and not answer.err
    names = ["act", "sample", "parameters", "act_with_parameters", "adapt"]
    assert answer.out.split() == [f"robot/{name}.onnx" for name in names]
    assert drml("export", "run", "--to", "torch").out.split()[0] == "exports/run-torch/act.pt2"
    observation = np.float32([[0.3, -0.2], [0.0, 0.1]])
    expected, _ = package.load(run).predict(observation, deterministic=True)
    [action, *_] = ort.InferenceSession("robot/act.onnx").run(None, {"observation": observation})
    np.testing.assert_allclose(action, expected, rtol=0.0, atol=1e-6)
    program = torch.export.load("exports/run-torch/act.pt2").module()
    np.testing.assert_allclose(program({"observation": torch.from_numpy(observation)})["action"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "--to", "onyx"], "unknown format 'onyx'. Did you mean 'onnx'?"),
        (["nowhere"], "nowhere is no run, checkpoint or saved agent: there is nothing"),
        (["run", "--max-steps", "-1"], "--max-steps is -1, must be 0 (as trained) or more"),
        (["run", "--out", "run/config.json"], "run/config.json is a file, and an export is several files"),
        (["run", "--to", "torch", "--out", "run"], "run belongs to a run or a saved agent"),
        (["run", "--to", "torch", "--out", "run/checkpoints"], "run/checkpoints belongs to a run or a saved agent"),
    ],
)
def test_a_wrong_word_is_one_line_and_writes_nothing(words: list[str], complaint: str, drml, run: Path):
    before = sorted(Path().rglob("*"))
    answer = drml("export", *words)
    assert answer.code == 2 and answer.out == ""
    assert answer.err.startswith(f"drml: error: {complaint}") and answer.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_an_adaptation_that_is_no_graph_is_refused_where_it_is_asked_for(drml, tmp_path: Path):
    sizes = [*TINY[:-2], "--policy.size", "4", "--out", tmp_path / "run"]
    assert drml("train", "navigation-maml-v1", "rl2", *sizes).code == 0
    answer = drml("export", tmp_path / "run", "--adaptation", "--out", tmp_path / "out")
    assert answer.code == 2 and "rl2 has no adaptation step to export: it adapts while it acts" in answer.err
    assert not (tmp_path / "out").exists()
    answer = drml("export", tmp_path / "run", "--out", tmp_path / "out")
    assert answer.code == 0 and answer.out.split() == [str(tmp_path / f"out/{name}.onnx") for name in ("act", "sample")]


def _adapted(path: Path, learned, sessions: int = 1) -> "package.AdaptiveAgent":
    agent = learned.start(sessions=sessions)
    observation = np.zeros((sessions, 2), np.float32)
    for step in range(4):
        agent.act(observation)
        agent.observe(np.full(sessions, float(step)), np.zeros(sessions, bool), np.full(sessions, step == 3))
    agent.adapt()
    agent.save(path)
    return agent


def test_a_saved_agent_is_exported_as_it_has_adapted(drml, run: Path):
    agent, observation = _adapted(Path("adapted"), package.load(run)), np.float32([[0.3, -0.2]])
    assert drml("export", "adapted", "--to", "onnx", "--out", "robot").code == 0
    session = ort.InferenceSession("robot/act.onnx")
    [action, *_] = session.run(None, {"observation": observation})
    now = agent.act(observation, explore=False)
    np.testing.assert_allclose(action, now, rtol=0.0, atol=1e-6)
    assert not np.allclose(action, package.load(run).predict(observation, deterministic=True)[0], atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["adaptation_steps"] == "1"


def test_what_an_export_cannot_keep_of_a_saved_agent_is_said(drml, run: Path, tmp_path: Path):
    _adapted(Path("adapted"), package.load(run))
    answer = drml("export", "adapted", "--to", "folder", "--out", "again")
    assert answer.code == 2 and "adapted is a folder as hubs have it already" in answer.err
    _adapted(Path("several"), package.load(run), sessions=2)
    answer = drml("export", "several", "--to", "torch", "--out", "again")
    assert answer.code == 2 and "several holds 2 sessions, and an export is of one" in answer.err
    assert not Path("again").exists()
    sizes = [*TINY[:-2], "--policy.size", "4", "--out", tmp_path / "memory"]
    assert drml("train", "navigation-maml-v1", "rl2", *sizes).code == 0
    _adapted(Path("remembers"), package.load(tmp_path / "memory"))
    answer = drml("export", "remembers", "--to", "torch", "--out", "adapted")
    assert answer.code == 2 and "adapted belongs to a run or a saved agent" in answer.err
    assert drml("export", "adapted", "--to", "torch", "--out", "programs").code == 0
    before = {path: path.read_bytes() for path in Path("programs").iterdir()}
    answer = drml("export", "remembers", "--to", "torch", "--out", "programs")  # its acting beside another's adapting
    assert answer.code == 2 and "programs holds parameters.pt2 of another agent" in answer.err
    assert before == {path: path.read_bytes() for path in Path("programs").iterdir()}
    answer = drml("export", "remembers", "--to", "torch", "--out", "again")
    assert answer.code == 0 and "what the memory of remembers holds of its task is not written" in answer.err
