"""Graphs as ONNX models: files that hold all they need, checked, with what they are in their metadata."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from drml.core.extras import check_extra
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
    check_extra("an ONNX model", "onnx", "onnx", "onnxscript")


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
            custom_translation_table={torch.ops.aten.gru_cell.default: _gru_cell},
        )
        assert written is not None
        _fold_weights(written.model)
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


def _gru_cell(inputs: Any, hidden: Any, *weights: Any) -> Any:  # noqa: ANN401 — values of onnxscript, an extra
    """Return a step of a gated recurrent unit as one operator of ONNX, whose gates lie as z, r, n, not r, z, n."""
    from onnxscript import opset20

    op: Any = opset20
    size = hidden.shape[-1]
    first = op.Constant(value_ints=[0])
    order = op.Constant(value_ints=[*range(size, 2 * size), *range(size), *range(2 * size, 3 * size)])
    from_inputs, from_hidden, *biases = (op.Gather(weight, order, axis=0) for weight in weights)
    of_one_direction = (op.Unsqueeze(x, first) for x in (from_inputs, from_hidden, op.Concat(*biases, axis=0)))
    row, start = op.Unsqueeze(inputs, first), op.Unsqueeze(hidden, first)
    _, last = op.GRU(row, *of_one_direction, None, start, hidden_size=size, linear_before_reset=1)
    return op.Squeeze(last, first)


def _fold_weights(model: Any) -> None:  # noqa: ANN401
    """Compute now what only lays weights out in another way, which runtimes would do at each call."""
    from onnxscript import optimizer

    optimizer.fold_constants(
        model,
        input_size_limit=2**31,
        output_size_limit=2**31,
        should_fold=lambda node: node.op_type in ("Gather", "Concat", "Unsqueeze"),
    )
    optimizer.remove_unused_nodes(model)


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
