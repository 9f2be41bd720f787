"""Numbers as users give them for a parameter: arrays and lists become Python's own numbers and tuples of them."""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from drml.core.errors import InputError

Shape = tuple[int, ...]
Range = tuple[float, float]
Value = float | tuple[float, ...]


def plain(kind: str, given: Any) -> Any:  # noqa: ANN401 — a number, or tuples of them
    """Return what was given as Python's own numbers and tuples of them.

    Raises:
        InputError: if something in it is no number.
    """
    given = given.tolist() if isinstance(given, np.ndarray | np.generic) else given
    if isinstance(given, Sequence) and not isinstance(given, str):
        return tuple(plain(kind, part) for part in given)
    check_numbers(kind, given)
    return given


def check_numbers(kind: str, *given: Any) -> None:  # noqa: ANN401
    """Check that each of some things is a number.

    Raises:
        InputError: names the first that is not.
    """
    for number in given:
        if not isinstance(number, Real):
            raise InputError(
                f"{kind}: {number!r} is no number; names can be numbered, Choice((0, 1)), and looked up in make"
            )


def as_shape(kind: str, given: Any) -> Shape:  # noqa: ANN401
    """Return a shape, `(n,)` where it was given as n.

    Raises:
        InputError: unless it holds positive whole numbers.
    """
    shape = plain(kind, given)
    shape = shape if isinstance(shape, tuple) else (shape,)
    if any(not isinstance(length, int) or length < 1 for length in shape):
        raise InputError(f"{kind}: shape {given} must hold positive lengths")
    return shape


def as_values(given: Any) -> tuple[Value, ...]:  # noqa: ANN401
    """Return the values of a choice.

    Raises:
        InputError: if there is none, or only one that is no sequence.
    """
    values = plain("Choice", given)
    if not isinstance(values, tuple):
        raise InputError(f"Choice: {given!r} is one value, expected several, such as Choice((0.5, 1.0))")
    if not values:
        raise InputError("Choice: needs at least one value")
    return values


def as_range_beside(kind: str, normal: Range, ood: Range | None) -> Range | None:
    """Return the range that is out of distribution, None where there is none.

    Args:
        kind: the parameter's.
        normal: the range that is in distribution.
        ood: the range that is not.

    Raises:
        InputError: unless both are ranges low < high of finite numbers, one beside the other.
    """
    ranges = [plain(kind, given) for given in ((normal,) if ood is None else (normal, ood))]
    for given in ranges:
        if not isinstance(given, tuple) or len(given) != 2:
            raise InputError(f"{kind}: ood is {given}, expected a range (low, high)")
        check_numbers(kind, *given)
        low, high = given
        if not (low < high and math.isfinite(high - low)):  # a nan fails the comparison
            raise InputError(f"{kind}: range ({low:g}, {high:g}) must be finite with low < high")
    if ood is None:
        return None
    low, high = ranges[1]
    if low < normal[1] and normal[0] < high:
        raise InputError(f"{kind}: ood range {ranges[1]} overlaps the range {normal}; move it beside")
    return low, high
