"""A run's directory: made for one run, held by one process at a time, and written so that a crash leaves old or new.

Every file of a run is published the same way: the bytes go to a temporary name, are synced to the disk, and take the
real name in one rename. Whoever looks, at whatever moment, sees the old file or the new one, never a part.
"""

import fcntl
import importlib.metadata
import itertools
import os
import platform
import shutil
import socket
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from drml.core.errors import DrmlError, EnvError, InputError, ResourceError
from drml.core.fields import Fields, read_json
from drml.core.plain_files import kind_of, open_plain
from drml.core.printable import in_short
from drml.run.durable import draft_of, make_directories, sync_directory, writing

CONFIG, LOCK, METRICS = "config.json", ".lock", "metrics.jsonl"
FILES = (CONFIG, LOCK, METRICS, "test.json", "films.json", "summary.json", "report.html")
FOLDERS = ("checkpoints", "tensorboard", "figures", "films")
FILMS, FILMED = "films.json", "films"
TEXTS_BESIDE = ("versions", "tasks")
INTERFACE = "interface"
WRITTEN_BESIDE = (*TEXTS_BESIDE, INTERFACE)
_PACKAGES = ("drml", "torch", "numpy", "mujoco")


@contextmanager
def claimed(path: Path) -> Generator[None]:
    """Make the directory of a new run and hold it; a run that is refused before its first row leaves nothing behind.

    An empty directory is taken as it is, and so is one in which a run was killed before it had a configuration.

    Raises:
        InputError: if something is there already.
        ResourceError: if it cannot be made.
    """
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    create(path)
    with lock(path):
        create(path)  # again: another process may have begun and ended a run since
        try:
            yield
        except (InputError, EnvError, ResourceError):
            _give_up(path, missing)
            raise


def _give_up(path: Path, missing: Sequence[Path]) -> None:
    """Remove what a run has written that has not measured anything, and the directories that were made for it."""
    with suppress(OSError):
        log = path / METRICS
        if not (log.exists() and log.stat().st_size):
            for name in (CONFIG, LOCK, METRICS):
                (path / name).unlink(missing_ok=True)
            for name in ("checkpoints", "tensorboard"):
                shutil.rmtree(path / name, ignore_errors=True)
    for made in missing:
        with suppress(OSError):  # not empty
            made.rmdir()


def create(path: Path) -> Path:
    """Make the directory of a new run, parents included, and return it; an empty directory is taken as it is.

    Raises:
        InputError: if something is there already.
        ResourceError: if it cannot be made.
    """
    with writing(path):
        make_directories(path.parent)
        try:
            os.mkdir(path)
        except FileExistsError:
            if not path.is_dir():
                raise InputError(f"{path} is a file; choose another --out") from None
            if held := {name for name in os.listdir(path) if not _is_leftover(name)}:
                what = "already holds a run; go on with it by --resume, or" if CONFIG in held else "is not empty;"
                raise InputError(f"{path} {what} choose another --out") from None
        sync_directory(path.parent)
    return path


def _is_leftover(name: str) -> bool:
    """Return whether a file is what a run leaves that is killed before it has a configuration."""
    return name == LOCK or name.startswith(draft_of(CONFIG))


def sweep(path: Path) -> None:
    """Remove what processes that were killed had begun to write; for who holds the run, since it is written so.

    Raises:
        ResourceError: if something cannot be removed.
    """
    with writing(path):
        for name in os.listdir(path):
            if name.startswith((draft_of(CONFIG), draft_of(METRICS))):
                (path / name).unlink()


def create_numbered(parent: Path, stem: str) -> Path:
    """Make and return the first of `stem`, `stem-2`, `stem-3`, ... that does not exist yet in `parent`.

    Processes that start together with one name get distinct directories, because `os.mkdir` succeeds only once.

    Raises:
        ResourceError: if no directory can be made.
    """
    with writing(parent / stem):
        make_directories(parent)
        for number in itertools.count(1):
            path = parent / (stem if number == 1 else f"{stem}-{number}")
            with suppress(FileExistsError):
                os.mkdir(path)
                sync_directory(parent)
                return path
    raise AssertionError("itertools.count ended")


