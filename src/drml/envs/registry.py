"""All suites by name."""

from drml.core.errors import InputError, suggest
from drml.envs import bandit, navigation, probe, tabular
from drml.envs.api import Suite
from drml.envs.mujoco import half_cheetah

_FAMILIES = (navigation, bandit, tabular, half_cheetah, probe)
SUITES: dict[str, Suite] = {suite.name: suite for family in _FAMILIES for suite in family.SUITES}


def suite_names() -> list[str]:
    """Return the names of all suites, family by family."""
    return list(SUITES)


def suite(name: str) -> Suite:
    """Return the suite of this name.

    Raises:
        InputError: if there is none; names the closest one.
    """
    if name not in SUITES:
        raise InputError(f"unknown suite '{name}'{suggest(name, suite_names())}")
    return SUITES[name]
