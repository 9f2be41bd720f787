"""TensorFlow does what torch does: the `.keras` file, a SavedModel and a TFLite model of it.

TensorFlow is not installed beside the rest; `make test-tensorflow` runs this file in an environment of its own.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from learned_examples import ACTION_SPACES, POLICIES, by_torch, furthest, learned_of, told

from drml.core.errors import InputError
from drml.export import keras as bridge
from drml.export import tensorflow as to_tf

pytest.importorskip("keras")
needs_tensorflow = pytest.mark.skipif(find_spec("tensorflow") is None, reason="no TensorFlow: make test-tensorflow")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CASES = [(policy, "box") for policy in POLICIES] + [
    ("mlp tanh", space) for space in ACTION_SPACES if space not in ("box", "combined")
]
CASES += [("gru", "discrete"), ("lstm", "one-sided")]
HERE = Path(__file__).parent


@needs_tensorflow
def test_the_forms_of_tensorflow_act_as_torch_does(tmp_path):
    """One process for all, since TensorFlow takes seconds to start."""
    expected = {}
    for number, (policy, space) in enumerate(CASES):
        learned = learned_of(*POLICIES[policy], ACTION_SPACES[space])
        bridge.to_keras(learned, tmp_path / f"{number}.keras")
        world = told(learned, 20, 3)
        flat = {f"{t}/{name}": value for t, step in enumerate(world) for name, value in step.items()}
        np.savez(tmp_path / f"{number}.npz", **flat)
        expected[number] = by_torch(learned, world)
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(HERE / "act_in_tensorflow.py"), str(tmp_path), str(len(CASES))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    table = []
    for number, (policy, space) in enumerate(CASES):
        for form in ("keras", "savedmodel", "tflite"):
            with np.load(tmp_path / f"{number}.{form}.npz") as file:
                found = [{name: file[f"{t}/{name}"] for name in expected[number][0]} for t in range(20)]
            table.append({"policy": policy, "space": space, "form": form})
            for name in expected[number][0]:
                size = max(1.0, *(float(np.abs(np.asarray(step[name])).max()) for step in expected[number]))
                table[-1][name] = furthest(found, expected[number], name) / size
                # float32 kernels of two libraries, fed back 20 times
                assert table[-1][name] < 1e-6, table[-1]
    if report := os.environ.get("BRIDGES_JSON"):
        Path(report).write_text(json.dumps(table, indent=1), encoding="utf-8")


@needs_tensorflow
def test_the_functions_of_the_package_write_them(tmp_path):
    file = bridge.to_keras(learned_of(*POLICIES["gru"], ACTION_SPACES["box"]), tmp_path / "agent.keras")
    to_tf.to_tensorflow(file, tmp_path / "saved", tmp_path / "agent.tflite")
    assert (tmp_path / "saved/saved_model.pb").is_file() and (tmp_path / "agent.tflite").stat().st_size > 1000


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="TensorFlow is there")
def test_a_missing_tensorflow_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"need TensorFlow: pip install 'drml\[tensorflow\]'.*python -m") as caught:
        to_tf.to_tensorflow(tmp_path / "agent.keras", tmp_path / "saved")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_wrong_command_line_is_one_line(tmp_path, capsys):
    for words in ([], ["agent.keras", "--onnx", "x"], [str(tmp_path / "none.keras")]):
        assert to_tf.main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
