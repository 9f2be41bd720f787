import math

import pytest

from drml.report.markup import count, decimal, decimals_for, duration, number, parameter, plain, plural, share, text

THIN = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.00"),
        (-3.14159, "−3.14"),
        (203.04, "203.0"),
        (-1234.5, f"−1{THIN}234"),
        (0.05, "0.0500"),
        (3e-6, "3.00e−06"),
        (2.5e9, "2.50e+09"),
        (math.nan, "–"),
        (-math.inf, "–"),
    ],
)
def test_decimal(value, shown):
    assert decimal(value) == shown


def test_a_column_has_one_number_of_decimals():
    assert decimals_for([0.7, -203.0, math.nan]) == 1
    assert [decimal(value, 1, signed=True) for value in (0.7, -203.0)] == ["+0.7", "−203.0"]


def test_number_is_rounded_to_the_eye_and_exact_to_a_program():
    assert number(1 / 3) == '<data value="0.3333333333333333">0.33</data>'


def test_words_of_counts_times_and_shares():
    assert [count(n) for n in (0, 34622, 2.4e6, 1.234e9)] == ["0", f"34{THIN}622", "2.4 million", "1.23 billion"]
    assert [duration(s) for s in (0.25, 59.0, 75.0, 4500.0, 93_600.0)] == [
        "0.25 s",
        "59 s",
        "1 min 15 s",
        "1 h 15 min",
        "1 d 2 h",
    ]
    assert (share(1.0, 8.0), share(1.0, 0.0)) == ("12.5 %", "–")
    assert (plural(1, "task"), plural(2, "task")) == ("1 task", "2 tasks")


def test_parameters_of_any_shape():
    assert parameter(-1.0) == '<data value="-1.0">−1</data>'
    assert parameter([0.25, -0.5]).count("<data") == 2
    assert parameter([[1.0, 2.0], [3.0, 4.0]]) == "4 numbers"
    assert parameter("<b>") == "&lt;b&gt;"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/ada/runs/first", "…/first"),
        ("/home/ada", "…"),
        ("/home/Ada Lovelace/runs/first", "…/first"),
        ("~/runs", "…"),
        (r"C:\Users\ada\first.pt", "…/first.pt"),
        (r"C:\Users\ada", "…"),
        ("weights=/home/ada/w.pt, seed=1", "weights=…/w.pt, seed=1"),
        ("file:///home/ada/w.pt", "…/w.pt"),
        ("steps/s", "steps/s"),
        ("post / pre", "post / pre"),
        ("https://arxiv.org/abs/1810.06784", "https://arxiv.org/abs/1810.06784"),
        ("films/a.webp", "films/a.webp"),
        ("a\nb\x00c\u2028d", "a b c d"),
    ],
)
def test_text_is_one_line_without_absolute_paths(value, shown):
    assert plain(value) == shown


def test_text_is_escaped_encodable_and_not_endless():
    assert text("\"><img src=x onerror='a'>&") == "&quot;&gt;&lt;img src=x onerror=&#x27;a&#x27;&gt;&amp;"
    assert text("\ud800x").encode() == b" x"
    assert len(plain("x" * 10_000)) == 300
