"""The public names, and how quick the entrance is."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import drml


@pytest.mark.parametrize("name", drml._HOME_OF)
def test_every_public_name_is_what_its_home_holds(name):
    found, home = getattr(drml, name), importlib.import_module(drml._HOME_OF[name])
    assert found is (home if home.__name__.endswith(f".{name}") else vars(home)[name])
    assert name in dir(drml) and name in drml.__all__


def test_configurations_of_all_learners_and_policies_are_public():
    from drml.algos.registry import LEARNERS

    kinds = {kind for entry in LEARNERS.values() for kind in (entry.config_type, *entry.policies)}
    assert {kind.__name__: kind for kind in kinds} == {kind.__name__: getattr(drml, kind.__name__) for kind in kinds}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = drml.trian


def test_the_entrance_imports_nothing_that_takes_time():
    source = "import drml, sys; dir(drml); print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "gymnasium", "mujoco", "matplotlib", "tyro", "rich"} & set(modules)


def test_what_type_checkers_are_told_is_what_there_is():
    tree = ast.parse(Path(drml.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imported = {
        alias.asname: f"{node.module}.{alias.name}" if alias.name == "session" else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == drml._HOME_OF
