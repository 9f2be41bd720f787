import ast
import statistics
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "drml"
FLOORS = [
    {"core", "__init__"},
    {"tasks", "policies", "spaces"},
    {"envs", "learning"},
    {"suites", "algos", "collect"},
    {"loop", "executors", "gym", "references"},
    {"run", "check"},
    {"recipes", "report", "act"},
    {"use", "export"},
    {"cli", "__main__"},  # shows reports, so it stands on them
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ROOMS_OF = {  # which third parties may be imported where; torch and numpy everywhere
    "mujoco": {"envs/mujoco"},
    "gymnasium": {"spaces", "act", "envs/foreign", "suites", "suites/packages", "check", "gym"},
    "ale_py": {"suites/packages"},
    "matplotlib": {"report"},
    "PIL": {"report", "envs/mujoco"},
    "tyro": {"cli"},
    "rich": {"cli"},
    "safetensors": {"run"},
    "onnx": {"export"},
    "onnxscript": {"export"},
    "onnxruntime": {"export"},
    "keras": {"policies", "export"},
    "tensorflow": {"export"},
    "tensorboard": {"run"},
}
BANNED_NAMES = {"utils", "common", "helpers", "misc", "base"}
GLOBAL_RNG = {"manual_seed", "seed", "rand", "randn", "randint", "randperm", "multinomial", "bernoulli"}
GLOBAL_RNG |= {"rand_like", "randn_like", "normal", "get_rng_state", "set_rng_state", "default_generator"}
SEEDED = {"Generator", "Philox", "PCG64"}  # of numpy.random: these hold a state of their own
SEEDS_FOREIGN_CODE = {  # which draws from global generators
    "core/global_generators",  # puts them back as they were
    "check/surroundings",  # in a process of its own
}

FILES = sorted(SRC.rglob("*.py"))
SOURCES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def name_of(path: Path) -> str:
    return str(path.relative_to(SRC).with_suffix(""))


def room_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(tree: ast.Module) -> Iterator[tuple[str, ...]]:
    """Yield the parts of every imported module's name, `from drml import x` as `drml.x`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute"
            if node.module == "drml":
                yield from (("drml", alias.name) for alias in node.names if alias.name != "__version__")
            else:
                yield tuple(node.module.split("."))


def test_the_rooms_are_those_of_the_plan_and_no_file_lies_in_the_hall():
    assert {room_of(path) for path in FILES} == set(FLOOR_OF)
    assert {path.stem for path in FILES if path.parent == SRC} == {"__init__", "__main__"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path):
    room = room_of(path)
    up = [".".join(m) for m in imports(SOURCES[path]) if m[0] == "drml" and FLOOR_OF[m[1]] > FLOOR_OF[room]]
    assert not up, f"{path} (floor {FLOOR_OF[room]}) imports from above: {up}"


def modules_below(path: Path) -> set[str]:
    """Return the modules of the house that a file imports, wherever in it, by their dotted names."""
    files = set(map(dotted, FILES))
    found: set[str] = set()
    for node in ast.walk(SOURCES[path]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("drml"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & files) or {node.module or ""}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & files
    return found - {"drml"}


def dotted(path: Path) -> str:
    return ".".join(("drml", *name_of(path).split("/"))).removesuffix(".__init__")


def test_files_do_not_import_in_a_circle():
    below = {dotted(path): modules_below(path) - {dotted(path)} for path in FILES if path.parent != SRC}
    TopologicalSorter(below).prepare()  # raises CycleError


@pytest.mark.parametrize("depth", [1, 2])
def test_folders_do_not_import_each_other(depth: int):
    below: dict[str, set[str]] = {}
    for path in (path for path in FILES if path.parent != SRC):
        folder = ".".join(dotted(path.parent / "x").split(".")[1 : 1 + depth]).removesuffix(".x")
        to = {".".join(module.split(".")[1:-1][:depth]) for module in modules_below(path)}
        below.setdefault(folder, set()).update(to - {folder, ""})
    # a folder and what lies in it are one: its registry may know its parts
    apart = {a: {b for b in bs if not (b.startswith(f"{a}.") or a.startswith(f"{b}."))} for a, bs in below.items()}
    assert not [(a, b) for a, bs in apart.items() for b in bs if a in apart.get(b, set())]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_third_parties_stay_in_their_rooms(path: Path):
    place = str(path.relative_to(SRC).parent if path.parent != SRC else room_of(path))
    strays = [m[0] for m in imports(SOURCES[path]) if m[0] in ROOMS_OF and place not in ROOMS_OF[m[0]]]
    assert not strays, f"{path} imports {strays}, whose rooms are {[ROOMS_OF[name] for name in strays]}"


@pytest.mark.parametrize("path", sorted((SRC / "algos").rglob("*.py")), ids=name_of)
def test_algorithms_know_neither_each_other_nor_the_world(path: Path):
    shared = {"api", "registry"}
    for module in (m for m in imports(SOURCES[path]) if m[0] == "drml"):
        assert module[1] not in {"envs", "suites", "tasks", "collect"}
        if path.stem not in shared and module[1] == "algos":
            assert module[2] in shared


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_imported_for_the_type_checker_alone(path: Path):
    names = {getattr(node, "id", getattr(node, "name", "")) for node in ast.walk(SOURCES[path])}
    assert "TYPE_CHECKING" not in names


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_booleans_say_which_moment_they_speak_about(path: Path):
    named = {getattr(node, "id", getattr(node, "arg", getattr(node, "attr", ""))) for node in ast.walk(SOURCES[path])}
    assert not named & {"done", "dones", "mask", "masks", "bad_mask", "nonterminal"}


@pytest.mark.parametrize("path", [path for path in FILES if name_of(path) not in SEEDS_FOREIGN_CODE], ids=name_of)
def test_no_global_random_numbers(path: Path):
    for node in ast.walk(SOURCES[path]):
        if not isinstance(node, ast.Attribute):
            continue
        owner = ast.unparse(node.value)
        assert not (owner == "torch" and node.attr in GLOBAL_RNG), f"{path}:{node.lineno}"
        assert not (owner in {"np.random", "numpy.random"} and node.attr not in SEEDED), f"{path}:{node.lineno}"
        assert node.attr not in {"normal_", "uniform_", "bernoulli_", "random_"}, f"{path}:{node.lineno}"
    assert ("random",) not in set(imports(SOURCES[path]))


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "examples"])
def test_files_are_named_for_what_they_hold(folder: str):
    assert not [path for path in (ROOT / folder).rglob("*.py") if path.stem in BANNED_NAMES]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_small(path: Path):
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= 400, f"{path} has {num_lines} lines, more than 400"


def test_half_of_the_files_fit_on_two_screens_and_no_room_is_the_house():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert statistics.median(lengths.values()) <= 120
    rooms: dict[str, int] = {}
    for path, length in lengths.items():
        rooms[room_of(path)] = rooms.get(room_of(path), 0) + length
    assert max(rooms.values()) < 0.2 * sum(rooms.values()), max(rooms, key=lambda room: rooms[room])


BLOCKS = ast.If | ast.For | ast.While | ast.With | ast.Try | ast.Match | ast.AsyncFor | ast.AsyncWith


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Return how deep blocks lie in each other below a node; an `elif` is beside its `if`, not within."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deeper = depth + (isinstance(child, BLOCKS) and not is_elif)
        deepest = max(deepest, nesting(child, deeper))
    return deepest


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_blocks_do_not_lie_deep_in_each_other(path: Path):
    for node in ast.walk(SOURCES[path]):
        if isinstance(node, ast.FunctionDef):
            assert nesting(node) <= 4, f"{path}: {node.name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_are_short(path: Path):
    for node in ast.walk(SOURCES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert num_lines <= 60, f"{path}: {node.name} has {num_lines} lines, more than 60"
