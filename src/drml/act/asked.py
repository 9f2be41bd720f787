"""Arguments as callers give them: whole numbers and paths, or one line that says what was expected."""

import operator
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from drml.core.errors import InputError
from drml.core.printable import in_short

LARGEST = 2**63 - 1


def whole(what: str, value: object, least: int = 0) -> int:
    """Return a whole number of at least so much, which `what` names in complaints.

    Raises:
        InputError: if it is none.
    """
    try:
        number = operator.index(cast(Any, value))
    except TypeError as error:
        raise InputError(f"{what} is {in_short(value)}, expected a whole number of {least} or more") from error
    if number < least:
        raise InputError(f"{what} is {number}, expected a whole number of {least} or more")
    return number


def wholes(what: str, values: object) -> list[int]:
    """Return whole numbers, one at least, which `what` names in complaints.

    Raises:
        InputError: if they are none, or more than 64 bits hold.
    """
    expected = f"{what} is {in_short(values)}, expected a list of whole numbers"
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise InputError(expected)
    try:
        numbers = [operator.index(cast(Any, value)) for value in cast("Iterable[object]", values)]
    except TypeError as error:
        raise InputError(expected) from error
    if not numbers or max(map(abs, numbers)) > LARGEST:
        raise InputError(f"{expected}, one at least, of 64 bits")
    return numbers


def path_of(what: str, value: object) -> Path:
    """Return a path, which `what` asked for.

    Raises:
        InputError: if it is none.
    """
    try:
        path = Path(cast(Any, value))
    except TypeError as error:
        raise InputError(f"{what}: the path is {in_short(value)}, expected a text or a Path") from error
    if "\0" in str(path):
        raise InputError(f"{what}: the path is {in_short(path)}, which holds a null character; name another one")
    return path
