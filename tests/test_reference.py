"""The reference of public names: all are documented, all are shown, and the build fails where one is not."""

import importlib
import inspect
import sys
from pathlib import Path

import pytest

import drml

MAKE = Path(__file__).parents[1] / "docs/make"
BARE = '''
"""A module."""


class Whole:
    """Documented."""

    def act(self):
        """Act."""

    def _inner(self):
        pass


class Part:
    """Documented, and its members are not."""

    @property
    def size(self):
        return 0

    def act(self):
        return 0


class Bare:
    limit: int = 0


def bare():
    return 0
'''


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.syspath_prepend(str(MAKE))
    yield importlib.import_module("reference")
    sys.modules.pop("reference")


def test_every_public_name_has_a_docstring(reference):
    assert reference.missing_docstrings() == []


def test_pages_are_of_the_front_and_of_every_seam(reference):
    seams = {
        "drml.algos.api",
        "drml.policies.api",
        "drml.envs.api",
        "drml.tasks.samplers.api",
        "drml.collect.collector",
    }
    assert {"drml", "drml.run.session"} | seams <= set(reference.pages())
    shown = reference.public_names(importlib.import_module("drml.algos.api"))
    assert {"Learner", "LearnerState"} <= shown.keys() and not {"dataclass", "Policy", "Streams"} & shown.keys()
    assert reference.public_names(drml).keys() == drml._HOME_OF.keys()


def test_a_missing_docstring_is_found_on_classes_functions_methods_and_properties(reference, tmp_path, monkeypatch):
    (tmp_path / "bare_module.py").write_text(BARE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("bare_module")
    found = reference.undocumented(reference.public_names(module).values())
    assert found == [f"bare_module.{name}" for name in ("Part.size", "Part.act", "Bare", "bare")]
    module.__doc__ = None
    assert reference.undocumented([module]) == ["bare_module"]


def test_a_name_that_its_page_does_not_show_is_found(reference):
    names = {"train": drml.train, "load": drml.load, "session": drml.session, "inspect": inspect}
    assert reference.unshown('<section id="train"> load', names) == ["load", "inspect"]


def test_the_reference_is_built(reference, tmp_path, capsys):
    pytest.importorskip("pdoc")
    assert reference.main(tmp_path / "api") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'api/index.html'}\n"
    index = (tmp_path / "api/index.html").read_text(encoding="utf-8")
    assert all(f">{name}</a>" in index for name in reference.pages())
    assert 'id="Learner.adapt"' in (tmp_path / "api/drml/algos/api.html").read_text(encoding="utf-8")


def test_the_build_fails_in_one_line(reference, tmp_path, capsys, monkeypatch):
    pytest.importorskip("pdoc")
    monkeypatch.setattr(reference, "missing_docstrings", lambda: ["drml.use.run.train", "drml.use.run.load"])
    assert reference.main(tmp_path / "api") == 1
    assert capsys.readouterr().err == "reference: error: drml.use.run.train has no docstring, and 1 more\n"
