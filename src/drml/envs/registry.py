"""All suites by name, and the user's own by `package.module:attribute`."""

from drml.core.lookup import look_up
from drml.envs import bandit, grid, navigation, probe, tabular
from drml.envs.api import Suite
from drml.envs.gymnasium import classic
from drml.envs.gymnasium.imported import imported_suite
from drml.envs.mujoco import half_cheetah

_FAMILIES = (navigation, bandit, tabular, grid, half_cheetah, classic, probe)
SUITES: dict[str, Suite] = {suite.name: suite for family in _FAMILIES for suite in family.SUITES}


def suite(name: str) -> Suite:
    """Return the suite of this name, or the one that `package.module:attribute` stands for.

    Raises:
        InputError: if there is none; names the closest one.
    """
    if ":" in name:
        return imported_suite(name)
    return look_up("suite", name, SUITES)
