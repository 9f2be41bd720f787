"""Sealed files: a manifest gives the size and sha256 of each, and its own, so that one flipped bit is an error."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from drml.core.errors import CheckpointError, ResourceError
from drml.core.fields import parse_json
from drml.core.plain_files import open_plain
from drml.core.printable import in_short

FORMAT = 1
STATE, FACTS, MANIFEST = "state.safetensors", "facts.json", "manifest.json"

GROWN = re.compile(r"grown-[0-9]{8}-[0-9a-f]{16}\.safetensors")

_MAX_MANIFEST_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Contents:
    """Files that a sealed directory of some kind consists of, its manifest apart."""

    what: str
    """Name of the kind, for complaints."""
    always: tuple[str, ...]
    also: re.Pattern[str]
    """Names of files that may be there too."""

    def are(self, names: set[str]) -> bool:
        """Return whether these are the files of such a directory."""
        return names >= set(self.always) and all(self.also.fullmatch(name) for name in names - set(self.always))


CHECKPOINT = Contents("checkpoint", (STATE, FACTS), GROWN)


@dataclass(frozen=True)
class Entry:
    """Promise of a manifest about one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A sealed directory's place in time and the files it consists of."""

    path: Path
    serial: int
    files: dict[str, Entry]


def entry_of(data: bytes) -> Entry:
    """Return what a manifest promises about a file of these bytes."""
    return Entry(len(data), hashlib.sha256(data).hexdigest())


def encode_manifest(entries: Mapping[str, Entry], serial: int) -> bytes:
    """Return the manifest of some files as JSON."""
    files = {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in entries.items()}
    fields = {"format": FORMAT, "serial": serial, "files": files}
    return (json.dumps({**fields, "sha256": _fields_sha256(fields)}, indent=2) + "\n").encode()


def _fields_sha256(fields: Mapping[str, Any]) -> str:
    """Return the sha256 of a manifest's other fields, so that no bit of a manifest goes unguarded either."""
    others = {key: value for key, value in fields.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def read_manifest(path: Path, contents: Contents = CHECKPOINT) -> Manifest:
    """Return the manifest of a sealed directory; anything in it that this version did not write is an error."""
    where = path / MANIFEST
    if not os.path.isdir(path):
        raise CheckpointError(f"{path}: there is no such {contents.what}")
    fields = parsed(where, _read(where, lambda size: size <= _MAX_MANIFEST_BYTES))
    version, serial, files = fields.get("format"), fields.get("serial"), fields.get("files")
    if type(version) is int and version > FORMAT:
        raise CheckpointError(f"{path} has format {version}, this drml reads up to {FORMAT}; use a newer drml")
    if type(version) is not int or version != FORMAT or fields.get("sha256") != _fields_sha256(fields):
        raise CheckpointError(f"{where} is damaged: it is not a whole manifest of format {FORMAT}")
    if type(serial) is not int or not isinstance(files, dict) or not contents.are(set(files)) or len(fields) != 4:
        expected = " and ".join(contents.always)
        raise CheckpointError(f"{where} is damaged: expected a serial number and the files {expected}")
    return Manifest(path, serial, {name: _read_entry(where, entry) for name, entry in files.items()})


def _read_entry(where: Path, entry: Any) -> Entry:  # noqa: ANN401 — whatever a JSON file may hold
    if isinstance(entry, dict) and set(cast("dict[str, Any]", entry)) == {"size", "sha256"}:
        size, sha256 = entry["size"], entry["sha256"]
        if type(size) is int and size >= 0 and isinstance(sha256, str) and _SHA256.fullmatch(sha256):
            return Entry(size, sha256)
    raise CheckpointError(f"{where} is damaged: expected a size and a sha256 for each file")


def verify(manifest: Manifest) -> None:
    """Check that every file is what its manifest says.

    Raises:
        CheckpointError: if one is not.
    """
    for name in manifest.files:
        verified_bytes(manifest, name)


def verified_bytes(manifest: Manifest, name: str) -> bytes:
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


def parsed(where: Path, data: bytes) -> dict[str, Any]:
    """Return a JSON object."""
    try:
        value = parse_json(data)
    except ValueError as error:
        raise CheckpointError(f"{where} is damaged: {in_short(error)}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{where} is damaged: expected a JSON object")
    return cast("dict[str, Any]", value)
