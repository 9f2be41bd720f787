"""Files of an export: whole, private, and good for programs that do not know this package."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from drml.core.errors import InputError, ResourceError
from drml.export.acting import acting_graph
from drml.export.agent import graphs_of
from drml.export.graph import Graph, Weights
from drml.export.onnx import model_of
from drml.export.registry import export

from .models import BOX, OBS, Model, agent_of, learned_of

ALL = ["act", "sample", "parameters", "act_with_parameters", "adapt"]


@pytest.fixture(scope="module")
def learned():
    return learned_of("maml")


@pytest.fixture(scope="module")
def models(learned, tmp_path_factory) -> dict[str, Path]:
    return {path.stem: path for path in export(learned, "onnx", tmp_path_factory.mktemp("onnx") / "new" / "folder")}


@pytest.fixture(scope="module")
def programs(learned, tmp_path_factory) -> dict[str, Path]:
    return {path.stem: path for path in export(learned, "torch", tmp_path_factory.mktemp("torch"))}


def test_an_export_is_all_graphs_and_nothing_beside_them(models, programs):
    for files, suffix in ((models, ".onnx"), (programs, ".pt2")):
        folder = files["act"].parent
        assert list(files) == ALL
        assert sorted(path.name for path in folder.iterdir()) == sorted(name + suffix for name in ALL)


def test_a_model_stands_alone(models):
    for path in models.values():
        model = onnx.load(path, load_external_data=False)
        assert not any(value.external_data for value in model.graph.initializer)
        assert Model(path.read_bytes()).outputs


def test_no_name_is_given_twice_in_a_model(models):
    for path in models.values():
        model = onnx.load(path)
        made = [name for node in model.graph.node for name in node.output]
        assert len(made) == len(set(made))
        outputs = {value.name for value in model.graph.output}
        assert not outputs & {value.name for value in model.graph.input}


def test_a_parameter_may_be_named_as_an_output_is():
    class Shifted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = Weights({"action_mean": torch.tensor([1.0, 2.0]), "action_mean_": torch.tensor(1.0)})

        def forward(self, inputs):
            return {"action_mean": inputs["observation"] + self.weights()["action_mean"]}

    graph = Graph("act", "", Shifted(), {"observation": torch.zeros(2, 2)}, {"observation": "batch"}, {})
    assert Model(graph)(observation=[[1.0, 1.0]])["action_mean"].tolist() == [[2.0, 3.0]]


def test_inputs_that_are_one_tensor_in_the_example_are_two_in_the_graph():
    class Difference(torch.nn.Module):
        def forward(self, inputs):
            return {"difference": inputs["a"] - inputs["b"]}

    same = torch.zeros(2)
    graph = Graph("difference", "", Difference(), {"a": same, "b": same}, {"a": "batch", "b": "batch"}, {})
    assert Model(graph)(a=[3.0], b=[1.0])["difference"].tolist() == [2.0]


def test_files_say_what_they_are_and_nothing_of_this_machine(models, programs, learned):
    for name, path in models.items():
        facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert facts["graph"] == name and facts["learner"] == "maml" and facts["suite"] == learned.config.suite
        assert json.loads(facts["action_space"])["type"] == "Box" and facts["horizon"] == "50"
        meaning = json.loads(facts["meaning"])
        model = Model(path.read_bytes())
        told = {given for given in (*model.inputs, *model.outputs) if not given.startswith(("parameter.", "adapted."))}
        assert set(meaning) == told
    extra = {"facts.json": ""}
    torch.export.load(programs["adapt"], extra_files=extra)
    assert json.loads(extra["facts.json"])["learner"] == "maml"
    for path in (*models.values(), *programs.values()):
        data = path.read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in data and sys.prefix.encode() not in data


def test_a_memory_s_axes_and_meaning_are_told(tmp_path: Path):
    [act, _] = export(learned_of("rl2"), "onnx", tmp_path)
    model = Model(act.read_bytes())
    assert {name: given.shape for name, given in model.inputs.items()} == {
        "observation": ["batch", OBS],
        "previous_action": ["batch", 3],
        "reward": ["batch"],
        "ended": ["batch"],
        "memory_hidden": ["batch", 8],
        "trial_step": ["batch"],
    }
    meaning = json.loads({entry.key: entry.value for entry in onnx.load(act).metadata_props}["meaning"])
    assert set(meaning) == {*model.inputs, *model.outputs}


def test_the_same_agent_is_the_same_bytes(models, learned, tmp_path: Path):
    again = export(learned, "onnx", tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in models.values()]


ALONE = """
import sys, torch
program = torch.export.load(sys.argv[1]).module()
for batch in (1, 3, 257):
    inputs = {name: shape for name, shape in eval(sys.argv[2]).items()}
    outputs = program({name: make(batch) for name, make in inputs.items()})
    print([round(float(x), 6) for x in outputs["action"].double().sum(0).flatten()])
