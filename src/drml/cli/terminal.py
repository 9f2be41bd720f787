"""Terminal and paths: what the commands share in speaking to the one and writing to the others."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from drml.core.errors import InputError
from drml.core.plain_files import kind_of
from drml.core.printable import printable
from drml.run.rundir import is_kept

PLAIN_WIDTH = 200  # columns where nobody has told


class _PlainConsole(Console):
    """A console that shows texts as they are: no brackets, colons or controls in them mean anything to it."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, width=width)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 — of rich
        """Return a text of a cell, a title or a line, ready to be laid out."""
        return super().render_str(printable(text, keep="\n"), **options)


def console() -> Console:
    """Return the console on standard output: as wide as the terminal, or where there is none, wide."""
    terminal = _PlainConsole()
    return terminal if terminal.is_terminal else _PlainConsole(PLAIN_WIDTH)


def show(*things: RenderableType) -> None:
    """Print tables and text, each below the other; a reader that has left is a BrokenPipeError, as with `print`."""
    out = console()
    with out.capture() as shown:
        for thing in things:
            out.print(thing)
    print(shown.get(), end="", flush=True)


def say(line: str) -> None:
    """Print a line about work that matters more: where its reader has left, or its disk is full, it goes unread."""
    try:
        print(printable(line, keep="\n"), flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_json(path: Path | None) -> None:
    """Check, before any work is done, that a result can be written to a `--json` file.

    Raises:
        InputError: names the file and what is in the way.
    """
    if path is not None:
        check_target("--json", path)


def check_target(flag: str, path: Path) -> None:
    """Check, before any work is done, that a file can be written where a flag says.

    Raises:
        InputError: names the file and what is in the way.
    """
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"{flag} {path} is a directory; name a file in it")
    if kind_of(path) not in ("", "a file") or path.name == "-":
        raise InputError(f"{flag} {path} is not a plain file, and only such can be written in one step; name another")
    if is_kept(path):
        raise InputError(f"{flag} {path} is where a run keeps a file of its own; name another")
    if not folder.is_dir():
        raise InputError(f"{flag} {path}: there is no directory {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{flag} {path}: {folder} is not writable; choose another place")


def check_folder(flag: str, path: Path) -> None:
    """Check, before any work is done, that a new or empty directory can be filled where a flag says.

    Raises:
        InputError: names the directory and what is in the way.
    """
    found = kind_of(path)
    if found not in ("", "a directory"):
        raise InputError(f"{flag} {path} is {found}; name a directory, new or empty")
    if found and any(path.iterdir()):
        raise InputError(f"{flag} {path} holds something already; name a directory, new or empty")
    missing = [folder for folder in (path.absolute(), *path.absolute().parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be written: {error.strerror}; choose another place") from error
    finally:
        for folder in missing:  # made to see whether it can be, and made again when there is something to hold
            with suppress(OSError):
                folder.rmdir()


def check_threads(threads: int) -> None:
    """Check the number of simulator threads.

    Raises:
        InputError: if it is negative.
    """
    if threads < 0:
        raise InputError(f"--threads is {threads}, must be 0 (all cores) or more")
