"""Foreign text on its way out: what others wrote may hold anything, and a terminal obeys what it is shown.

Names of parameters, messages of environments, paths and the fields of a run's files are foreign. Wherever they leave
(terminal, log, report, events) a character that is not one to look at is shown as its escape: nothing vanishes, and
nothing acts.
"""

import unicodedata
from textwrap import shorten

_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, halves of a character, separators of lines
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # change the direction


def printable(value: object, keep: str = "") -> str:
    r"""Return a value's text with an escape such as `\x1b` in place of what cannot be shown; `keep` stays as it is."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep or not is_unseen(c) else _escape(c) for c in text)


def one_line(value: object) -> str:
    """Return a value's text as one printable line, each run of white space as one space."""
    return printable(" ".join(str(value).split()))


def in_short(value: object) -> str:
    """Return a value's text as one printable line of at most 160 characters."""
    return shorten(one_line(value), width=160, placeholder=" …")


def is_unseen(character: str) -> bool:
    """Return whether a character is not one to look at: a control, a separator, a half, a turn of direction."""
    return unicodedata.category(character) in _UNSEEN or character in _TURNING


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
