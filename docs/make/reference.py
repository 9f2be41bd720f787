"""Builds the reference of all public names from their docstrings: python docs/make/reference.py [FOLDER].

Public is what `drml` itself gives, and what the seams define: each `api.py`, acting (`collect`), and the values that
flow between them. A name without a docstring, or one that its page does not show, ends the build with one line and exit
code 1.
"""

import ast
import importlib
import inspect
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

import drml

DOCS = Path(__file__).parents[1]
HOUSE = Path(drml.__file__).parent
FRONT = "drml"
INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>drml</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 1rem/1.6 system-ui; max-width: 46rem; margin: 3rem auto;
padding: 0 1rem }} dt {{ font-family: monospace; margin-top: .8rem }} dd {{ margin: 0 }}</style></head>
<body><h1>drml, by name</h1>
<dl>{rows}</dl></body></html>
"""
Defined = ast.ClassDef | ast.FunctionDef


def pages() -> list[str]:
    """Return the modules that have a page of their own."""
    files = [*HOUSE.rglob("api.py"), *(HOUSE / "collect").glob("*.py"), HOUSE / "core/types.py"]
    names = {".".join(("drml", *file.relative_to(HOUSE).with_suffix("").parts)) for file in files}
    return [FRONT, "drml.run.session", *sorted(name.removesuffix(".__init__") for name in names)]


def public_names(module: ModuleType) -> dict[str, Any]:
    """Return the classes, functions and modules that a page has to show, by name, wherever they are defined."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed}
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return {name: value for name, value in own.items() if name[0] != "_" and _is_defined(value)}


def undocumented(values: Iterable[Any]) -> list[str]:
    """Return the dotted names of those without a docstring of their own, and of their public members without one."""
    missing: list[str] = []
    for value in values:
        if inspect.ismodule(value):
            missing += [] if value.__doc__ else [value.__name__]
            continue
        tree = ast.parse(Path(inspect.getfile(value)).read_text(encoding="utf-8"))
        found = next(node for node in tree.body if isinstance(node, Defined) and node.name == value.__name__)
        bare = [name for name, node in _with_members(found) if not ast.get_docstring(node)]
        missing += [f"{value.__module__}.{name}" for name in bare]
    return missing


def unshown(page: str, names: Mapping[str, Any]) -> list[str]:
    """Return the names that a page of HTML has no place for; a module has a page of its own instead."""
    shown = {name: f'id="{name}"' in page for name, value in names.items() if not inspect.ismodule(value)}
    shown |= {name: value.__name__ in pages() for name, value in names.items() if inspect.ismodule(value)}
    return [name for name, is_shown in shown.items() if not is_shown]


def build(folder: Path) -> list[str]:
    """Write the pages into a folder; return what is wrong with them, a line each."""
    from pdoc import doc, render  # only to build; whether all is documented is told without it

    loaded = {name: importlib.import_module(name) for name in pages()}
    for module in loaded.values():
        vars(module).update(public_names(module))  # what is lazy is not looked for
    modules = {name: doc.Module(module) for name, module in loaded.items()}
    render.configure(docformat="google", footer_text=f"drml {drml.__version__}", show_source=False)
    warnings.filterwarnings("ignore", "Error parsing type annotation", UserWarning)  # it is shown as it is written
    wrong = [f"{name} has no docstring" for name in missing_docstrings()]
    for name, module in modules.items():
        page, file = render.html_module(module, modules), folder / f"{name.replace('.', '/')}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
        wrong += [f"{name}.{symbol} is not on {file}" for symbol in unshown(page, public_names(loaded[name]))]
    (folder / "search.js").write_text(render.search_index(modules), encoding="utf-8")
    (folder / "index.html").write_text(_index(loaded), encoding="utf-8")
    return wrong


def _index(modules: Mapping[str, ModuleType]) -> str:
    """Return a page that leads to all others."""
    rows = [
        f'<dt><a href="{name.replace(".", "/")}.html">{name}</a></dt><dd>{escape(_first_line(module))}</dd>'
        for name, module in modules.items()
    ]
    return INDEX.format(rows="\n".join(rows))


def missing_docstrings() -> list[str]:
    """Return the dotted names of all public things without a docstring."""
    modules = [importlib.import_module(name) for name in pages()]
    values = [value for module in modules for value in [module, *public_names(module).values()]]
    return sorted(set(undocumented(values)))


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


def _is_defined(value: object) -> bool:
    return inspect.isclass(value) or inspect.isfunction(value)


def _with_members(node: Defined) -> Iterator[tuple[str, Defined]]:
    """Yield a class or a function, and the public methods and properties of a class."""
    yield node.name, node
    for member in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
            yield f"{node.name}.{member.name}", member


def main(folder: Path) -> int:
    """Build the reference and return the exit code."""
    wrong = build(folder)
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        print(f"reference: error: {wrong[0]}{more}", file=sys.stderr)
        return 1
    print(folder / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "api"))