@contextmanager
def lock(path: Path) -> Generator[None]:
    """Hold a run's directory for this process; the kernel lets go of it even after `kill -9`.

    The lock is a `flock` on `path/.lock`, whose text says who holds it. On a network file system it binds only as far
    as that file system carries `flock`.

    Raises:
        InputError: if another process holds it, or there is no such directory.
        ResourceError: if the file system refuses.
    """
    if not os.path.isdir(path):
        raise InputError(f"{path} is not a run's directory")
    with writing(path / LOCK):
        handle = open_plain(path / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        with writing(path / LOCK):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{path} is in use by {_holder(handle)}; stop it or choose another --out") from None
            before = os.pread(handle, 512, 0)
            _sign(handle, f"{os.getpid()} {socket.gethostname()}\n".encode())
        try:
            yield
        except DrmlError:  # whatever was refused leaves no trace, not even here
            with suppress(OSError):
                _sign(handle, before)
            raise
    finally:
        os.close(handle)


def _sign(handle: int, text: bytes) -> None:
    """Write who holds a lock; not into what is a second name of some other file, which is not ours to write to."""
    if os.fstat(handle).st_nlink > 1:
        return
    os.ftruncate(handle, 0)
    os.pwrite(handle, text, 0)


def _holder(handle: int) -> str:
    """Return who a lock file says holds it."""
    words = os.pread(handle, 512, 0).decode(errors="replace").split()
    return f"process {words[0]} on {words[1]}" if len(words) == 2 else "another process"


def drop_films(path: Path) -> None:
    """Remove the films of a run, which show what it was before.

    Raises:
        ResourceError: if something cannot be removed.
    """
    with writing(path / FILMS):
        (path / FILMS).unlink(missing_ok=True)
        for film in (path / FILMED).iterdir() if kind_of(path / FILMED) == "a directory" else ():
            if film.suffix in (".webp", ".png"):
                film.unlink()


def check_plain(run: Path) -> None:
    """Refuse a run of whose files and folders one is a link, a pipe or anything else that is not the run's own.

    Raises:
        InputError: names it, and nothing has been opened.
    """
    for name in (*FILES, *FOLDERS):
        expected = "a file" if name in FILES else "a directory"
        if (found := kind_of(run / name)) not in ("", expected):
            raise InputError(
                f"{run / name} is {found}, expected {expected} of the run's own; remove it, or put it back"
            )
    for folder in FOLDERS[1:]:  # checkpoints see to their own
        for path in sorted((run / folder).iterdir()) if (run / folder).is_dir() else ():
            if (found := kind_of(path)) not in ("a file", "a directory"):
                raise InputError(f"{path} is {found}, expected a file of the run's own; remove it")


def is_kept(path: Path) -> bool:
    """Return whether a path is one of the files and folders that some run keeps, or lies in one."""
    path = path.absolute()
    return any(
        path.relative_to(run).parts[0] in (*FILES, *FOLDERS)
        for run in path.parents
        if kind_of(run / CONFIG) == "a file"
    )


BEFORE_KEPT = {"bytes": "pictures (0 to 255) divided by 255"}
"""Facts of runs of before a fact was kept: all bytes were divided."""


def check_tasks(run: Path, facts: Mapping[str, str], interface: Mapping[str, Any]) -> None:
    """Refuse a run whose tasks are not those that it was started with; a run of before they were kept is let pass.

    Args:
        run: the run directory, whose configuration can be read.
        facts: what the tasks are now, by name.
        interface: the spaces that they have now, as JSON values.

    Raises:
        InputError: if a fact has changed, came or went.
    """
    fields = read_fields(run)
    kept = fields.get("tasks", facts)
    kept = {name: was for name, was in BEFORE_KEPT.items() if name in facts} | kept
    then = Fields(run / CONFIG, fields).mapping(INTERFACE) if INTERFACE in fields else interface
    for was_of, now_of in ((kept, facts), (then, interface)):
        for name in [*was_of, *now_of]:
            was, now = (known.get(name, "not there") for known in (was_of, now_of))
            if was != now:
                raise InputError(
                    f"{run}: its tasks have changed since it was started, {name} was {in_short(was)} and is "
                    f"{in_short(now)}; undo the change, or start a new run for the new tasks"
                )


def read_fields(run: Path) -> dict[str, Any]:
    """Return the fields of a run's configuration, with what is written beside them: versions, tasks, spaces.

    Raises:
        InputError: if there is no run, or its configuration is damaged.
    """
    path = run / CONFIG
    if not kind_of(path):
        raise InputError(f"{run} is not a run directory: it has no {CONFIG}")
    check_plain(run)
    found = Fields(path, read_json(path))
    for name in TEXTS_BESIDE:  # which runs of before have not
        if name in found.values:
            found.texts_by_name(name)
    return found.values


def versions() -> dict[str, str]:
    """Return the versions of Python, the platform and the packages that decide a run's numbers, importing none."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
