"""The gallery: every suite has its place, every picture shows something, and the page that is kept is up to date."""

import os
from pathlib import Path

import numpy as np
import pytest

from drml.core.errors import InputError
from drml.suites.registry import SUITES

pytest.importorskip("matplotlib")
image = pytest.importorskip("PIL.Image")
gallery = pytest.importorskip("drml.report.gallery")

KEPT = Path(__file__).parents[2] / "docs" / "gallery.md"


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_has_its_place_and_one_only(name):
    assert [name.startswith(family.prefix) for family in gallery.FAMILIES].count(True) == 1


@pytest.mark.parametrize("family", gallery.FAMILIES, ids=lambda family: family.prefix)
def test_pictures_show_something(family, tmp_path):
    if family.sketch is None:
        pytest.importorskip("mujoco" if family.prefix in ROBOTS else PACKAGES.get(family.prefix, "pygame"))
    picture = np.asarray(image.open(gallery.draw(family, tmp_path / "picture.png")).convert("L"))
    values, counts = np.unique(picture, return_counts=True)
    assert len(values) > 5 and counts.max() < 0.995 * picture.size


PACKAGES = {"minigrid-": "minigrid", "babyai-": "minigrid", "atari-": "ale_py"}
ROBOTS = ("half-cheetah-", "ant-", "hopper-", "walker2d-", "humanoid-", "reacher-")


def test_the_page_that_is_kept_is_up_to_date():
    assert KEPT.read_text(encoding="utf-8") == gallery.text("gallery"), "run: drml gallery --out docs/gallery.md"
    pictures = {family.prefix.rstrip("-") + ".png" for family in gallery.FAMILIES}
    assert pictures <= {path.name for path in (KEPT.parent / "gallery").iterdir()}


@pytest.mark.parametrize("name", ["gal", "linked.md", "piped.md", "folder.md", "elsewhere.md", "taken.md"])
def test_a_page_that_cannot_be_written_is_refused_before_anything_is_drawn(name, tmp_path, monkeypatch):
    (tmp_path / "target").mkdir()
    (tmp_path / "linked.md").symlink_to("target/page")
    os.mkfifo(tmp_path / "piped.md")
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "elsewhere").symlink_to("target")
    (tmp_path / "taken").write_text("mine")
    monkeypatch.setattr(gallery, "draw", None)
    with pytest.raises(InputError, match=r"(name it gal\.md|; name another page)$"):
        gallery.write_gallery(tmp_path / name)
    assert not list((tmp_path / "target").iterdir())
