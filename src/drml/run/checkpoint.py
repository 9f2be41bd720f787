"""Checkpoints: a tree of tensors and a few facts, published whole or not at all, and never loaded wrong.

    directory/
        meta_iter-20/
            state.safetensors    the tree's leaves by path
            facts.json           whatever else a run needs to go on
            manifest.json        format, serial number, size and sha256 of the other two, and of itself

A checkpoint is written under a temporary name, synced file by file, and takes its name in one rename; no name is ever
overwritten. There is no pointer to the latest one that could be wrong: the newest checkpoint is the one of the highest
serial number whose files are what its manifest says. Loading reads JSON and safetensors only, so a file can hold
wrong numbers but never code; a single flipped bit is an error.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from drml.core.errors import CheckpointError, InputError, ResourceError
from drml.core.fields import parse_json
from drml.core.plain_files import kind_of, open_plain
from drml.core.tree import Tree, tree_leaves
from drml.run.rundir import JSON, make_directories, sync_directory, write_durably, writing

FORMAT = 1
STATE, FACTS, MANIFEST = "state.safetensors", "facts.json", "manifest.json"

_MAX_MANIFEST_BYTES = 4096
_MAX_HEADER_BYTES = 4 << 20  # about 40 000 leaves
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LEFTOVERS = (".tmp-", ".trash-")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    """What a manifest promises about one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class _Manifest:
    """A checkpoint's place in time and the files it consists of."""

    path: Path
    serial: int
    files: dict[str, _Entry]


def save(directory: Path, name: str, tree: Tree, facts: Mapping[str, JSON]) -> Path:
    """Publish `tree` and `facts` as the checkpoint `directory/name` in one step, and return its path.

    A checkpoint of that name that is damaged is set aside as `.damaged-name-pid`, with a warning. One process at a
    time writes to a directory: the caller holds the run's lock.

    Raises:
        InputError: if the name is taken or unfit, or something cannot be stored.
        ResourceError: if the disk is full or closed to us; earlier checkpoints are untouched.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a checkpoint: use letters, digits and _ . = + -, first a letter or digit"
        )
    contents = {STATE: _encode_tree(tree), FACTS: _encode_facts(facts)}
    target = directory / name
    with writing(target, sum(map(len, contents.values()))):
        make_directories(directory)
        _sweep(directory)
        _clear_name(target)
        manifests, damaged = _catalogue(directory)
        # One more than the highest, and one more for each that is hidden by what may be a passing failure to read.
        serial = 1 + max((found.serial for found in manifests), default=0) + len(damaged)
        contents[MANIFEST] = _encode_manifest(contents, serial)
        _publish(target, contents)
    return target


def load(path: Path, like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Return the tree and the facts of a checkpoint, bit for bit as they were saved.

    The tree has the structure and the devices of `like`, whose leaf names, shapes and dtypes must be the ones saved.

    Raises:
        CheckpointError: if there is none, a bit of it is damaged, its format is newer, or it does not fit `like`.
    """
    manifest = _read_manifest(path)
    facts = _parse_json(path / FACTS, _verified_bytes(manifest, FACTS))
    leaves = _decode_leaves(path / STATE, _verified_bytes(manifest, STATE))
    _check_fit(path, leaves, _leaves_by_path(like))
    return _arrange(like, leaves), facts


def newest(directory: Path) -> Path | None:
    """Return the newest sound checkpoint of a directory, or None where there is none at all.

    Damaged checkpoints are skipped with one line of warning each.

    Raises:
        CheckpointError: if there are checkpoints but none of them is sound.
    """
    manifests, damaged = _catalogue(directory)
    for error in damaged:
        _log.warning("skipping a damaged checkpoint: %s", error)
    for manifest in manifests:
        try:
            _verify(manifest)
        except CheckpointError as error:
            _log.warning("skipping a damaged checkpoint: %s", error)
            damaged.append(error)
        else:
            return manifest.path
    if damaged:
        raise CheckpointError(
            f"{directory}: none of its {len(damaged)} checkpoints is sound; one reason: {damaged[-1]}"
        )
    return None


def is_sound(path: Path) -> bool:
    """Return whether `path` is a checkpoint of which every bit is as it was written."""
    try:
        _verify(_read_manifest(path))
    except CheckpointError:
        return False
    return True


