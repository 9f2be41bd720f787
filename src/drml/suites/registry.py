"""All suites by name, and the user's own by `package.module:attribute`."""

from drml.core.lookup import look_up
from drml.envs.api import Suite
from drml.envs.foreign.imported import imported_suite
from drml.suites import bandit, classic, grid, navigation, probe, tabular
from drml.suites.driving import highway
from drml.suites.games import lake, object_memory, rule_world
from drml.suites.packages import atari, minigrid
from drml.suites.robots import ant, half_cheetah, hopper, humanoid, reacher, walker2d

_GAMES = (lake, object_memory, rule_world)
_PACKAGES = (minigrid, atari)
_ROBOTS = (half_cheetah, ant, hopper, walker2d, humanoid, reacher)
FAMILIES: tuple[tuple[Suite, ...], ...] = tuple(
    family.SUITES
    for family in (navigation, bandit, tabular, grid, *_GAMES, highway, *_ROBOTS, classic, *_PACKAGES, probe)
)
SUITES: dict[str, Suite] = {suite.name: suite for family in FAMILIES for suite in family}


def suite(name: str) -> Suite:
    """Return the suite of this name, or the one that `package.module:attribute` stands for.

    Raises:
        InputError: if there is none; names the closest one.
    """
    if ":" in name:
        return imported_suite(name)
    return look_up("suite", name, SUITES)
