"""Failures with a type, each with its own documented exit code.

A failure that a user can act on is one line: what is wrong, where, and the way out. The command line prints that line
and leaves with `exit_code`; `--debug` shows the traceback as well.
"""

from typing import ClassVar


class DrmlError(Exception):
    """A failure that is reported in one line; subclasses say which kind."""

    exit_code: ClassVar[int] = 1


class InputError(DrmlError):
    """The request cannot be carried out as written: a name, a value, a path, a missing extra."""

    exit_code: ClassVar[int] = 2


class EnvError(DrmlError):
    """An environment broke its contract, or too many of its episodes had to be dropped."""

    exit_code: ClassVar[int] = 3


class CheckpointError(DrmlError):
    """A checkpoint is missing, damaged, or belongs to something else."""

    exit_code: ClassVar[int] = 4


class NumericError(DrmlError):
    """A loss, gradient or parameter stopped being finite."""

    exit_code: ClassVar[int] = 5


class ResourceError(DrmlError):
    """The machine ran out of something: disk space, memory, permission to write."""

    exit_code: ClassVar[int] = 6


def suggest(word: str, known: list[str]) -> str:
    """Return `'. Did you mean X?'` for the closest known word, else the list of known words."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=0.5)
    return f". Did you mean '{close[0]}'?" if close else f". Known: {', '.join(sorted(known))}."
