from dataclasses import dataclass
from typing import Literal

import pytest

from drml.core.config import from_dict, to_dict
from drml.core.errors import InputError


@dataclass(frozen=True)
class Left:
    lr: float = 0.5


@dataclass(frozen=True)
class Right:
    widths: tuple[int, ...] = (2, 3)
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Whole:
    part: Left | Right
    limit: float | None = None


def test_there_and_back():
    for part in (Right((4,), "b"), Left(1.0)):
        plain = to_dict(Whole(part, 2.0))
        assert from_dict(Whole, plain | {"part": part}) == Whole(part, 2.0)
    assert from_dict(Right, {"widths": [4, 5]}) == Right((4, 5))
    assert from_dict(Whole, {"part": {"kind": "b"}}) == Whole(Right(kind="b"))  # the alternative that it fits
    assert from_dict(Left, {"lr": 1}).lr == 1.0


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (Left, [], r"^config is \[\], expected an object$"),
        (Left, {"rl": 1.0}, r"^config: unknown key 'rl'. Did you mean 'lr'\?$"),
        (Left, {"lr": "1"}, r"^config\.lr is '1', expected float$"),
        (Left, {"lr": True}, r"^config\.lr is True, expected float$"),
        (Left, {"lr": float("nan")}, r"^config\.lr is nan, must be a finite number$"),
        (Left, {"lr": float("-inf")}, r"^config\.lr is -inf, must be a finite number$"),
        (Left, {"lr": 10**400}, r"^config\.lr is 10+, must be a finite number$"),
        (Right, {"widths": [4, 5.5]}, r"^config\.widths is 5\.5, expected int$"),
        (Right, {"kind": "c"}, r"^config\.kind is 'c', expected 'a' or 'b'$"),
        (Whole, {}, r"^config: key 'part' is missing$"),
        (Whole, {"part": None}, r"^config\.part is None, expected Left$"),
        (Whole, {"part": {"lr": 1.0}, "limit": "x"}, r"^config\.limit is 'x', expected float$"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_its_place(kind, data, text):
    with pytest.raises(InputError, match=text):
        from_dict(kind, data)
