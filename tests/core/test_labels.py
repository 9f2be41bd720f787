"""A task's parameters as text, whatever a file holds in their place."""

import pytest

from drml.core.fault import label


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.12345, "0.123"),
        ([1.0, 2.0], "(1, 2)"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], "(1, 2, 3, 4, …)"),
        ([[1.0], [2.0]], "((1), (2))"),
        ("text", "text"),
        (["a", "bc"], "(a, bc)"),
        (None, "None"),
        ({"a": 1}, "{'a': 1}"),
        (10**400, str(10**400)),
        ("\x1b[31m", r"\x1b[31m"),
    ],
)
def test_numbers_are_short_and_anything_else_is_told_as_it_is(value, shown):
    assert label({"goal": value}) == f"goal={shown}"