assert "drml" not in sys.modules
"""


@pytest.mark.parametrize("learner", ["maml", "rl2"])
def test_a_program_acts_in_a_process_of_its_own_with_torch_alone(learner: str, tmp_path: Path):
    learned = learned_of(learner)
    act = export(learned, "torch", tmp_path)[0]
    graph = graphs_of(learned)[0]
    makers = {
        name: "lambda n: torch.full((n, *" + str(tuple(value.shape[1:])) + "), 1).to(" + str(value.dtype) + ")"
        for name, value in graph.examples.items()
    }
    words = "{" + ", ".join(f"{name!r}: {maker}" for name, maker in makers.items()) + "}"
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(act), words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert not done.returncode, done.stderr
    for line, batch in zip(done.stdout.splitlines(), (1, 3, 257), strict=True):
        ones = {
            name: torch.ones((batch, *value.shape[1:]), dtype=value.dtype) for name, value in graph.examples.items()
        }
        with torch.no_grad():
            expected = graph.module(ones)["action"].double().sum(0).flatten()
        np.testing.assert_allclose(json.loads(line), expected, rtol=0.0, atol=1e-6 * batch)


def test_a_program_adapts_as_the_graph_does(programs, learned):
    graph = next(graph for graph in graphs_of(learned) if graph.name == "adapt")
    inputs = {name: value.clone() for name, value in graph.examples.items()}
    inputs |= {"observations": torch.ones(9, OBS), "actions": torch.ones(9, 3), "weights": torch.full((9,), 1 / 9)}
    inputs["advantages"] = torch.linspace(-1.0, 1.0, 9)
    found = torch.export.load(programs["adapt"]).module()(inputs)
    for name, value in graph.module(inputs).items():
        torch.testing.assert_close(found[name], value, rtol=0.0, atol=1e-7)


def test_bad_exports_are_one_line(learned, tmp_path: Path, monkeypatch):
    with pytest.raises(InputError, match=r"^unknown format 'onx'\. Did you mean 'onnx'\?$"):
        export(learned, "onx", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, and an export is several files; name a directory"):
        export(learned, "torch", tmp_path / "file")
    with pytest.raises(ResourceError, match=r"^cannot write "):
        export(learned, "torch", tmp_path / "file" / "below")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'^an ONNX model needs onnx: pip install "drml\[onnx\]"$'):
        export(learned, "onnx", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_export_replaces_the_files_of_an_earlier_one(learned, tmp_path: Path):
    (tmp_path / "act.pt2").write_text("old")
    (tmp_path / "mine.txt").write_text("kept")
    export(learned, "torch", tmp_path)
    assert torch.export.load(tmp_path / "act.pt2") and (tmp_path / "mine.txt").read_text() == "kept"


def test_a_policy_of_any_box_is_exported_in_its_units(tmp_path: Path):
    learned = learned_of("maml", BOX)
    act = Model(export(learned, "onnx", tmp_path)[0].read_bytes())
    outputs = act(observation=1e3 * np.ones((1, OBS)))
    assert BOX.contains(outputs["action"][0])


def test_a_gru_is_one_operator_with_its_weights_laid_out_beforehand():
    agent = agent_of("gru/linear", BOX)
    data = model_of(acting_graph(agent.policy, agent.actions, OBS, agent.params, with_parameters=False), {})
    graph = onnx.load_from_string(data).graph
    first, second = (node for node in graph.node if node.op_type == "GRU")
    constants = {value.name: onnx.numpy_helper.to_array(value) for value in graph.initializer}
    for layer, gru in enumerate((first, second)):
        reset, update, candidate = np.split(agent.params[f"memory.layer{layer}.weight_hh"].numpy(), 3)
        np.testing.assert_array_equal(constants[gru.input[2]][0], np.concatenate([update, reset, candidate]))
    assert not {"Split", "Gather"} & {node.op_type for node in graph.node}
