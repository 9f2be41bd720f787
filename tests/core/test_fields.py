"""JSON that others may have changed: strict where it is read, and one line for each field that does not fit."""

import math

import pytest

from drml.core.errors import CheckpointError, InputError
from drml.core.fields import MAX_DEPTH, Fields, parse_json, read_json


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "a": 2}', "a key occurs twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested too deeply"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe", "can't decode"),
        (b"1" * 5000, "digits"),
        (b"{", "Expecting"),
    ],
)
def test_what_is_not_strict_json_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        parse_json(data)


def test_what_is_deep_but_allowed_is_read():
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert parse_json(b"[" + b"[],{}," * 1000 + b"1]")[-1] == 1


def test_a_file_that_cannot_be_read_is_the_failure_that_was_asked_for(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_json(tmp_path / "x.json", CheckpointError)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json cannot be read: .*; the file is damaged$"):
        read_json(tmp_path / "x.json")


def test_each_kind_takes_its_own_and_nothing_else():
    values = {"n": 3, "f": 2.5, "t": "x", "b": True, "l": [1, None], "o": {"k": 1}, "z": None, "neg": -1, "big": 1e200}
    fields = Fields("file", values)
    assert (fields.count("n"), fields.amount("f"), fields.text("t"), fields.flag("b")) == (3, 2.5, "x", True)
    assert fields.numbers("l")[0] == 1.0 and math.isnan(fields.numbers("l")[1]) and math.isnan(fields.number("z"))
    assert fields.counts_by_name("o") == {"k": 1}
    for kind, wrong in {
        fields.count: ("f", "t", "b", "z", "neg", "big", "missing"),
        fields.amount: ("t", "b", "z", "neg", "big", "missing"),
        fields.finite: ("t", "b", "z", "big", "missing"),
        fields.number: ("t", "b", "l", "big"),
        fields.text: ("n", "z", "missing"),
        fields.flag: ("n", "t", "missing"),
        fields.array: ("o", "t", "missing"),
        fields.mapping: ("l", "t", "missing"),
        fields.texts_by_name: ("o", "l"),
    }.items():
        for key in wrong:
            with pytest.raises(InputError, match=r"^file:.* should be .*; the file is damaged$"):
                kind(key)
