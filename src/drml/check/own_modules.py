"""The modules of the user: what their names are bound to, and the state that they and their classes hold."""

import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

import gymnasium as gym

from drml.core.blame import is_own


def own_modules() -> Iterator[ModuleType]:
    """Yield the modules that are imported from elsewhere than ours and the libraries."""
    found: list[Any] = list(sys.modules.values())  # some put other things there
    for module in found:
        if isinstance(module, ModuleType) and is_own(vars(module).get("__file__") or ""):
            yield module


def rebind(replaced: Mapping[int, Any]) -> None:
    """Bind the names of the user's modules that are bound to certain things, given by their identity, to others."""
    for module in own_modules():
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                setattr(module, name, replaced[id(value)])


def outside_state() -> dict[str, bytes]:
    """Return what is held outside of instances, in variables of the user's modules and their classes, by name.

    Spaces are left out: whoever samples from them changes them.
    """
    found: dict[str, bytes] = {}
    for module in own_modules():
        found |= _state(module.__name__, vars(module))
        for name, kind in list(vars(module).items()):
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                found |= _state(f"{module.__name__}.{name}", vars(kind))
    return found


def _state(owner: str, values: Mapping[str, Any]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, value in list(values.items()):
        if not (name.startswith("__") or callable(value) or isinstance(value, ModuleType | gym.Space)):
            with suppress(Exception):  # what cannot be pickled is not looked at
                found[f"{owner}.{name}"] = pickle.dumps(value)
    return found
