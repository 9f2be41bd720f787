"""docs/files.md lists the files that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/files.md"


def listed(tree: str) -> set[str]:
    """Return the files of a tree drawn by indentation, four spaces a level."""
    folders: list[str] = []
    found: set[str] = set()
    for line in tree.splitlines():
        name, level = line.split()[0], (len(line) - len(line.lstrip())) // 4
        folders[level:] = [name]
        if not name.endswith("/"):
            found.add("".join(folders[: level + 1]))
    return found


def test_the_tree_of_files_is_the_tree_there_is():
    (tree,) = re.findall(r"```\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    files = listed(tree)
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "src/drml").rglob("*.py")}
    assert code - files == set()
