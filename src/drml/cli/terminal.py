"""What the commands share on a terminal, and on paths that they write to."""

import os
import sys
from pathlib import Path

from rich.console import Console, RenderableType

from drml.core.errors import InputError

PLAIN_WIDTH = 200  # columns where nobody has told


def console() -> Console:
    """Return the console on standard output: as wide as the terminal, or where there is none, wide."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


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
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_json(path: Path | None) -> None:
    """Check, before any work is done, that a result can be written to a `--json` file.

    Raises:
        InputError: names the file and what is in the way.
    """
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"--json {path} is a directory; name a file in it")
    if path.is_symlink() or (path.exists() and not path.is_file()) or path.name == "-":
        raise InputError(f"--json {path} is not a plain file, and only such can be written in one step; name another")
    if not folder.is_dir():
        raise InputError(f"--json {path}: there is no directory {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"--json {path}: {folder} is not writable; choose another place")


def check_threads(threads: int) -> None:
    """Check the number of simulator threads.

    Raises:
        InputError: if it is negative.
    """
    if threads < 0:
        raise InputError(f"--threads is {threads}, must be 0 (all cores) or more")
