"""Tables of results: numbers to the digits that their intervals allow, and no page without a place for them."""

import pytest

from drml.cli.main import main
from drml.recipes.reproduce import stored_result
from drml.recipes.tables import compared, gains, interval

SEEDS = {"over": "seeds", "count": 3}


@pytest.mark.parametrize(
    ("mean", "width", "shown"),
    [
        (359.7356, 230.23, "360 ± 230"),
        (-1.3008, 5.3669, "−1.3 ± 5.4"),
        (77.9715, 0.14, "77.97 ± 0.14"),
        (3.99193, 0.009984, "3.992 ± 0.010"),
        (0.9996, 0.00134, "0.9996 ± 0.0013"),
        (11.0714, None, "11.07 (all equal)"),
    ],
)
def test_a_mean_is_shown_to_the_second_digit_of_its_interval(mean, width, shown):
    assert interval({"mean": mean, "mean_half_width_95": width, **SEEDS}) == shown


def test_one_seed_without_an_interval_says_so():
    point = {"mean": 22.439, "mean_half_width_95": None, "over": "tasks", "count": 40, "iqm": 22.0}
    assert interval(point) == "22.44"
    result = stored_result("short-reacher-goal") | {"gain": point | {"reached": None}}
    assert gains([result]).endswith("| 22.44 | one seed, no interval | not decided |")


def test_a_row_says_what_its_interval_is_over_and_what_it_is_held_against():
    row = compared([stored_result("navigation-maml")]).splitlines()[-1]
    assert row.startswith("| navigation-maml | 5 | 12.8 M | −38.6 ± 2.5, −11.3 ± 1.1,")
    assert row.endswith("| over 5 seeds | published −40.41, −11.68, −3.33, −3.23 | reached |")


@pytest.mark.parametrize("text", ["", "<!-- results: gradient learners -->\n"])
def test_a_page_without_a_place_is_refused_and_kept(tmp_path, capsys, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    assert main(["reproduce", "--tables", str(page)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "page.md has no lines '<!-- results: gradient learners -->'" in error
    assert page.read_text() == text
    assert main(["reproduce", "--tables", str(tmp_path / "none.md")]) == 2
    assert "none.md cannot be read" in capsys.readouterr().err


def test_a_column_of_successes_appears_where_one_is_known():
    silent = stored_result("navigation-maml")
    point = {"mean": 0.5, "mean_half_width_95": 0.031, **SEEDS}
    head, _, *rows = compared([silent, silent | {"success_any_by_step": [point, point]}]).splitlines()
    assert head.split(" | ")[4] == "success at any step ± 95 %"
    assert [row.split(" | ")[4] for row in rows] == ["", "0.500 ± 0.031, 0.500 ± 0.031"]
    assert "success" not in compared([silent])
