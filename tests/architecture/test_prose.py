"""The first word of a docstring names the thing or the act; it is no riddle that the sentence solves."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RIDDLES = {"what", "who", "whom", "whose", "how", "whether", "where", "when", "which", "why"}
OWNERS = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign

FILES = sorted((ROOT / "src/drml").rglob("*.py"))


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of all docstrings: of modules, classes and functions, and below an assignment."""
    for node in ast.walk(tree):
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            statements: list[ast.stmt] = block if isinstance(block, list) else []  # a lambda's body is one expression
            for owner, statement in zip([node, *statements], statements, strict=False):
                match statement:
                    case ast.Expr(value=ast.Constant(value=str(text))) if isinstance(owner, OWNERS):
                        yield statement.lineno, text
                    case _:
                        pass


def riddles(source: str) -> list[str]:
    """Return the first lines of docstrings that open with a question word, each with its line number."""
    opened = ((line, text.strip().partition("\n")[0]) for line, text in docstrings(ast.parse(source)))
    return [
        f"{line}: {text}" for line, text in opened if text.split() and text.split()[0].strip(",:").lower() in RIDDLES
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_name_the_thing_or_the_act(path: Path):
    found = riddles(path.read_text(encoding="utf-8"))
    assert not found, f"{path} opens docstrings with a question word; name the thing or the act: {found}"


RIDDLE_EVERYWHERE = '''"""What a module is."""
LIMIT = 3
"""How much is too much."""


class Robot:
    """Who moves.

    In the plane.
    """

    goal: int = 0
    """Where: it goes."""

    def __init__(self):
        """Whether it is."""
        self.speed = 1.0
        """Which one."""

    async def act(self):
        """  whom, it asks."""


if LIMIT:
    pass
else:
    OTHER = 4
    """Whose it is."""
'''


def test_riddles_are_found_wherever_a_docstring_can_stand():
    opened = {int(found.split(":")[0]) for found in riddles(RIDDLE_EVERYWHERE)}
    lines = RIDDLE_EVERYWHERE.splitlines()
    questions = ("What", "How", "Who", "Where", "Whether", "Which", "whom", "Whose")
    assert opened == {
        i for i, line in enumerate(lines, 1) if any(f'"{word}' in line.replace(" ", "") for word in questions)
    }
    assert len(opened) == len(questions)


def test_names_acts_and_plain_strings_are_no_riddles():
    assert (
        riddles('"""Return whether it is so, and what it is."""\nx = "What is it?"\nf("Which")\n"""How it ends"""\n')
        == []
    )
