"""Tables by name: a wrong name is refused together with the closest right one."""

from collections.abc import Mapping
from typing import TypeVar

from drml.core.errors import InputError, suggest

Entry = TypeVar("Entry")


def look_up(kind: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    """Return the entry of this name; `kind` says what the entries are.

    Raises:
        InputError: if there is none; names the closest one.
    """
    if name not in entries:
        raise InputError(f"unknown {kind} '{name}'{suggest(name, list(entries))}")
    return entries[name]
