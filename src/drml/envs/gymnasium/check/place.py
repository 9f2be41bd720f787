"""Where in the user's code: the line to fix."""

import inspect
import traceback
from pathlib import Path
from typing import Any

import gymnasium as gym

LIBRARIES = ("site-packages", "dist-packages")
HERE = str(Path(__file__).parents[3])


def raised(error: BaseException) -> tuple[str, str]:
    """Return what was raised, in one line, and the innermost line of the user's code, "" where there is none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(HERE)]
    own = [frame for frame in frames if not any(name in frame.filename for name in LIBRARIES)]
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return message, f"{shown(own[-1].filename)}:{own[-1].lineno}" if own else ""


def places(make: Any, env: gym.Env[Any, Any] | None = None) -> dict[str, str]:  # noqa: ANN401
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
