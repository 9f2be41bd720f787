"""Keras models of what was learned do what torch does, in a closed loop, and consist of stock layers alone."""

import json
import zipfile

import numpy as np
import pytest
import torch
from learned_examples import ACTION_SPACES, POLICIES, by_torch, furthest, learned_of, told
from learned_examples_feed import by_graph

from drml.act.meta_agent import MetaAgent
from drml.core.errors import InputError
from drml.export import keras as bridge
from drml.export.agent import adapted
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig

keras = pytest.importorskip("keras")
STEPS, ROWS = 50, 5
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, as it saves


def calling(model):
    """Return a function of named arrays, and the shapes and types of its inputs."""

    def call(inputs):
        with torch.no_grad():
            return {name: value.numpy() for name, value in model(inputs, training=False).items()}

    tensors = {name: value for name, value in model.input.items()}
    return call, {name: (tuple(value.shape[1:]), value.dtype) for name, value in tensors.items()}


def check_same(found, expected, tolerance=1e-6):
    for name, value in expected[0].items():
        assert found[0][name].shape == tuple(value.shape), name
        # float32: sums of a few dozen products of numbers below 10, fed back 50 times through gates that contract
        assert furthest(found, expected, name) <= tolerance * max(1.0, float(np.abs(np.asarray(value)).max())), name


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("space", ["box", "discrete"])
def test_every_policy_acts_as_torch_does(policy, space, tmp_path):
    learned = learned_of(*POLICIES[policy], ACTION_SPACES[space])
    file = bridge.to_keras(learned, tmp_path / "agent.keras")
    model = keras.saving.load_model(file, safe_mode=True)
    world = told(learned, STEPS, ROWS)
    call, inputs = calling(model)
    check_same(by_graph(call, world, inputs), by_torch(learned, world))


@pytest.mark.parametrize("space", sorted(ACTION_SPACES.keys() - {"combined"}))
def test_actions_are_in_the_units_of_every_space(space, tmp_path):
    learned = learned_of("promp", MLPConfig(hidden=(8,)), ACTION_SPACES[space])
    model = keras.saving.load_model(bridge.to_keras(learned, tmp_path / "agent.keras"))
    world = told(learned, 20, 40)
    call, inputs = calling(model)
    found, expected = by_graph(call, world, inputs), by_torch(learned, world)
    check_same(found, expected)
    assert found[0]["action"].dtype.kind == expected[0]["action"].dtype.kind
    assert all(
        learned.interface.action_space.contains(a.astype(expected[0]["action"].dtype)) for a in found[0]["action"]
    )


def test_actions_of_several_parts_are_refused_in_one_line():
    with pytest.raises(InputError, match=r"takes actions of several parts, MultiDiscrete\(\[2 3\]\), .* --to onnx"):
        bridge.keras_model(learned_of("promp", MLPConfig(hidden=(8,)), ACTION_SPACES["combined"]))


def test_the_file_holds_stock_layers_and_operations_alone(tmp_path):
    learned = learned_of("rl2", MemoryConfig(size=4, head="hypernetwork"), ACTION_SPACES["one-sided"])
    with zipfile.ZipFile(bridge.to_keras(learned, tmp_path / "agent.keras")) as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    modules = {layer["module"] for layer in layers}
    assert modules and all(name.startswith("keras.") for name in modules)
    assert not any("Lambda" in layer["class_name"] for layer in layers)


def test_a_trial_that_begins_forgets_all_of_the_one_before(tmp_path):
    learned = learned_of("rl2", MemoryConfig(kind="lstm", size=4, sees_transitions=True), ACTION_SPACES["box"])
    call, inputs = calling(bridge.keras_model(learned))
    rng = np.random.default_rng(0)
    stale = {name: rng.normal(size=(2, *shape)).astype(dtype) for name, (shape, dtype) in inputs.items()}
    blank = {name: np.zeros_like(value) for name, value in stale.items()} | {"observation": stale["observation"]}
    stale["trial_step"] = np.zeros(2, np.int32)
    for name, value in call(blank).items():
        assert np.array_equal(value, call(stale)[name]), name


def test_what_keras_layers_do_not_say_is_one_line(tmp_path, monkeypatch):
    learned = learned_of("rl2", MemoryConfig(kind="transformer", size=8, heads=2, context=64), ACTION_SPACES["box"])
    with pytest.raises(InputError, match=r"transformer memory is nothing that stock Keras layers say.*--to onnx"):
        bridge.keras_model(learned)
    small = learned_of("maml", MLPConfig(hidden=(4,)), ACTION_SPACES["box"])
    with pytest.raises(InputError, match=r"ends in \.keras"):
        bridge.to_keras(small, tmp_path / "agent.h5")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs keras: pip install 'drml\[keras\]'"):
        bridge.to_keras(small, tmp_path / "agent.keras")
    assert not list(tmp_path.iterdir())


def test_an_agent_that_has_adapted_is_written_as_it_is_now():
    learned = learned_of("maml", MLPConfig(hidden=(4,)), ACTION_SPACES["unbounded"])
    agent = MetaAgent(learned).start(num_copies=2)
    rng = np.random.default_rng(0)
    for t in range(20):
        agent.act(rng.normal(size=(2, 3)).astype(np.float32))
        agent.observe(rng.normal(size=2), [False] * 2, [t == 19] * 2)
    agent.adapt()
    obs = rng.normal(size=(2, 3)).astype(np.float32)
    call, _ = calling(bridge.keras_model(adapted(agent)))
    ours, before = call({"observation": obs})["action"], calling(bridge.keras_model(learned))[0]({"observation": obs})
    assert np.abs(ours - agent.act(obs, explore=False)).max() < 1e-6 < np.abs(ours - before["action"]).max()
