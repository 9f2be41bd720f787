"""Files that are whole or not there at all: written, synced, renamed; errors of the system as one line."""

import errno
import json
import math
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from drml.core.errors import ResourceError

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"
_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_json(path: Path, obj: JSON) -> None:
    """Write `obj` to `path` in one step; numbers that are not finite become null.

    Raises:
        ResourceError: if it cannot be written; what was there before is untouched.
    """
    replace_file(path, (json.dumps(finite(obj), indent=2, allow_nan=False) + "\n").encode())


def finite(obj: JSON) -> JSON:
    """Return `obj` with null in place of every number that is not finite."""
    if isinstance(obj, float):
        return obj if math.isfinite(obj) else None
    if isinstance(obj, Mapping):
        return {key: finite(value) for key, value in obj.items()}
    if isinstance(obj, Sequence) and not isinstance(obj, str):
        return [finite(value) for value in obj]
    return obj


@contextmanager
def writing(path: Path, num_bytes: int = 0) -> Generator[None]:
    """Turn an operating system's refusal inside the block into one line: the path, the reason, the space there is.

    Raises:
        ResourceError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        space = ""
        if error.errno in _OUT_OF_SPACE:
            with suppress(OSError):
                free = shutil.disk_usage(path.parent).free
                space = f"; {num_bytes / 1e6:.3f} MB to write, {free / 1e6:.3f} MB free"
        raise ResourceError(f"cannot write {path}: {error.strerror or error}{space}") from error


def replace_file(path: Path, data: bytes) -> None:
    """Give `path` the content `data` in one step, durably.

    Raises:
        ResourceError: if it cannot be written; what was there before is untouched.
    """
    draft = path.with_name(f"{draft_of(path.name)}{os.getpid()}")
    with writing(path, len(data)):
        try:
            write_durably(draft, data)
            os.replace(draft, path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a new file in place of whatever has its name, and wait until its bytes are on the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # exclusive: through a link nothing is written
    try:
        handle = os.open(path, flags, 0o644)
    except FileExistsError:  # an earlier process of the same number has left it
        os.unlink(path)
        handle = os.open(path, flags, 0o644)
    try:
        write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)


def append(handle: int, data: bytes) -> None:
    """Append all of `data` to a file that was opened for that, or nothing."""
    size = os.fstat(handle).st_size
    try:
        write_all(handle, data)
    except OSError:
        os.ftruncate(handle, size)
        raise


def write_all(handle: int, data: bytes) -> None:
    """Write all of `data`, in as many calls as the system wants."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def make_directories(path: Path) -> None:
    """Make a directory and its parents where they are missing, each durably entered in its own parent."""
    if path.is_dir() or path == path.parent:
        return
    make_directories(path.parent)
    with suppress(FileExistsError):  # another process was faster; a file in the way shows at the next use
        os.mkdir(path)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def draft_of(name: str) -> str:
    """Return what the names of a file's drafts begin with."""
    return f".tmp-{name}-"
