"""The walk through one meta-iteration is run from top to bottom, and what it quotes stands in the house."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/one-meta-iteration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
QUOTES = [block for block in BLOCKS if block.startswith("# src/")]
CODE = "".join(block for block in BLOCKS if not block.startswith("# src/"))


def promised(code: str) -> list[str]:
    """Return what the comments say that each `print` prints, behind it or on the line below."""
    after_print = re.findall(r"^print\(.*\)(?:\n#|  #) (.*)$", code, re.MULTILINE)
    assert len(after_print) == len(re.findall(r"^print\(", code, re.MULTILINE))
    return after_print


def test_the_page_prints_what_it_says(capsys):
    exec(compile(CODE, "docs/one-meta-iteration.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == promised(CODE)


@pytest.mark.parametrize("quote", QUOTES, ids=lambda quote: quote.splitlines()[0])
def test_what_is_quoted_stands_in_the_file_in_this_order(quote):
    first, *lines = quote.splitlines()
    written = [line.strip() for line in (ROOT / first.removeprefix("# ")).read_text(encoding="utf-8").splitlines()]
    places = [written.index(line) if line in written else line for line in lines]
    assert [place for place in places if isinstance(place, str)] == []
    assert places == sorted(places)
