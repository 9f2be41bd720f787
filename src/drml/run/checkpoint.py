"""Checkpoints: a tree of tensors and a few facts, published whole or not at all, and never loaded wrong.

    directory/
        meta_iter-20/
            state.safetensors    the tree's leaves by path
            facts.json           whatever else a run needs to go on
            grown-N-….safetensors   segment N of what grows, if anything does: a link to that of the checkpoint before
            manifest.json        format, serial number, size and sha256 of the others, and of itself

A checkpoint is written under a temporary name, synced file by file, and takes its name in one rename; no name is ever
overwritten. There is no pointer to the latest one that could be wrong: the newest checkpoint is the one of the highest
serial number whose files are what its manifest says. Loading reads JSON and safetensors only, so a file can hold
wrong numbers but never code; a single flipped bit is an error.
"""

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from drml.core.errors import CheckpointError, InputError
from drml.core.plain_files import kind_of
from drml.core.printable import in_short
from drml.core.segments import Grown, Segment
from drml.core.tree import Tree
from drml.run.durable import JSON, make_directories, writing
from drml.run.leaves import arranged, as_tree, check_leaves, decode_leaves, encode_tree, leaves_by_path
from drml.run.publication import publish
from drml.run.sealed import (
    FACTS,
    GROWN,
    MANIFEST,
    STATE,
    Entry,
    Manifest,
    encode_manifest,
    entry_of,
    parsed,
    read_manifest,
    verified_bytes,
    verify,
)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,127}")
_LEFTOVERS = (".tmp-", ".trash-")
_log = logging.getLogger(__name__)


def save(directory: Path, name: str, tree: Tree, facts: Mapping[str, JSON], grown: Grown = ()) -> Path:
    """Publish `tree`, `facts` and what has `grown` as the checkpoint `directory/name` in one step; return its path.

    A segment that a sound checkpoint holds already is linked, where the file system can.

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
    contents = {STATE: encode_tree(tree), FACTS: _encode_facts(facts)}
    target = directory / name
    with writing(target):
        make_directories(directory)
        _sweep(directory)
        _clear_name(target)
    manifests, damaged = _catalogue(directory)
    held = _segments_of(manifests)
    links: dict[str, Path] = {}
    entries = {file: entry_of(data) for file, data in contents.items()}
    for segment in grown:
        file, entry, data = _named(segment)
        entries[file] = entry
        if file in held and held[file].files[file] == entry and _is_whole(held[file], file):
            links[file] = held[file].path / file
        else:
            contents[file] = data or encode_tree(segment.tree)
    with writing(target, sum(map(len, contents.values()))):
        # One more than the highest, and one more for each that is hidden by what may be a passing failure to read.
        serial = 1 + max((found.serial for found in manifests), default=0) + len(damaged)
        contents[MANIFEST] = encode_manifest(entries, serial)
        publish(target, contents, links)
    return target


def load(path: Path, like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Return the tree and the facts of a checkpoint, bit for bit as they were saved.

    The tree has the structure and the devices of `like`, whose leaf names, shapes and dtypes must be the ones saved.

    Raises:
        CheckpointError: if there is none, a bit of it is damaged, its format is newer, or it does not fit `like`.
    """
    manifest = read_manifest(path)
    facts = parsed(path / FACTS, verified_bytes(manifest, FACTS))
    leaves = decode_leaves(path / STATE, verified_bytes(manifest, STATE))
    check_leaves(path, leaves, leaves_by_path(like))
    return arranged(like, leaves), facts


def load_branch(path: Path, name: str, like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Return one branch of a checkpoint's tree, by name, and its facts; what else it holds is not decoded further.

    Raises:
        CheckpointError: if there is none, a bit of it is damaged, or the branch does not fit `like`.
    """
    manifest = read_manifest(path)
    facts = parsed(path / FACTS, verified_bytes(manifest, FACTS))
    leaves = decode_leaves(path / STATE, verified_bytes(manifest, STATE))
    own = {leaf[len(name) + 1 :]: value for leaf, value in leaves.items() if leaf.startswith(f"{name}/")}
    check_leaves(path, own, leaves_by_path(like))
    return arranged(like, own), facts


def load_grown(path: Path) -> Grown:
    """Return what had grown when a checkpoint was saved, in order.

    Raises:
        CheckpointError: if there is none, or a bit of it is damaged.
    """
    manifest = read_manifest(path)
    segments: list[Segment] = []
    for name in sorted(set(manifest.files) - {STATE, FACTS}):
        leaves = decode_leaves(path / name, verified_bytes(manifest, name))
        segments.append(Segment(int(name.split("-")[1]), as_tree(leaves)))
        _NAMED[segments[-1]] = (name, manifest.files[name])
    return tuple(segments)


_NAMED: WeakKeyDictionary[Segment, tuple[str, Entry]] = WeakKeyDictionary()
"""Segments whose file's name is known: a hash of its content takes reading all of it."""


def _named(segment: Segment) -> tuple[str, Entry, bytes | None]:
    """Return what a segment's file is called, what a manifest says of it, and its bytes where that took encoding it."""
    if segment in _NAMED:
        return *_NAMED[segment], None
    entry = entry_of(data := encode_tree(segment.tree))
    _NAMED[segment] = (f"grown-{segment.number:08d}-{entry.sha256[:16]}.safetensors", entry)
    return *_NAMED[segment], data


def _segments_of(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Return for each segment's file the newest checkpoint that holds it."""
    return {name: manifest for manifest in reversed(manifests) for name in manifest.files if GROWN.fullmatch(name)}


def _is_whole(manifest: Manifest, name: str) -> bool:
    try:
        verified_bytes(manifest, name)
    except CheckpointError:
        return False
    return True


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
            verify(manifest)
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
        verify(read_manifest(path))
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


def _encode_facts(facts: Mapping[str, JSON]) -> bytes:
    """Return facts as JSON; a number that is not finite is refused, since null would come back for it."""
    try:
        return (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the facts of a checkpoint must be finite JSON values: {in_short(error)}") from error


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
        verify(read_manifest(target))
    except CheckpointError as error:
        aside = target.with_name(f".damaged-{target.name}-{os.getpid()}")
        _log.warning("setting a damaged checkpoint aside as %s: %s", aside, error)
        os.rename(target, aside)
    else:
        raise InputError(f"{target} exists already, and a checkpoint is never overwritten; choose another name")


def _catalogue(directory: Path) -> tuple[list[Manifest], list[CheckpointError]]:
    """Return the checkpoints of a directory, newest first, and what is wrong with those whose place is unknown."""
    manifests: list[Manifest] = []
    damaged: list[CheckpointError] = []
    try:
        found = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise CheckpointError(f"{directory} cannot be read: {error.strerror}") from error
    for path in filter(_is_own_directory, found):
        try:
            manifests.append(read_manifest(path))
        except CheckpointError as error:
            damaged.append(error)
    return sorted(manifests, key=lambda manifest: manifest.serial, reverse=True), damaged
