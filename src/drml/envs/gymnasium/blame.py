"""What went wrong in code that is not ours, in one line."""

import traceback
from pathlib import Path

OURS = str(Path(__file__).parents[2])


def blame(error: BaseException) -> str:
    """Return `raised KeyError: 'x' (file.py, line 12)`; the line is the innermost one of the user's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [frame for frame in frames if not frame.filename.startswith(OURS)] or frames
    own = [frame for frame in foreign if "site-packages" not in frame.filename] or foreign
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"raised {type(error).__name__}: {error}{where}"
