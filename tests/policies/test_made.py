"""Networks of the user's own as the policy of a run: by name, repeated to the bit, resumed, and refused in one line."""

import sys

import numpy as np
import pytest
import torch

import drml
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec
from drml.policies.made import ModuleConfig, module_policy
from drml.run import session
from drml.run.config import read_config

SPEC = EnvSpec(3, ActionSpec("continuous", 2), 10)
NETWORKS = """
import os, random
import numpy as np
import torch
from torch import nn

def small(obs_size, num_outputs):
    return nn.Sequential(nn.Linear(obs_size, 5), nn.Tanh(), nn.Linear(5, num_outputs))

def by_keras(obs_size, num_outputs):
    import keras
    layers = keras.layers
    return keras.Sequential([keras.Input((obs_size,)), layers.Dense(5, activation="tanh"), layers.Dense(num_outputs)])

def by_keras_at_random(obs_size, num_outputs):
    import keras
    model = by_keras(obs_size, num_outputs)
    model.layers[0].kernel.assign(keras.random.normal((obs_size, 5)))
    return model

def by_numpy(obs_size, num_outputs):
    module = nn.Linear(obs_size, num_outputs)
    module.weight.data = torch.from_numpy(np.random.randn(num_outputs, obs_size).astype("float32")) * random.random()
    return module

def from_nowhere(obs_size, num_outputs):
    module = nn.Linear(obs_size, num_outputs)
    module.bias.data += int.from_bytes(os.urandom(2), "little")
    return module

def frozen(obs_size, num_outputs):
    return nn.Sequential(nn.Linear(obs_size, 5).requires_grad_(False), nn.Tanh(), nn.Linear(5, num_outputs))

def fails(obs_size, num_outputs):
    return {}["no key"]

def nothing(obs_size, num_outputs):
    pass

def normalised(obs_size, num_outputs):
    return nn.Sequential(nn.Linear(obs_size, 5), nn.LayerNorm(5), nn.Linear(5, num_outputs))

LIMIT = 3
"""


@pytest.fixture(autouse=True)
def networks(tmp_path, monkeypatch):
    (tmp_path / "networks.py").write_text(NETWORKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("networks", None)


def start(name, seed=0):
    return module_policy(SPEC, ModuleConfig(f"networks:{name}")).init(Streams(seed))


@pytest.mark.parametrize("name", ["small", "by_numpy", "by_keras", "by_keras_at_random"])
def test_a_seed_repeats_to_the_bit_and_another_begins_elsewhere(name):
    if "keras" in name:
        pytest.importorskip("keras")
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 — foreign code's
    first, again, other = start(name), start(name), start(name, seed=1)
    assert list(first) == list(again) and all(torch.equal(first[n], again[n]) for n in first)
    drawn = next(iter(first))
    assert not torch.equal(first[drawn], other[drawn])
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002


def test_sizes_are_counted():
    config = ModuleConfig("networks:small")
    assert config.num_weights(3, 2) == 3 * 5 + 5 + 5 * 2 + 2
    # kept for the derivative: the observation, and tanh's output; and the outputs
    assert config.num_units(3, 2) == 3 + 5 + 2 and config.with_room(100) == config


REFUSED = {
    "from_nowhere": "makes other weights each time",
    "frozen": "draws weights that are not trained.*Generator",
    "fails": r"'networks:fails': making a network of 3 inputs and 2 outputs raised KeyError.*networks.py:\d+",
    "nothing": r"is a NoneType, expected a torch\.nn\.Module or a Keras model",
    "normalised": r"'networks:normalised': submodule '1' \(LayerNorm\)",
    "LIMIT": r"is a int, expected a function \(obs_size, num_outputs\)",
    "smal": "has no 'smal'. Did you mean 'small'",
}


@pytest.mark.parametrize("name", REFUSED)
def test_unfit_makers_are_refused_in_one_line(name):
    with pytest.raises(InputError, match=REFUSED[name]) as caught:
        start(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        ("networks", "expected package.module:function"),
        (":small", "expected package.module:function"),
        (ModuleConfig, "is a type, expected its name: make='drml.policies.made:ModuleConfig'"),
    ],
)
def test_what_is_no_name_is_refused(make, line):
    with pytest.raises(InputError, match=line):
        ModuleConfig(make)


@pytest.mark.parametrize("name", ["os:abort", "os:kill", "math:hypot", "builtins:print"])
def test_what_makes_no_networks_is_not_called(name):
    with pytest.raises(InputError, match="expected a function"):
        module_policy(SPEC, ModuleConfig(name))


@pytest.mark.parametrize("name", ["small", "by_keras"])
def test_a_run_is_stopped_resumed_and_tested(name, tmp_path):
    if "keras" in name:
        pytest.importorskip("keras")
    sizes = {"num_tasks": 2, "copies": 2, "validation_tasks": 2, "checkpoint_every": 1, "validate_every": 10}
    given = {"policy": drml.ModuleConfig(f"networks:{name}"), "threads": 1, "verbose": False, **sizes}
    whole = drml.train("navigation-maml-v1", "promp", out=tmp_path / "whole", meta_iters=2, **given)
    run = drml.train("navigation-maml-v1", "promp", out=tmp_path / "run", meta_iters=1, **given)
    assert read_config(run.path).policy == given["policy"]
    run.resume(meta_iters=2, threads=1)
    first, second = ([row for row in r.rows() if row["kind"] == "train"][-1] for r in (whole, run))
    assert first["meta_iter"] == second["meta_iter"] == 2
    assert first["post_return"] == second["post_return"] and first["pre_return"] == second["pre_return"]
    result = session.test(run.path, 1, 2, 2)
    assert len(result["return_by_step"]) == 2


def test_each_learner_says_which_policies_it_takes():
    with pytest.raises(InputError, match=r"rl2 takes MemoryConfig: policy=drml\.MemoryConfig"):
        drml.train("navigation-maml-v1", "rl2", policy=ModuleConfig("networks:small"))


def test_a_keras_of_another_backend_or_none_is_named(monkeypatch):
    from drml.policies.keras_module import torch_backend

    for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(InputError, match=r"KERAS_BACKEND is 'jax'.*set KERAS_BACKEND=torch"), torch_backend():
        raise InputError("No module named 'jax'")
    with pytest.raises(InputError, match=r"pip install 'drml\[keras\]'"), torch_backend():
        raise InputError("'networks:by_keras': raised ModuleNotFoundError: No module named 'keras'")
