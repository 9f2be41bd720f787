"""Things in a world of rules: objects of a kind and a colour, their names, what they look like, and rules in words."""

from drml.envs.pictures.tiles import BALL, BLUE, GREEN, PYRAMID, RED, SQUARE, YELLOW, Colour, Shape
from drml.suites.games.rulesets import HOLD, NEAR, TOUCH

KINDS = ("ball", "square", "pyramid")
COLOURS = ("red", "green", "blue", "yellow")
NUM_OBJECTS = len(KINDS) * len(COLOURS)  # P; object 1 + kind x colours + colour
EMPTY, WALL = 0, NUM_OBJECTS + 1
NUM_SYMBOLS = NUM_OBJECTS + 2
"""Symbols that a cell may show: empty, the objects, wall."""
_SHAPES = {"ball": BALL, "square": SQUARE, "pyramid": PYRAMID}
_PAINTS = {"red": RED, "green": GREEN, "blue": BLUE, "yellow": YELLOW}
_WORDS = {HOLD: "hold", NEAR: "near", TOUCH: "touch"}


def named(thing: int) -> tuple[str, str]:
    """Return the kind and the colour of an object."""
    kind, colour = divmod(thing - 1, len(COLOURS))
    return KINDS[kind], COLOURS[colour]


def drawn(thing: int) -> tuple[Shape, Colour]:
    """Return the shape and the colour that an object has in pictures."""
    kind, colour = named(thing)
    return _SHAPES[kind], _PAINTS[colour]


def said(row: list[int]) -> str:
    """Return a goal or a rule, a row of a ruleset, in words."""
    word, a, b, made = row
    things = " and ".join(" ".join(reversed(named(thing))) for thing in (a, b) if thing)
    return f"{_WORDS[word]} {things}" + (f" makes {' '.join(reversed(named(made)))}" if made else "")