def prune(directory: Path, keep: int, keep_names: set[str]) -> None:
    """Delete all checkpoints but the `keep` newest sound ones, read back before anything goes, and `keep_names`.

    Raises:
        InputError: if `keep` is less than 1.
        ResourceError: if something cannot be deleted.
    """
    if keep < 1:
        raise InputError(f"keep is {keep}, expected at least 1 checkpoint")
    manifests, _ = _catalogue(directory)
    surplus: list[Path] = []
    num_sound = 0
    for manifest in manifests:
        if num_sound == keep:
            surplus.append(manifest.path)
        else:
            num_sound += is_sound(manifest.path)
    with writing(directory):
        for path in reversed(surplus):  # oldest first
            if path.name not in keep_names:
                trash = directory / f".trash-{path.name}-{os.getpid()}"
                os.rename(path, trash)  # at once no longer a checkpoint, even if the deletion is cut short
                shutil.rmtree(trash)


def _leaves_by_path(tree: Tree) -> dict[str, Tensor]:
    """Return a tree's leaves by path; a path that two leaves share, or safetensors itself, is refused."""
    leaves = list(tree_leaves(tree))
    for path, count in Counter(path for path, _ in leaves).items():
        if count > 1 or path == "__metadata__":
            raise InputError(f"a tree with the leaf path {path!r} cannot be stored: the path is taken")
    return dict(leaves)


def _encode_tree(tree: Tree) -> bytes:
    """Return a tree's leaves as the bytes of a safetensors file; the same numbers give the same bytes."""
    # Copies, because safetensors refuses views of one memory; in row-major order, whatever the strides were.
    own = {
        path: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for path, value in _leaves_by_path(tree).items()
    }
    try:
        data = safetensors.torch.save(own)
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        kinds = sorted({str(value.dtype) for value in own.values()})
        raise InputError(f"the tree cannot be stored, its dtypes are {', '.join(kinds)}: {_one_line(error)}") from error
    if int.from_bytes(data[:8], "little") > _MAX_HEADER_BYTES:
        raise InputError(
            f"a tree of {len(own)} leaves cannot be stored: its names take more than {_MAX_HEADER_BYTES} bytes"
        )
    return data


def _encode_facts(facts: Mapping[str, JSON]) -> bytes:
    """Return facts as JSON; a number that is not finite is refused, since null would come back for it."""
    try:
        return (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the facts of a checkpoint must be finite JSON values: {_one_line(error)}") from error


def _encode_manifest(contents: dict[str, bytes], serial: int) -> bytes:
    files = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()}
    fields = {"format": FORMAT, "serial": serial, "files": files}
    return (json.dumps({**fields, "sha256": _fields_sha256(fields)}, indent=2) + "\n").encode()


