"""Failures of code that is not ours, and the line to fix.

Foreign code may raise whatever there is, not only an `Exception`: leaving is raising, too, and so is an exception whose
text raises when it is asked for. The one that is not its doing is Ctrl-C.
"""

import inspect
import re
import sysconfig
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from drml.core.errors import DrmlError, InputError
from drml.core.fault import in_words, is_interruption

LIBRARIES = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
FRAME = re.compile(r'File "([^"]+)", line (\d+)')
HERE = str(Path(__file__).parents[1])


def raised(error: BaseException) -> tuple[str, str]:
    """Return what was raised, in one line, and the innermost line of the user's code, "" where there is none."""
    lines = [(frame.filename, frame.lineno or 0) for frame in reversed(traceback.extract_tb(error.__traceback__))]
    return in_words(error), _innermost(lines)


def blame(error: BaseException) -> str:
    """Return `raised KeyError: 'x' (file.py:12)`."""
    what, line = raised(error)
    return f"raised {what} ({line})" if line else f"raised {what}"


@contextmanager
def foreign(doing: str, failure: type[DrmlError] = InputError) -> Generator[None]:
    """Call foreign code, and say in one line what it was `doing` where it raises; our own errors say so themselves.

    Raises:
        InputError: or another `failure`, in place of whatever was raised, or where torch was changed.
    """
    before = torch_modes()
    try:
        yield
    except DrmlError:
        raise
    except BaseException as error:
        if is_interruption(error):
            raise
        raise failure(f"{doing} {blame(error)}") from error
    finally:
        changed = undone(before)
    if changed:
        raise failure(f"{doing} {changed}")


Modes = tuple[torch.dtype, bool, int]
"""Torch's default type, whether gradients are recorded, and the number of threads."""


def torch_modes() -> Modes:
    """Return what foreign code can change for all of torch, and learners count on."""
    return torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()


def undone(before: Modes) -> str:
    """Undo what foreign code has changed for all of torch; return what that was, "" for nothing.

    The number of threads changes no promise once it is undone, and environments set it where they are made.
    """
    now = torch_modes()
    if now == before:
        return ""
    dtype, records = now[:2]
    torch.set_default_dtype(before[0])
    torch.set_grad_enabled(before[1])
    torch.set_num_threads(before[2])
    if dtype != before[0]:
        return f"changed torch's default type to {dtype} for the whole program: give tensors their dtype instead"
    if records != before[1]:
        switched = "on" if records else "off"
        return f"switched gradients {switched} for the whole program: use `with torch.set_grad_enabled({records})`"
    return ""


def traced(dump: str) -> str:
    """Return the innermost line of the user's code in what `faulthandler` wrote, "" where there is none."""
    return _innermost([(name, int(number)) for name, number in FRAME.findall(dump)])


def _innermost(lines: Sequence[tuple[str, int]]) -> str:
    """Return the first of some lines, innermost first, that is neither ours nor in a library."""
    for name, number in lines:
        if is_own(name):
            return f"{shown(name)}:{number}"
    return ""


def is_own(filename: str) -> bool:
    """Return whether a file is the user's: neither ours nor in a library."""
    is_foreign = filename.startswith((HERE, *LIBRARIES)) or "site-packages" in filename
    return not is_foreign and Path(filename).is_file()


def defining_lines(make: Any, env: Any = None) -> dict[str, str]:  # noqa: ANN401 — the user's function, an environment
    """Return the lines where `make`, and the environment's `reset`, `step`, `close` and spaces are defined."""
    found: dict[str, Any] = {"make": make}
    if env is not None:
        kind = type(env.unwrapped)
        found |= {call: getattr(kind, call, None) for call in ("reset", "step", "close")}
        found["spaces"] = vars(kind).get("__init__", kind)
    return {name: line for name, thing in found.items() if (line := line_of(thing))}


def line_of(thing: Any) -> str:  # noqa: ANN401
    """Return `file.py:12`, "" where the source is not at hand."""
    thing = getattr(thing, "func", thing)  # a partial
    try:
        filename, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
    except (TypeError, OSError):
        return ""
    return f"{shown(filename)}:{line}" if filename else ""


def shown(filename: str) -> str:
    """Return a file's path from the current directory, or its name where it lies elsewhere."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name
