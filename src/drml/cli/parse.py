"""Command lines to typed values: flags are the fields of frozen dataclasses, and each complaint is one line."""

import io
import math
import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, TypeVar

import tyro

from drml.core.errors import InputError
from drml.core.shell import as_word

SHORT_FORMS = {"--tasks": "--num-tasks", "--episodes": "--copies"}
_MARKERS = (tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalMetavarFromFieldName)
_EXPECTED = {"INT": "a whole number", "FLOAT": "a number"}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_RULE = re.compile(r"[─-]{3,}")

Args = TypeVar("Args")


def parse(
    kind: type[Args],
    prog: str,
    words: Sequence[str],
    default: Args | None = None,
    short: Mapping[str, str] = SHORT_FORMS,
) -> Args:
    """Return the values that a command line gives the fields of `kind`.

    Args:
        kind: a frozen dataclass; nested ones make flags with dots.
        prog: what to call the command in messages.
        words: the command line after the command.
        default: where the fields that are not given come from.
        short: short forms of flags.

    Raises:
        InputError: names the flag or value that is wrong, and the closest one that is right.
        SystemExit: `--help` was asked for, and printed.
    """
    if "--" in words:  # to argparse the end of an empty list, which a value that is missing would pass for
        raise InputError(f"{prog}: '--' is no flag and no value; leave it out")
    words = [_long_form(short, word) for word in words]
    complaint = io.StringIO()
    width = nullcontext() if {"-h", "--help"} & set(words) else _wide_terminal()
    try:
        with redirect_stderr(complaint), width:
            args, unknown = _call(kind, prog, words, default)
    except SystemExit as leaving:
        if not leaving.code:
            raise
        raise InputError(f"{prog}: {_one_line(complaint.getvalue())}{path_hint(words)}") from None
    if unknown:
        raise InputError(f"{prog}: {_unknown(unknown[0], _flags(kind, prog, default, short))}")
    _check_finite(prog, args)
    return args


@contextmanager
def _wide_terminal() -> Generator[None]:
    """Let tyro draw boxes wide enough not to break words; their text is read below, the boxes are not shown."""
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "200"
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        os.environ.update({} if columns is None else {"COLUMNS": columns})


def _call(kind: type[Args], prog: str, words: list[str], default: Args | None) -> tuple[Args, list[str]]:
    start = tyro.MISSING_NONPROP if default is None else default
    return tyro.cli(kind, prog=prog, args=words, default=start, return_unknown_args=True, config=_MARKERS)


def _long_form(short: Mapping[str, str], word: str) -> str:
    flag, equals, value = word.partition("=")
    return short.get(flag, flag) + equals + value


def _flags(kind: type[Args], prog: str, default: Args | None, short: Mapping[str, str]) -> list[str]:
    """Return the flags there are, as the help lists them."""
    text = io.StringIO()
    try:
        with redirect_stdout(text):
            _call(kind, prog, ["--help"], default)
    except SystemExit:
        pass
    return sorted({*re.findall(r"--[a-z][a-z0-9.-]*", _ANSI.sub("", text.getvalue())), *short})


def _unknown(word: str, flags: list[str]) -> str:
    if not word.startswith("-"):
        return f"unexpected argument '{word}'; --help shows the order"
    if hint := path_hint([word]):
        return f"unknown flag '{word}'{hint}"
    flag = word.partition("=")[0].replace("_", "-")
    close = [known for known in flags if known.split(".")[-1] == flag.lstrip("-")]  # --lr for --learner.inner.lr
    close = close or get_close_matches(flag, flags, n=1, cutoff=0.6)
    return f"unknown flag '{word}'" + (f". Did you mean '{close[0]}'?" if close else "; --help lists the flags")


def path_hint(words: Sequence[str]) -> str:
    """Return how to name a file or directory whose name was taken for a flag, where there is one."""
    named = [word for word in words if word.startswith("-") and os.path.lexists(word)]
    return f"; to name the path {named[0]}, write {as_word(named[0])}" if named else ""


def _one_line(box: str) -> str:
    """Return what a box drawn by tyro says, without the box and the help text below it."""
    rows = [row.strip(" │") for row in _ANSI.sub("", box).splitlines()]
    rows = rows[2:] if _RULE.fullmatch(rows[1]) else rows[1:]  # the title, in ASCII on a row of its own
    said = " ".join(takewhile(lambda row: not _RULE.fullmatch(row) and not row.startswith("╰"), rows)).strip()
    if found := re.match(r"Error parsing (\S+): .*?('[^']*')\]?$", said):
        flag, value = found.groups()
        kinds = re.findall(rf"{re.escape(flag)} \[?([A-Z]+)", " ".join(rows))
        return f"{flag} expects {_EXPECTED.get(kinds[0], kinds[0]) if kinds else 'another type'}, got {value}"
    if found := re.match(r"Missing from [^:]*: (\S+)", said):
        return f"{found[1]} is missing; --help shows what it is"
    if found := re.match(r"Missing value for argument '([^']+)'", said):
        return f"{found[1]} needs a value"
    return said or "the arguments cannot be read"


def _check_finite(where: str, value: Any) -> None:  # noqa: ANN401 — any field of a configuration
    """Refuse NaN and infinity anywhere in a configuration; no hyper-parameter means anything there."""
    if is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            _check_finite(f"{where}: {f.name}", getattr(value, f.name))
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where} is {value}, must be a finite number")
