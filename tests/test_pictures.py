"""Pictures of the documentation are of what there is; `make pictures` draws them again."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
THEMES = ("light", "dark")


@pytest.fixture
def make(monkeypatch):
    """The scripts that draw."""
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(ROOT / "docs/make"))
    yield importlib.import_module("pictures")
    for name in ("pictures", "canvas", "episode"):
        sys.modules.pop(name, None)


def facts_of(stem, theme):
    image = pytest.importorskip("PIL.Image")
    return image.open(ROOT / f"docs/pictures/{stem}-{theme}.png").text["Description"]


@pytest.mark.parametrize("theme", THEMES)
def test_the_overview_shows_the_learners_and_the_stored_result(make, theme):
    assert facts_of("overview", theme) == make.overview_facts()  # else: make pictures


@pytest.mark.parametrize("theme", THEMES)
def test_the_meta_episode_is_the_one_that_its_page_speaks_of(make, theme):
    assert facts_of("one-meta-iteration", theme) == make.FACTS
    page = " ".join((ROOT / "docs/one-meta-iteration.md").read_text(encoding="utf-8").split())
    assert f"MAML on 2-D navigation after {sys.modules['episode'].META_ITERS} meta-iterations" in page


def test_a_picture_is_drawn_for_both_themes(make, tmp_path):
    files = make.save(make.overview, 110.0, 56.0, tmp_path / "overview", "facts")
    light, dark = (file.read_bytes() for file in files)
    assert [file.name for file in files] == ["overview-light.png", "overview-dark.png"]
    assert light != dark and light.startswith(b"\x89PNG")