def _fields_sha256(fields: Mapping[str, Any]) -> str:
    """Return the sha256 of a manifest's other fields, so that no bit of a manifest goes unguarded either."""
    others = {key: value for key, value in fields.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def _publish(target: Path, contents: dict[str, bytes]) -> None:
    """Make the directory `target` out of whole files: file, file, manifest, directory, one rename, parent."""
    draft = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    try:
        os.mkdir(draft)
        for name, data in contents.items():
            write_durably(draft / name, data)
        sync_directory(draft)
        os.rename(draft, target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_directory(target.parent)


def _sweep(directory: Path) -> None:
    """Delete what an interrupted save or prune has left."""
    for path in list(directory.iterdir()):
        if path.name.startswith(_LEFTOVERS) and _is_own_directory(path):
            shutil.rmtree(path)


def _is_own_directory(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _clear_name(target: Path) -> None:
    """See that no checkpoint has this name: a sound one is an error, whatever else has it is set aside as it is."""
    if not (found := kind_of(target)):
        return
    try:
        if found != "a directory":
            raise CheckpointError(f"it is {found}, expected a directory")
        _verify(_read_manifest(target))
    except CheckpointError as error:
        aside = target.with_name(f".damaged-{target.name}-{os.getpid()}")
        _log.warning("setting a damaged checkpoint aside as %s: %s", aside, error)
        os.rename(target, aside)
    else:
        raise InputError(f"{target} exists already, and a checkpoint is never overwritten; choose another name")


def _catalogue(directory: Path) -> tuple[list[_Manifest], list[CheckpointError]]:
    """Return the checkpoints of a directory, newest first, and what is wrong with those whose place is unknown."""
    manifests: list[_Manifest] = []
    damaged: list[CheckpointError] = []
    try:
        found = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise CheckpointError(f"{directory} cannot be read: {error.strerror}") from error
    for path in filter(_is_own_directory, found):
        try:
            manifests.append(_read_manifest(path))
        except CheckpointError as error:
            damaged.append(error)
    return sorted(manifests, key=lambda manifest: manifest.serial, reverse=True), damaged


def _read_manifest(path: Path) -> _Manifest:
    """Return a checkpoint's manifest; anything in it that this version did not write is an error."""
    where = path / MANIFEST
    if not os.path.isdir(path):
        raise CheckpointError(f"{path}: there is no such checkpoint")
    fields = _parse_json(where, _read(where, lambda size: size <= _MAX_MANIFEST_BYTES))
    version, serial, files = fields.get("format"), fields.get("serial"), fields.get("files")
    if type(version) is int and version > FORMAT:
        raise CheckpointError(f"{path} has format {version}, this drml reads up to {FORMAT}; use a newer drml")
    if type(version) is not int or version != FORMAT or fields.get("sha256") != _fields_sha256(fields):
        raise CheckpointError(f"{where} is damaged: it is not a whole manifest of format {FORMAT}")
    if type(serial) is not int or not isinstance(files, dict) or set(files) != {STATE, FACTS} or len(fields) != 4:
        raise CheckpointError(f"{where} is damaged: expected a serial number and the files {STATE} and {FACTS}")
    return _Manifest(path, serial, {name: _read_entry(where, entry) for name, entry in files.items()})


def _read_entry(where: Path, entry: Any) -> _Entry:  # noqa: ANN401 — whatever a JSON file may hold
    if isinstance(entry, dict) and set(cast("dict[str, Any]", entry)) == {"size", "sha256"}:
        size, sha256 = entry["size"], entry["sha256"]
        if type(size) is int and size >= 0 and isinstance(sha256, str) and _SHA256.fullmatch(sha256):
            return _Entry(size, sha256)
    raise CheckpointError(f"{where} is damaged: expected a size and a sha256 for each file")


def _verify(manifest: _Manifest) -> None:
    for name in manifest.files:
        _verified_bytes(manifest, name)


def _verified_bytes(manifest: _Manifest, name: str) -> bytes:
    """Return a file's bytes, which are the very bytes that the manifest was written for."""
    path, entry = manifest.path / name, manifest.files[name]
    data = _read(path, lambda size: size == entry.size)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise CheckpointError(f"{path} is damaged: its sha256 is not the one in the manifest")
    return data


def _read(path: Path, is_right_size: Callable[[int], bool]) -> bytes:
    """Return the bytes of a regular file; links, pipes and files of a wrong size are refused unread."""
    try:
        with open(open_plain(path, os.O_RDONLY), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not is_right_size(size):
                raise CheckpointError(f"{path} is damaged: {size} bytes are not what was written")
            return file.read()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise ResourceError(f"{path} does not fit in memory") from error


def _parse_json(where: Path, data: bytes) -> dict[str, Any]:
    """Return a JSON object."""
    try:
        value = parse_json(data)
    except ValueError as error:
        raise CheckpointError(f"{where} is damaged: {_one_line(error)}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{where} is damaged: expected a JSON object")
    return cast("dict[str, Any]", value)


def _decode_leaves(where: Path, data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, whose header is read with suspicion first."""
    header_size = int.from_bytes(data[:8], "little")
    if header_size > min(_MAX_HEADER_BYTES, len(data) - 8):
        raise CheckpointError(f"{where} is damaged: it announces a header of {header_size} bytes")
    _parse_json(where, data[8 : 8 + header_size])
    try:
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{where} is damaged: {_one_line(error)}") from error


def _check_fit(path: Path, leaves: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
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


def _arrange(like: Tree, leaves: dict[str, Tensor], prefix: str = "") -> Tree:
    """Return the leaves in the structure of `like` and on its devices; empty branches come from `like` too."""
    return {
        key: _arrange(value, leaves, f"{prefix}{key}/")
        if isinstance(value, dict)
        else leaves[f"{prefix}{key}"].to("cpu" if value.is_meta else value.device)
        for key, value in like.items()
    }


def _one_line(error: BaseException) -> str:
    return shorten(" ".join(str(error).split()), width=160, placeholder=" …")
