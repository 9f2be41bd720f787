"""Graphs as programs of `torch.export`: files that torch runs alone, without this package.

act = torch.export.load("act.pt2").module()
action = act({"observation": torch.zeros(1, 4)})["action"]
"""

import io
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from drml.export.graph import Graph
from drml.export.quiet import quietly

SOURCES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")
"""Notes of the tracer on the code that it saw: lines, and paths of the machine."""


def file_of(graph: Graph, facts: Mapping[str, Any]) -> bytes:
    """Return the bytes of a program's file, a `.pt2`.

    Args:
        graph: see there.
        facts: about the agent, as JSON values; they are the file's extra file `facts.json`.
    """
    file = io.BytesIO()
    about = {"graph": graph.name, "about": graph.about, "meaning": dict(graph.meaning), **facts}
    program = program_of(graph)
    for node in program.graph.nodes:
        for note in SOURCES:
            node.meta.pop(note, None)
    with quietly():
        torch.export.save(program, file, extra_files={"facts.json": json.dumps(about)})
    return file.getvalue()


def program_of(graph: Graph) -> ExportedProgram:
    """Return a graph as a program from a dictionary of the inputs to one of the outputs."""
    shapes: dict[str, Any] = {name: _shape(graph, name) for name in graph.examples}
    examples = {name: value.clone() for name, value in graph.examples.items()}
    with quietly(), torch.no_grad():
        return torch.export.export(graph.module, (examples,), dynamic_shapes=(shapes,) if shapes else None)


def positional_program(graph: Graph) -> tuple[ExportedProgram, list[str]]:
    """Return a graph as a program from the inputs in a row to the outputs in a row, and the outputs' names."""
    flat = _InARow(graph.module, tuple(graph.examples))
    examples = tuple(value.clone() for value in graph.examples.values())
    shapes = tuple(_shape(graph, name) for name in graph.examples)
    with quietly(), torch.no_grad():
        names = list(graph.module(dict(graph.examples)))
        return torch.export.export(flat, examples, dynamic_shapes=(shapes,) if shapes else None), names


class _InARow(nn.Module):
    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.policy, self._names = module, names

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        outputs: dict[str, Tensor] = self.policy(dict(zip(self._names, values, strict=True)))
        return tuple(outputs.values())


def _shape(graph: Graph, name: str) -> dict[int, Any] | None:
    return {0: Dim.DYNAMIC} if name in graph.rows else None
