"""What a checkpoint says: finite when it is saved, of its type and in its range when it is read, whatever its hash."""

import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from drml.algos.gradient.promp import ProMPConfig
from drml.algos.memory.rl2 import RL2Config
from drml.cli.main import main
from drml.core.errors import CheckpointError, NumericError
from drml.core.tree import tree_leaves
from drml.loop.config import TrainConfig
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.run import saved, sealed, session

GOLDEN = Path(__file__).parent / "golden"
SMALL = TrainConfig(meta_iters=6, num_tasks=2, copies=2, validation_tasks=2, validate_every=1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return shutil.copytree(GOLDEN / "promp", tmp_path / "run")


def forge(run: Path, name: str, data: bytes) -> None:
    """Put other content into a checkpoint, with the hashes that belong to it."""
    path = run / "checkpoints" / "000002"
    (path / name).write_bytes(data)
    contents = {file: (path / file).read_bytes() for file in (sealed.STATE, sealed.FACTS)}
    files = {file: {"size": len(held), "sha256": hashlib.sha256(held).hexdigest()} for file, held in contents.items()}
    fields = {"format": 1, "serial": 2, "files": files}
    own = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    (path / sealed.MANIFEST).write_text(json.dumps({**fields, "sha256": own}))


def facts_of(run: Path) -> dict[str, object]:
    return json.loads((run / "checkpoints" / "000002" / sealed.FACTS).read_text())


ABSURD = {
    "meta_iter": [None, -5, 1, 2.0, "2", True, 10**30, []],
    "env_steps": [None, -1600, 1.5, "many", 2**60],
    "seconds": [None, -0.5, "0", [], 1e300],
    "best_meta_iter": [None, -1, 3, "2", 0],
    "best_return": [None, "high", [], True, 1e200],
    "validations_since_best": [None, -1, 3, 0.5],
    "phases": [None, [], {"act": -1.0}, {"act": None}, {"act": "long"}],
    "suite": [None, 3, "navigation-promp-corners-v1"],
    "learner": [None, [], "maml"],
    "quarantine": [
        None,
        [],
        {},
        {"strikes": [], "met": 0.0, "missed": 0.0},
        {"strikes": {"a": "b"}, "met": 0.0, "missed": 0.0},
        {"strikes": {"a": -1}, "met": 0.0, "missed": 0.0},
        {"strikes": {}, "met": 1.0, "missed": 2.0},
        {"strikes": {}, "met": -1.0, "missed": -2.0},
    ],
}


@pytest.mark.parametrize("key", ABSURD)
def test_each_fact_has_its_type_and_range(run: Path, key: str):
    facts = facts_of(run)
    for value in ABSURD[key]:
        forge(run, sealed.FACTS, json.dumps({**facts, key: value}).encode())
        with pytest.raises(CheckpointError) as error:
            session.load(run)
        assert "\n" not in str(error.value) and len(str(error.value)) < 400
    if key != "quarantine":  # which checkpoints of before it have not
        forge(run, sealed.FACTS, json.dumps({name: facts[name] for name in facts if name != key}).encode())
        with pytest.raises(CheckpointError, match=key):
            session.load(run)
    forge(run, sealed.FACTS, json.dumps(facts).encode())
    session.load(run)  # it was the fact, not the forgery


def test_a_refused_resume_leaves_the_log_and_says_4(run: Path, monkeypatch, capsys):
    monkeypatch.chdir(run.parent)
    before = (run / "metrics.jsonl").read_bytes(), (run / "config.json").read_bytes()
    forge(run, sealed.FACTS, json.dumps({**facts_of(run), "meta_iter": -5}).encode())
    assert main(["train", "--resume", "run"]) == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert ((run / "metrics.jsonl").read_bytes(), (run / "config.json").read_bytes()) == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_checkpoint_that_is_not_finite_is_not_loaded(run: Path, value: float):
    leaves = safetensors.torch.load_file(run / "checkpoints" / "000002" / sealed.STATE)
    name = next(name for name in leaves if name.startswith("state/optimiser/") and leaves[name].dim())
    leaves[name].view(-1)[0] = value
    forge(run, sealed.STATE, safetensors.torch.save(leaves))
    with pytest.raises(CheckpointError, match=f"{name}: 1 of {leaves[name].numel()} numbers are not finite; the run"):
        session.load(run)


def test_a_progress_that_is_not_finite_is_not_saved(run: Path):
    progress = session.load(run).progress
    params = {name: torch.full_like(value, torch.inf) for name, value in progress.best_shared.items()}
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    with pytest.raises(NumericError, match=r"^after meta-iteration 2: best_params/.* numbers are not finite; lower"):
        saved.save(run / "checkpoints", dataclasses.replace(progress, best_shared=params), {})
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before


CONFIGS = {
    "promp": session.RunConfig(
        "navigation-maml-v1", "promp", ProMPConfig(meta_lr=1e30), MLPConfig(hidden=(4,)), SMALL, 0
    ),
    "rl2": session.RunConfig(
        "bandit-bernoulli-k5-n10-v1", "rl2", RL2Config(meta_lr=1e37), MemoryConfig(size=4), SMALL, 0
    ),
}


@pytest.mark.parametrize("learner", CONFIGS)
def test_numbers_that_stop_being_finite_end_the_run_with_the_last_finite_ones_saved(tmp_path: Path, learner: str):
    with pytest.raises(NumericError, match=r"saved as it was before, after \d+ meta-iterations") as error:
        session.start(CONFIGS[learner], tmp_path / "run")
    assert "\n" not in str(error.value)
    trained = session.load(tmp_path / "run")
    assert f"after {trained.progress.meta_iter} meta-iterations" in str(error.value)
    for _, value in tree_leaves(trained.progress.tree()):
        assert torch.isfinite(value).all()


def test_the_line_and_the_exit_code_of_numbers_that_stop_being_finite(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    size = ["--tasks", "2", "--episodes", "2", "--validation-tasks", "2", "--policy.hidden", "4"]
    assert main(["train", "navigation-maml-v1", "promp", *size, "--learner.meta-lr", "1e30", "--out", "run"]) == 5
    line = capsys.readouterr().err.splitlines()[-1]
    found = re.fullmatch(
        r"drml: error: (meta-iteration (\d+), .+ numbers are not finite|the policy's actions .+|meta-gradient: .+); "
        r"lower the step sizes; saved as it was before, after (\d+) meta-iterations: drml test .+",
        line,
    )
    assert found, line
    rows = [json.loads(row)["meta_iter"] for row in Path("run/metrics.jsonl").read_text().splitlines()]
    assert session.load(Path("run")).progress.meta_iter == int(found[3]) == max(rows, default=0)
