import json
import math

import numpy as np
import pytest

from drml.report import save_film, save_strip

CONFIG = {
    "suite": "half_cheetah_direction",
    "learner": "promp",
    "seed": 1,
    "learner_config": {"inner_lr": 0.1, "schedule": {"start": 1e-3, "stop": None}},
    "train": {"meta_iters": 30, "converge": False},
    "versions": {"torch": "2.13.0"},
}
TEST = {
    "suite": "half_cheetah_direction",
    "learner": "promp",
    "split": "test",
    "adapt_steps": 2,
    "trained_adapt_steps": 1,
    "held_out": True,
    "tasks": [
        {"params": {"direction": 1.0}, "return_by_step": [-3.25, 150.5, 201.75], "std_by_step": [4.0, 3.0, 2.0]},
        {"params": {"direction": -1.0}, "return_by_step": [1.125, 140.5, 191.375], "std_by_step": [4.5, 3.5, 2.5]},
    ],
    "return_by_step": [
        {"step": step, "mean": mean, "mean_half_width_95": width, "over": "episodes", "count": 2, "iqm": mean}
        for step, mean, width in ((0, -1.0625, 2.1875), (1, 145.5, 5.0), (2, 196.5625, None))
    ],
    "best_meta_iter": 20,
    "env_steps": 2_400_000,
    "seconds": 75.0,
    "phases": {"env": 40.0, "update": 25.0, "act": 10.0},
}


def metrics():
    rows = []
    for i in range(1, 31):
        at = {"meta_iter": i, "env_steps": 80_000 * i, "seconds": 2.5 * i}
        rows.append({"kind": "train", **at, "pre_return": math.sin(i), "post_return": 7.0 * i, "loss": 0.5})
        if i % 10 == 0:
            rows.append({"kind": "validation", **at, "return_by_step": [0.5, 6.5 * i], "is_best": i < 30})
    return rows


def frames(num_frames=8, height=24, width=32):
    ramp = np.linspace(0, 255, num_frames).round().astype(np.uint8)
    return np.broadcast_to(ramp[:, None, None, None], (num_frames, height, width, 3)).copy()


def write_run(folder, config=CONFIG, test=TEST, rows=None, films=True):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if test is not None:
        (folder / "test.json").write_text(json.dumps(test))
    if rows is not None:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if films:
        entries = []
        for step, shown in ((1, 154.5), (0, -3.5)):  # in no particular order
            save_film(frames(), folder / f"films/{step}.webp")
            save_strip(frames(), folder / f"films/{step}.png")
            names = {"file": f"films/{step}.webp", "strip": f"films/{step}.png"}
            entries.append({"task": "direction = +1", "step": step, "return": shown, **names})
        (folder / "films.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture
def run_files():
    """Return the writer of a run directory and its default contents."""
    return write_run, CONFIG, TEST, metrics()


@pytest.fixture(scope="session")
def full_run(tmp_path_factory):
    """Return a run directory that lacks nothing, to be read only."""
    return write_run(tmp_path_factory.mktemp("runs") / "full", rows=metrics())
