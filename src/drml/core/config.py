"""Configurations: frozen dataclasses to JSON and back, where an unknown key or a wrong type is an error."""

import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from drml.core.errors import InputError, suggest

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:  # noqa: ANN401 — any frozen dataclass
    """Return a configuration as nested plain dictionaries."""
    return asdict(config)


def from_dict(kind: type[Config], data: object, where: str = "config") -> Config:
    """Return the configuration that `to_dict` (and JSON) turned into `data`.

    Raises:
        InputError: names the key that is unknown, missing or of the wrong type.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"{where} is {data!r}, expected an object")
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # pyright: ignore[reportArgumentType] — Config is a dataclass
    for key in data:
        if key not in known:
            raise InputError(f"{where}: unknown key '{key}'{suggest(key, list(known))}")
    for name, f in known.items():
        if name not in data and f.default is MISSING and f.default_factory is MISSING:
            raise InputError(f"{where}: key '{name}' is missing")
    return kind(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 — JSON in, typed value out
    origin, args = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return from_dict(hint, value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(args[0], item, where) for item in value)
    if origin is Literal and value in args:
        return value
    if origin in (Union, types.UnionType):
        return _convert(next((a for a in args if _fits(a, value)), args[0]), value, where)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, where)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    expected = " or ".join(map(repr, args)) if origin is Literal else getattr(hint, "__name__", str(hint))
    raise InputError(f"{where} is {value!r}, expected {expected}")


def _fits(hint: Any, value: Any) -> bool:  # noqa: ANN401 — JSON in
    try:
        _convert(hint, value, "")
    except InputError:
        return False
    return True


def _finite(value: float, where: str) -> float:
    if not abs(value) <= sys.float_info.max:  # NaN, an infinity, or a whole number beyond them all
        raise InputError(f"{where} is {value}, must be a finite number")
    return float(value)
