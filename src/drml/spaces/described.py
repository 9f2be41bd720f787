"""Spaces as JSON and back, so that an agent can be loaded where its environment is not.

Box            low, high (a number where all entries have it), shape, dtype     infinite bounds are "inf" and "-inf"
Discrete       n, start, dtype              MultiDiscrete  nvec, start, dtype
MultiBinary    n                            Dict, Tuple    spaces: pairs of name and space, or spaces
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from gymnasium import spaces

from drml.core.errors import DrmlError, InputError
from drml.core.printable import in_short
from drml.spaces.observations import AnySpace

Described = dict[str, Any]
"""A space as JSON values."""


def describe(space: AnySpace) -> Described:
    """Return a space as JSON values.

    Raises:
        InputError: if it is of another kind.
    """
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": [[name, describe(part)] for name, part in space.spaces.items()]}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "spaces": [describe(part) for part in space.spaces]}
    if isinstance(space, spaces.Box):
        bounds = {"low": _compact(space.low), "high": _compact(space.high)}
        return {"type": "Box", **bounds, "shape": list(space.shape), "dtype": str(space.dtype)}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiDiscrete):
        starts = np.asarray(space.start).tolist()
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": starts, "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": np.asarray(space.n).tolist()}
    raise InputError(f"a space of type {type(space).__name__} cannot be described: {space}")


def described(values: object, where: str, failure: type[DrmlError] = InputError) -> AnySpace:
    """Return the space that `describe` turned into JSON values, which `where` names in complaints.

    Raises:
        InputError: or another `failure`, if they describe none.
    """
    try:
        return _space(cast("Mapping[str, Any]", values))
    except (KeyError, TypeError, ValueError, AssertionError, OverflowError, RecursionError) as error:
        raise failure(f"{where} describes no space: {in_short(error) or type(error).__name__}") from error


def _space(values: Mapping[str, Any]) -> AnySpace:
    kind = values["type"]
    if kind == "Dict":
        return spaces.Dict(OrderedDict((_key(name), _space(part)) for name, part in values["spaces"]))
    if kind == "Tuple":
        return spaces.Tuple([_space(part) for part in values["spaces"]])
    if kind == "MultiBinary":
        n = values["n"]
        return spaces.MultiBinary([_whole(size) for size in n] if isinstance(n, list) else _whole(n))
    dtype = np.dtype(values["dtype"])
    if kind == "Box":
        shape = tuple(_whole(size) for size in values["shape"])
        low, high = (np.full(shape, _bound(values[name], dtype), dtype) for name in ("low", "high"))
        return spaces.Box(low, high, shape, cast(Any, dtype.type))
    if kind == "Discrete":
        return spaces.Discrete(_whole(values["n"]), start=_whole(values["start"]), dtype=cast(Any, dtype.type))
    if kind == "MultiDiscrete":
        counts, starts = (np.asarray(values[name], dtype) for name in ("nvec", "start"))
        return spaces.MultiDiscrete(counts, dtype=cast(Any, dtype.type), start=starts)
    raise ValueError(f"unknown type {kind!r}")


def _key(name: object) -> str:
    """Return the name of a part; a number stays one, though Gymnasium's types know of text alone."""
    return cast(str, name) if type(name) is int else str(name)


def _compact(bound: np.ndarray) -> Any:  # noqa: ANN401 — a number, or lists of them
    first = bound.flat[0] if bound.size else 0.0
    return _plain(first) if bool((bound == first).all()) else _nested(bound.tolist())


def _nested(values: Any) -> Any:  # noqa: ANN401
    return [_nested(value) for value in values] if isinstance(values, list) else _plain(values)


def _plain(value: Any) -> Any:  # noqa: ANN401
    number = value.item() if isinstance(value, np.generic) else value
    return number if np.isfinite(number) else str(float(number))


def _bound(value: Any, dtype: np.dtype[Any]) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return np.asarray([_bound(item, dtype) for item in value], dtype)
    number = float(value) if isinstance(value, str) else value
    if isinstance(number, float) and np.isnan(number):
        raise ValueError("a bound is not a number")
    return number


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is no whole number")
    return value
