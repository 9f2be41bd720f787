import pytest

from drml.core.errors import InputError
from drml.core.lookup import look_up

COLOURS = {"red": 1, "green": 2}


def test_an_entry_is_found_by_its_name():
    assert look_up("colour", "green", COLOURS) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gren", "unknown colour 'gren'. Did you mean 'green'?"),
        ("", "unknown colour ''. Known: green, red."),
        ("violet", "unknown colour 'violet'. Known: green, red."),
    ],
)
def test_a_wrong_name_is_refused_with_a_right_one(name, message):
    with pytest.raises(InputError) as refusal:
        look_up("colour", name, COLOURS)
    assert str(refusal.value) == message
