"""Publication of directories: written under a temporary name, synced file by file, named in one rename."""

import ctypes
import itertools
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from drml.run.durable import draft_of, make_directories, sync_directory, write_durably, writing

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
_numbers = itertools.count()


def publish(target: Path, contents: Mapping[str, bytes], links: Mapping[str, Path]) -> None:
    """Make the directory `target` out of whole files: links, file, file, manifest, directory, one rename, parent.

    Raises:
        OSError: if it cannot be made; nothing of it is left then.
    """
    draft = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    _with_draft(draft, contents, links, lambda: os.rename(draft, target))
    sync_directory(target.parent)


def replace(target: Path, contents: Mapping[str, bytes]) -> None:
    """Make the directory `target` out of whole files, in place of the directory that is there, if there is one.

    Where the system can exchange two names at once there is never a moment without one of the two.

    Raises:
        ResourceError: if it cannot be written; what was there before is untouched.
    """
    missing = [parent for parent in target.parents if not parent.exists()]
    draft = target.with_name(f"{draft_of(target.name)}{os.getpid()}-{next(_numbers)}")
    try:
        with writing(target, sum(map(len, contents.values()))):
            make_directories(target.parent)
            _with_draft(draft, contents, {}, lambda: _take_place(draft, target))
            sync_directory(target.parent)
    except BaseException:
        for made in missing:
            with suppress(OSError):  # not made, or not empty
                made.rmdir()
        raise


def _with_draft(
    draft: Path, contents: Mapping[str, bytes], links: Mapping[str, Path], name: Callable[[], None]
) -> None:
    """Write a directory under a draft's name, and give it its own by `name`; the draft is gone if that fails."""
    shutil.rmtree(draft, ignore_errors=True)  # an earlier process of the same number has left it
    try:
        os.mkdir(draft)
        for file, path in links.items():
            _link(path, draft / file)
        for file, data in contents.items():
            write_durably(draft / file, data)
        sync_directory(draft)
        name()
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _take_place(draft: Path, target: Path) -> None:
    if not target.exists():
        os.rename(draft, target)
    else:
        _exchange(draft, target)
        shutil.rmtree(draft, ignore_errors=True)  # by now what was there before


def _exchange(one: Path, other: Path) -> None:
    """Exchange the names of two directories; at once where the system can, else one after the other."""
    rename = _renameat2()
    if rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return
    aside = one.with_name(f"{one.name}-old")
    os.rename(other, aside)
    try:
        os.rename(one, other)
    except OSError:
        os.rename(aside, other)
        raise
    os.rename(aside, one)


def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Return the C library's exchange of two names; None where it has none."""
    try:
        return cast(Any, ctypes.CDLL(None, use_errno=True)).renameat2
    except (AttributeError, OSError):
        return None


def _link(path: Path, name: Path) -> None:
    """Give a file one more name, or where the file system has no links, copy it."""
    try:
        os.link(path, name, follow_symlinks=False)
    except OSError:
        write_durably(name, path.read_bytes())
