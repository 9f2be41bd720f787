"""Words and numbers on a page: everything that comes from a run's files passes through here, and leaves harmless."""

import html
import math
import re
from collections.abc import Iterable

from drml.core.printable import is_unseen

MISSING = "–"
LONGEST = 300

_URL = re.compile(r"https?://\S+")
_ABSOLUTE = re.compile(r"(?<![\w.…/\\])(?:file://)?(?:[A-Za-z]:)?(?:~|[/\\]{1,2}[^\s/\\]+)[/\\][^\s,;:'\"()\[\]<>]*")
_ABSOLUTE_LINE = re.compile(r"(?:[A-Za-z]:[/\\]|~[/\\]|\\\\|/[^\s/]+/)[^\n]*")


def plain(value: object) -> str:
    """Return a value as one line of printable text without absolute paths: they name a machine and its users."""
    line = "".join(" " if is_unseen(c) else c for c in str(value))
    line = _ABSOLUTE_LINE.sub(_basename, line) if _ABSOLUTE_LINE.fullmatch(line) else _without_paths(line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def text(value: object) -> str:
    """Return a value as text to stand in a page: `plain` and escaped."""
    return html.escape(plain(value))


def _without_paths(line: str) -> str:
    parts, end = list[str](), 0
    for url in _URL.finditer(line):
        parts += [_ABSOLUTE.sub(_basename, line[end : url.start()]), url.group()]
        end = url.end()
    return "".join([*parts, _ABSOLUTE.sub(_basename, line[end:])])


def _basename(path: re.Match[str]) -> str:
    """Return the last name of a path; a path of one or two names (`/home/ada`) says only whose it is."""
    names = [name for name in re.split(r"[/\\]+", re.sub(r"^(?:file:|[A-Za-z]:)+", "", path.group())) if name]
    if not names:
        return path.group()
    return f"…/{names[-1]}" if len(names) > 2 else "…"


def decimals_for(values: Iterable[float]) -> int:
    """Return how many decimals show the largest of some numbers to about three digits, so that a column is even."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 0 if largest >= 1000 else 1 if largest >= 10 else 2 if largest >= 0.1 or largest == 0 else 4


def decimal(value: float, decimals: int | None = None, signed: bool = False) -> str:
    """Return a number to `decimals` (by default those of `decimals_for`), with a true minus sign."""
    if not math.isfinite(value):
        return MISSING
    if abs(value) >= 1e7 or 0 < abs(value) < 1e-4:
        shown = f"{value:+.2e}" if signed else f"{value:.2e}"
    else:
        decimals = decimals_for([value]) if decimals is None else decimals
        shown = f"{value:+,.{decimals}f}" if signed else f"{value:,.{decimals}f}"
    return shown.replace("-", "−").replace(",", "\N{NARROW NO-BREAK SPACE}")


def count(value: float) -> str:
    """Return a count as one says it: 12 400, 2.4 million."""
    if not math.isfinite(value):
        return MISSING
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float) -> str:
    """Return a time in its two largest units."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60:02d} min" if hours else f"{minutes} min {whole % 60:02d} s"


def share(part: float, total: float) -> str:
    """Return a share in per cent."""
    return f"{100 * part / total:.1f} %" if total > 0 and math.isfinite(part) else MISSING


def number(value: float, decimals: int | None = None, signed: bool = False) -> str:
    """Return a number to stand in a page: rounded to the eye, exact in its `value` for a program."""
    if not math.isfinite(value):
        return MISSING
    return f'<data value="{value!r}">{decimal(value, decimals, signed)}</data>'


def parameter(value: object) -> str:
    """Return a task's parameter to stand in a page: a number, a short vector, or how many numbers it is."""
    if isinstance(value, bool) or not isinstance(value, int | float | list):
        return text(value)
    if isinstance(value, int | float):
        return number(float(value), 0 if value == int(value) else 3) if abs(value) < 1e300 else MISSING
    leaves = list(_leaves(value))
    if len(leaves) > 4 or len(leaves) != len(value):
        return f"{len(leaves)} numbers"
    return f"({', '.join(parameter(leaf) for leaf in leaves)})"


def _leaves(value: object) -> Iterable[object]:
    if not isinstance(value, list):
        yield value
        return
    for element in value:
        yield from _leaves(element)


def plural(value: int, noun: str) -> str:
    """Return a count with its noun: 1 task, 2 tasks."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def amount(value: float, noun: str) -> str:
    """Return a mean count with its noun: 1 episode, 2.5 episodes."""
    if not math.isfinite(value):
        return f"{MISSING} {noun}s"
    rounded = round(value, 1)
    return plural(int(rounded), noun) if rounded == int(rounded) else f"{decimal(value, 1)} {noun}s"


def table(head: Iterable[tuple[str, str]], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are markup already; `head` has each column's class and title."""
    columns = list(head)
    titles = "".join(f'<th scope="col" class="{kind}">{title}</th>' for kind, title in columns)
    body = "\n".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for (kind, _), cell in zip(columns, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )
