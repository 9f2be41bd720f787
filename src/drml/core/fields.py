"""Files of JSON that others may have changed, read with suspicion: each field by its name, type and range."""

import json
import math
from pathlib import Path
from typing import Any

from drml.core.errors import DrmlError, InputError
from drml.core.plain_files import read_plain

MAX_DEPTH = 100  # of objects and lists in each other; what is written here is five deep
LARGEST = 1e100  # beyond this a number is damage, not a return, and no figure can show it
MOST = 2**53  # of a count: beyond this a float no longer holds it


def parse_json(data: bytes) -> Any:  # noqa: ANN401 — whatever a JSON file may hold
    """Return what JSON stands for; a key that occurs twice, NaN and bottomless nesting are refused.

    Raises:
        ValueError: says what is wrong.
    """
    text = data.decode()
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:  # else it cannot be
        _check_depth(value)
    return value


def read_json(path: Path, failure: type[DrmlError] = InputError) -> Any:  # noqa: ANN401
    """Return what a plain file of JSON holds.

    Raises:
        InputError: or another `failure`, if it cannot be read or is damaged.
    """
    try:
        return parse_json(read_plain(path))
    except OSError as error:
        raise failure(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise failure(f"{path} cannot be read: {error}; the file is damaged") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a key occurs twice")
    return unique


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for outer in level for item in _items(outer)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _items(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


class Fields:
    """The fields of a JSON object, each asked for by name and kind; what does not fit is one line naming the field."""

    def __init__(self, where: object, values: object, failure: type[DrmlError] = InputError) -> None:
        self._where, self._failure = where, failure
        if not isinstance(values, dict):
            raise self.wrong("an object", values)
        self.values: dict[str, Any] = values

    def wrong(self, expected: str, found: object, key: str = "") -> DrmlError:
        """Return the failure of a field that is not what was expected."""
        named = f" '{key}'" if key else ""
        return self._failure(f"{self._where}:{named} should be {expected}, found {_short(found)}; the file is damaged")

    def text(self, key: str) -> str:
        """Return a text."""
        return self._of_type(key, str, "a text")

    def flag(self, key: str) -> bool:
        """Return a truth value."""
        return self._of_type(key, bool, "true or false")

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object as it stands."""
        return self._of_type(key, dict, "an object")

    def array(self, key: str) -> list[Any]:
        """Return a list as it stands."""
        return self._of_type(key, list, "a list")

    def objects(self, key: str) -> "list[Fields]":
        """Return a list of objects."""
        return [Fields(self._where, value, self._failure) for value in self.array(key)]

    def nested(self, key: str) -> "Fields":
        """Return an object."""
        return Fields(self.place(key), self.mapping(key), self._failure)

    def place(self, key: str) -> str:
        """Return what to call a field in complaints."""
        return f"{self._where}: '{key}'"

    def integer(self, key: str) -> int:
        """Return a whole number."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong("a whole number", value, key)
        return value

    def count(self, key: str, most: int = MOST) -> int:
        """Return a whole number from 0 to `most`."""
        value = self.integer(key)
        if not 0 <= value <= most:
            raise self.wrong(f"0 or more, and no more than {most}" if value > most else "0 or more", value, key)
        return value

    def number(self, key: str) -> float:
        """Return a number; NaN where it is null, which stands for one that was not finite."""
        return self._number(self.values.get(key), key)

    def finite(self, key: str) -> float:
        """Return a number; null is none."""
        value = self.number(key)
        if math.isnan(value):
            raise self.wrong("a number", None, key)
        return value

    def amount(self, key: str) -> float:
        """Return a number of 0 or more; null is none."""
        return self._amount(self.values.get(key), key)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of numbers."""
        return tuple(self._number(value, key) for value in self.array(key))

    def numbers_by_name(self, key: str) -> dict[str, float]:
        """Return an object of numbers."""
        return {name: self._number(value, f"{key}.{name}") for name, value in self.mapping(key).items()}

    def amounts_by_name(self, key: str) -> dict[str, float]:
        """Return an object of numbers of 0 or more."""
        return {name: self._amount(value, f"{key}.{name}") for name, value in self.mapping(key).items()}

    def counts_by_name(self, key: str) -> dict[str, int]:
        """Return an object of whole numbers of 0 or more."""
        inner = self.nested(key)
        return {name: inner.count(name) for name in inner.values}

    def texts_by_name(self, key: str) -> dict[str, str]:
        """Return an object of texts."""
        inner = self.nested(key)
        return {name: inner.text(name) for name in inner.values}

    def _of_type(self, key: str, kind: type, expected: str) -> Any:  # noqa: ANN401
        if not isinstance(value := self.values.get(key), kind):
            raise self.wrong(expected, value, key)
        return value

    def _number(self, value: object, key: str) -> float:
        if value is None:
            return math.nan
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= LARGEST:
            raise self.wrong("a number", value, key)
        return float(value)

    def _amount(self, value: object, key: str) -> float:
        number = self._number(value, key)
        if not number >= 0.0:
            raise self.wrong("a number of 0 or more", value, key)
        return number


def _short(value: object) -> str:
    try:
        return repr(value)[:60]
    except ValueError:  # a whole number of more digits than Python prints
        return "a number beyond all measure"
