import unicodedata

import pytest

from drml.core.printable import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [red]text[/red] :smile:", "plain [red]text[/red] :smile:"),
        ("Müller 漢字 👩‍🚀", "Müller 漢字 👩‍🚀"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\rb\x08\x7f\x9b31m", r"a\rb\x08\x7f\x9b31m"),
        ("two\nlines\ttab", r"two\nlines\ttab"),
        ("half \ud800 and \udcff", r"half \ud800 and \udcff"),
        ("right \u202e left \u2066", r"right \u202e left \u2066"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        (3.5, "3.5"),
    ],
)
def test_what_cannot_be_shown_is_shown_as_its_escape(text, shown):
    assert printable(text) == shown


def test_no_control_passes_and_all_can_be_encoded():
    everything = "".join(map(chr, range(0x110000)))
    left = printable(everything)
    assert not {c for c in left if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    left.encode()


def test_a_line_is_one_and_keeps_what_it_is_told_to():
    assert one_line(" a\n\t b\x1b ") == r"a b\x1b"
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
