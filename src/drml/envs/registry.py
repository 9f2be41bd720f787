"""All suites by name."""

from drml.core.lookup import look_up
from drml.envs import bandit, grid, navigation, probe, tabular
from drml.envs.api import Suite
from drml.envs.mujoco import ant, half_cheetah, hopper, humanoid, reacher, walker2d

_ROBOTS = (half_cheetah, ant, hopper, walker2d, humanoid, reacher)
FAMILIES: tuple[tuple[Suite, ...], ...] = tuple(
    family.SUITES for family in (navigation, bandit, tabular, grid, *_ROBOTS, probe)
)
SUITES: dict[str, Suite] = {suite.name: suite for family in FAMILIES for suite in family}


def suite(name: str) -> Suite:
    """Return the suite of this name.

    Raises:
        InputError: if there is none; names the closest one.
    """
    return look_up("suite", name, SUITES)
