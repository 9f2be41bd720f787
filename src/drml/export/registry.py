"""The formats that an agent can be written in, by name."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.act import folder
from drml.act.learned import Learned
from drml.core.errors import InputError
from drml.core.lookup import look_up
from drml.core.plain_files import kind_of
from drml.export import keras, onnx, program, tensorflow
from drml.export.agent import GRAPHS, facts_of, graphs_of
from drml.export.graph import Graph
from drml.run import durable, rundir


@dataclass(frozen=True)
class Target:
    """A format: the extra that it needs, and the bytes of its files."""

    summary: str
    """One phrase on the files."""
    check: Callable[[], None]
    """Checks, before any work is done, that what writes it is installed."""
    write: Callable[[Learned, Path], Sequence[Path]]
    """Writes an agent to a directory, and returns the files."""


def target_of(name: str) -> Target:
    """Return the format of this name.

    Raises:
        InputError: if there is none; names the closest one.
    """
    return look_up("format", name, TARGETS)


def export(learned: Learned, to: str, out: Path) -> list[Path]:
    """Write what was learned in another format, and return the files.

    Args:
        learned: see there.
        to: name of the format.
        out: a directory; it is made where there is none. Files of the same names in it are replaced.

    Raises:
        InputError: if there is no such format, an extra that it needs is not installed, or the directory is a run's,
            a saved agent's, or holds a graph of another agent that would stay beside the new ones.
        ResourceError: if a file cannot be written.
    """
    target = target_of(to)
    target.check()
    if kind_of(out) not in ("", "a directory"):
        raise InputError(f"{out} is {kind_of(out)}, and an export is several files; name a directory")
    return list(target.write(learned, out))


def _each(files: Callable[[Learned], Mapping[str, bytes]]) -> Callable[[Learned, Path], Sequence[Path]]:
    """Return what writes the files that are made of an agent, by name, each in one step."""

    def write(learned: Learned, out: Path) -> Sequence[Path]:
        written = {out / name: data for name, data in files(learned).items()}
        _check_place(out, list(written))
        for path, data in written.items():
            with durable.writing(path):
                durable.make_directories(path.absolute().parent)
            durable.replace_file(path, data)
        return list(written)

    return write


def _check_place(out: Path, files: Sequence[Path]) -> None:
    """Refuse a directory where files would lie among those of a run, a saved agent, or another learner's export."""
    if rundir.is_kept(out) or kind_of(out / rundir.CONFIG):
        raise InputError(f"{out} belongs to a run or a saved agent; name another directory")
    for file in files:
        for name in GRAPHS:
            other = file.with_name(name + file.suffix)
            if file.stem in GRAPHS and other not in files and kind_of(other):
                raise InputError(f"{out} holds {other.name} of another agent; name another directory")


def _folder(learned: Learned, out: Path) -> Sequence[Path]:
    folder.save(out, learned)
    return sorted(out.iterdir())


def _by_graph(learned: Learned, suffix: str, write: Callable[[Graph, Mapping[str, Any]], bytes]) -> dict[str, bytes]:
    facts = facts_of(learned)
    return {graph.name + suffix: write(graph, facts) for graph in graphs_of(learned)}


def _in_tensorflow(learned: Learned, flag: str, name: str) -> dict[str, bytes]:
    """Return the files that TensorFlow makes of an agent's Keras model."""
    with tempfile.TemporaryDirectory() as place:
        model, made = Path(place) / "agent.keras", Path(place) / name
        model.write_bytes(keras.file_of(learned))
        tensorflow.to_tensorflow(model, **{flag: made})
        found = [made] if made.is_file() else sorted(path for path in made.rglob("*") if path.is_file())
        return {str(path.relative_to(place)): path.read_bytes() for path in found}


TARGETS: dict[str, Target] = {
    "onnx": Target(
        "ONNX models of acting and adapting",
        onnx.check_can_write,
        _each(lambda learned: _by_graph(learned, ".onnx", onnx.model_of)),
    ),
    "torch": Target(
        "programs of torch.export, which torch runs without this package",
        lambda: None,
        _each(lambda learned: _by_graph(learned, ".pt2", program.file_of)),
    ),
    "keras": Target(
        "a Keras model of stock layers, for TensorFlow and torch",
        keras.check_can_write,
        _each(lambda learned: {"agent.keras": keras.file_of(learned)}),
    ),
    "savedmodel": Target(
        "a SavedModel of TensorFlow",
        tensorflow.check_can_write,
        _each(lambda learned: _in_tensorflow(learned, "savedmodel", "savedmodel")),
    ),
    "tflite": Target(
        "a TFLite model",
        tensorflow.check_can_write,
        _each(lambda learned: _in_tensorflow(learned, "tflite", "agent.tflite")),
    ),
    "folder": Target("a folder of safetensors with a model card, as hubs have them", lambda: None, _folder),
}
