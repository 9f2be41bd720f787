"""Packages that the environments come from."""

from collections.abc import Callable
from dataclasses import dataclass

from drml import GymFamily


@dataclass(frozen=True)
class Package:
    """Where a family's environment comes from, and what was needed until it was one."""

    name: str
    """As PyPI has it."""
    version: str
    environment: str
    varies: str
    needed: str = "nothing"
    also: str = ""
    """What it imports and `drml` does not bring, by the names of PyPI."""
    module: str = ""
    """Module that holds the family, such as `foreign.pictures`."""


PACKAGES: dict[str, Package] = {}
"""By the names of their families, in the order in which these are defined."""


def comes_from(name: str, version: str, environment: str, **more: str) -> Callable[[GymFamily], GymFamily]:
    """Return a decorator that notes where a family's environment comes from."""

    def noted(family: GymFamily) -> GymFamily:
        module = family.make.__module__
        PACKAGES[family.name] = Package(name, version, environment, module=module, **more)
        return family

    return noted
