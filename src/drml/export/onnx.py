"""Graphs as ONNX models: files that hold all they need, checked, with what they are in their metadata."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from drml.core.errors import InputError
from drml.export.graph import Graph
from drml.export.program import positional_program
from drml.export.quiet import quietly

OPSET = 20
"""Version of ONNX's operators; ONNX Runtime knows it from 1.18 on."""


def check_can_write() -> None:
    """Check, before any work is done, that ONNX models can be written.

    Raises:
        InputError: names the package that is missing and the way to get it.
    """
    from importlib.util import find_spec

    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise InputError(f'an ONNX model needs {package}: pip install "drml[onnx]"')


def model_of(graph: Graph, facts: Mapping[str, Any]) -> bytes:
    """Return the ONNX model of a graph.

    Args:
        graph: see there.
        facts: about the agent, as JSON values; each becomes a property of the model.

    Raises:
        InputError: if `drml[onnx]` is not installed.
    """
    check_can_write()
    import onnx

    program, outputs = positional_program(graph)
    with quietly(), torch.no_grad():
        written = torch.onnx.export(
            program,
            (),
            input_names=list(graph.examples),
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert written is not None
    model = written.model_proto
    _name_axes(model, graph)
    _forget_sources(model)
    model.producer_name, model.doc_string = "drml", graph.about
    meaning = {name: graph.meaning[name] for name in [*graph.examples, *outputs] if name in graph.meaning}
    properties = {"graph": graph.name, "about": graph.about, "meaning": meaning, **facts}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in properties.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _name_axes(model: Any, graph: Graph) -> None:  # noqa: ANN401 — a message of onnx, which is an extra
    """Give axes of any length the names of the graph, in place of the tracer's."""
    named: dict[str, str] = {}
    for given in model.graph.input:
        dims = given.type.tensor_type.shape.dim
        if given.name in graph.rows and dims[0].dim_param:
            named[dims[0].dim_param] = graph.rows[given.name]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in named:
                dim.dim_param = named[dim.dim_param]


def _forget_sources(model: Any) -> None:  # noqa: ANN401
    """Leave out what the exporter notes of the code: lines, paths of the machine, and steps of the tracer."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in _parts(model.graph):
        del part.metadata_props[:]
        part.doc_string = ""


def _parts(graph: Any) -> Iterable[Any]:  # noqa: ANN401
    yield from (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _parts(inner)
