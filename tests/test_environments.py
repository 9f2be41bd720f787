"""docs/environments.md says what the stored results of its benchmark say, of all the families that there are."""

import copy
import json
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/environments.md").read_text(encoding="utf-8")
STORED = json.loads((ROOT / "benchmarks/results/environments.json").read_text(encoding="utf-8"))
TITLES = {"torch": "torch", "numpy": "NumPy", "gymnasium": "Gymnasium", "shimmy": "Shimmy"}


@pytest.fixture(scope="module")
def foreign() -> Generator[dict[str, ModuleType]]:
    """The modules of the benchmark, which imports a family's package where the family is made."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from foreign import families, own, package, table

        yield {"families": families, "own": own, "package": package, "table": table}
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def table_of(foreign: dict[str, ModuleType], outcomes: dict) -> str:
    return foreign["table"].table(foreign["families"].FAMILIES, foreign["package"].PACKAGES, outcomes)


def test_the_table_is_what_the_stored_results_say(foreign):
    assert table_of(foreign, STORED["families"]) in PAGE, "benchmarks/environments.py --table prints it"


def test_one_other_exit_code_is_another_table(foreign):
    for learner, command in (("maml", "adapt"), ("rl2", "export")):
        planted = copy.deepcopy(STORED["families"])
        planted["platforms"][learner][command]["exit_code"] = 3
        assert table_of(foreign, planted) not in PAGE
    planted = copy.deepcopy(STORED["families"])
    planted["platforms"]["check"]["exit_code"] = 3
    assert table_of(foreign, planted) not in PAGE


def test_every_family_was_tried_in_the_version_that_it_names(foreign):
    packages = foreign["package"].PACKAGES
    assert packages.keys() == foreign["families"].FAMILIES.keys()
    tried = {name: (outcome["package"], outcome["version"]) for name, outcome in STORED["families"].items()}
    assert tried == {name: (package.name, package.version) for name, package in packages.items()}


def test_the_page_names_the_versions_beside_which_they_ran():
    for name, title in TITLES.items():
        assert f"{title} {STORED[name]}" in PAGE


def test_what_is_adapted_to_is_held_out_for_tests(foreign):
    family = foreign["families"].FAMILIES["arms"]
    (chances,) = foreign["own"].arms.keywords.values()
    assert foreign["own"].arms.func is family.make
    assert chances.shape == (3,) and abs(chances.sum() - 1.0) < 1e-6
    with pytest.raises(AttributeError, match="nobody"):
        _ = foreign["own"].nobody
