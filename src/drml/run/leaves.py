"""A tree of tensors as the bytes of a safetensors file, and back: the same numbers give the same bytes."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from drml.core.errors import CheckpointError, InputError
from drml.core.printable import in_short
from drml.core.tree import Tree, tree_leaves
from drml.run.sealed import parsed

_MAX_HEADER_BYTES = 4 << 20  # about 40 000 leaves


def leaves_by_path(tree: Tree) -> dict[str, Tensor]:
    """Return a tree's leaves by path; a path that two leaves share, or safetensors itself, is refused."""
    leaves = list(tree_leaves(tree))
    for path, count in Counter(path for path, _ in leaves).items():
        if count > 1 or path == "__metadata__":
            raise InputError(f"a tree with the leaf path {path!r} cannot be stored: the path is taken")
    return dict(leaves)


def encode_tree(tree: Tree) -> bytes:
    """Return a tree's leaves as the bytes of a safetensors file; the same numbers give the same bytes."""
    # Copies, because safetensors refuses views of one memory; in row-major order, whatever the strides were.
    own = {
        path: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for path, value in leaves_by_path(tree).items()
    }
    try:
        data = safetensors.torch.save(own)
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        kinds = sorted({str(value.dtype) for value in own.values()})
        raise InputError(f"the tree cannot be stored, its dtypes are {', '.join(kinds)}: {in_short(error)}") from error
    if int.from_bytes(data[:8], "little") > _MAX_HEADER_BYTES:
        raise InputError(
            f"a tree of {len(own)} leaves cannot be stored: its names take more than {_MAX_HEADER_BYTES} bytes"
        )
    return data


def decode_leaves(where: Path, data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file in order of their names; its header is read with suspicion first."""
    header_size = int.from_bytes(data[:8], "little")
    if header_size > min(_MAX_HEADER_BYTES, len(data) - 8):
        raise CheckpointError(f"{where} is damaged: it announces a header of {header_size} bytes")
    parsed(where, data[8 : 8 + header_size])
    try:
        return dict(sorted(safetensors.torch.load(data).items()))  # the library's own order is another every time
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{where} is damaged: {in_short(error)}") from error


def check_leaves(path: Path, leaves: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Check that the leaves saved are the leaves wanted, by name, shape and dtype."""
    wrong = [
        f"leaf {name!r}: expected {_kind(expected.get(name))}, found {_kind(leaves.get(name))}"
        for name in (*expected, *(name for name in leaves if name not in expected))
        if _kind(expected.get(name)) != _kind(leaves.get(name))
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise CheckpointError(f"{path} belongs to something else: {wrong[0]}{more}")


def _kind(value: Tensor | None) -> str:
    return "none" if value is None else f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def arranged(like: Tree, leaves: dict[str, Tensor], prefix: str = "") -> Tree:
    """Return the leaves in the structure of `like` and on its devices; empty branches come from `like` too."""
    return {
        key: arranged(value, leaves, f"{prefix}{key}/")
        if isinstance(value, dict)
        else leaves[f"{prefix}{key}"].to("cpu" if value.is_meta else value.device)
        for key, value in like.items()
    }


def as_tree(leaves: Mapping[str, Tensor]) -> Tree:
    """Return leaves by path as the tree that has them.

    Raises:
        CheckpointError: if one lies below another.
    """
    tree: Tree = {}
    for path, value in leaves.items():
        *branches, name = path.split("/")
        node: Tensor | Tree = tree
        for branch in branches:
            node = node.setdefault(branch, {}) if isinstance(node, dict) else node
        if not isinstance(node, dict) or name in node:
            raise CheckpointError(f"no tree has the leaf path {path!r} beside its others")
        node[name] = value
    return tree
