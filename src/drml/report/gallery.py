"""The gallery: one picture and the exact definition of every family of tasks, as a page of Markdown."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from drml.core.errors import InputError
from drml.core.plain_files import kind_of
from drml.envs.api import Suite
from drml.report import driving_sketches, game_sketches, sketches
from drml.report.figures import STYLE
from drml.report.film import save_strip
from drml.report.sketches import Sketch
from drml.report.still import take_still
from drml.run.durable import make_directories, replace_file
from drml.suites.packages import atari, minigrid
from drml.suites.registry import SUITES

INTRODUCTION = """# Gallery

Every family of tasks, with one picture and its exact definition. Written by `drml gallery`; not edited by hand.
"""


SIDE = 240  # pixels of a square picture


@dataclass(frozen=True)
class Family:
    """Section of the gallery: all suites whose names begin alike."""

    title: str
    prefix: str
    sketch: Sketch | None = None
    """Drawing of the family where it cannot be photographed."""
    picture: Callable[[str], np.ndarray] | None = None
    """Picture `[height, width, 3]` of a suite by name, where a package draws it; all suites are shown side by side."""

    @property
    def suites(self) -> list[Suite]:
        """Return the family's suites in the order of the registry."""
        return [suite for name, suite in SUITES.items() if name.startswith(self.prefix)]


FAMILIES = (
    Family("2-D navigation", "navigation-", sketches.navigation),
    Family("Bandits", "bandit-", sketches.bandit),
    Family("Random MDPs", "tabular-", sketches.tabular),
    Family("GridNavi", "gridnavi-", sketches.gridnavi),
    Family("Dark room", "dark-room-", sketches.dark_room),
    Family("Dark key-to-door", "dark-key-", sketches.dark_key),
    Family("T-maze", "tmaze-", sketches.tmaze),
    Family("Frozen lake", "meta-frozen-lake-", game_sketches.lake),
    Family("Memory of objects", "object-memory-", game_sketches.object_memory),
    Family("World of rules", "rule-world-", game_sketches.rule_world),
    Family("Highway", "highway-", driving_sketches.highway),
    Family("Half-cheetah", "half-cheetah-"),
    Family("Ant", "ant-"),
    Family("Hopper", "hopper-"),
    Family("Walker", "walker2d-"),
    Family("Humanoid", "humanoid-"),
    Family("Reacher", "reacher-"),
    Family("Cart-pole", "cartpole-"),
    Family("Pendulum", "pendulum-"),
    Family("Acrobot", "acrobot-"),
    Family("Mountain car", "mountain-car-"),
    Family("Lunar lander", "lunar-lander-"),
    Family("MiniGrid", "minigrid-", picture=minigrid.picture),
    Family("BabyAI", "babyai-", picture=minigrid.picture),
    Family("Atari", "atari-", picture=atari.picture),
    Family("Probes", "probe-", sketches.probe),
)


def write_gallery(page: Path) -> Path:
    """Write the page, and its pictures to the folder of the same name beside it; return its path.

    Raises:
        InputError: if a package that a picture needs is not installed, or the page or its folder cannot be where they
            are to be.
        ResourceError: if something cannot be written.
    """
    folder = page.with_suffix("")
    if folder == page:
        raise InputError(f"{page} cannot be the page: the pictures' folder is called so; name it {page.name}.md")
    for path, expected in ((page, "a file"), (folder, "a directory")):
        if (found := kind_of(path)) not in ("", expected):
            raise InputError(f"{path} is {found}, expected {expected}, or nothing; name another page")
    for family in FAMILIES:
        draw(family, folder / f"{family.prefix}.png".replace("-.", "."))
    make_directories(page.parent)
    replace_file(page, text(folder.name).encode())
    return page


def draw(family: Family, path: Path) -> Path:
    """Write a family's picture: a sketch, or a still."""
    suite = family.suites[0]
    if family.sketch is not None:
        make_directories(path.parent)
        replace_file(path, _sketched(family.sketch, suite))
        return path
    if family.picture is not None:
        pictures = [_square(family.picture(suite.name)) for suite in family.suites]
        return save_strip(np.stack(pictures), path, count=len(pictures))
    return save_strip(take_still(suite)[None], path, count=1)


def _square(picture: np.ndarray) -> np.ndarray:
    """Return a picture as a square, each pixel the nearest one: those of a family differ in size."""
    rows, columns = (np.linspace(0, length - 1, SIDE).round().astype(int) for length in picture.shape[:2])
    return picture[rows[:, None], columns]


def text(folder: str) -> str:
    """Return the page, whose pictures lie in `folder`."""
    parts = [INTRODUCTION]
    for family in FAMILIES:
        picture = f"{folder}/{family.prefix}.png".replace("-.", ".")
        parts += [f"## {family.title}\n", f"![{family.title}]({picture})\n"]
        parts += [_definition(suite) for suite in family.suites]
    return "\n".join(parts)


def _definition(suite: Suite) -> str:
    spec = suite.spec
    facts = {
        "source": suite.source,
        "seen": f"{spec.num_seen} numbers",
        "actions": f"{spec.action.size} {spec.action.kind}",
        "horizon": f"{spec.horizon} steps",
        **suite.definition,
    }
    rows = [f"- {name}: {value}" for name, value in facts.items()]
    tasks = "\n".join(f"    {line}" for line in suite.tasks.describe().splitlines())
    return f"### `{suite.name}`\n\n{suite.summary}\n\n" + "\n".join(rows) + f"\n\n{tasks}\n"


def _sketched(sketch: Sketch, suite: Suite) -> bytes:
    with rc_context(STYLE):
        figure = Figure((3.2, 2.4), layout="constrained")
        sketch(figure.add_subplot(), suite)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    return stream.getvalue()
