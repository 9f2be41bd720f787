"""Checkpoints: exact round trips, and faults planted wherever a save or a load touches the disk."""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from drml.core.errors import CheckpointError, InputError, ResourceError
from drml.core.tree import Tree, tree_leaves
from drml.run import checkpoint, sealed

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint64,
    torch.uint32,
    torch.uint16,
    torch.uint8,
]
ONE, TWO = torch.zeros(1), torch.zeros(2)
FILES = (sealed.STATE, sealed.FACTS, sealed.MANIFEST)


def small_tree(value: float) -> Tree:
    return {"params": {"w": torch.full((2, 3), value)}, "carry": {}, "step": torch.tensor(int(value))}


def bits(tree: Tree) -> dict[str, bytes]:
    return {path: leaf.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for path, leaf in tree_leaves(tree)}


def value_of(path: Path) -> float:
    """Load a checkpoint of `small_tree` and return its value, having checked that all of it says the same."""
    tree, facts = checkpoint.load(path, small_tree(0))
    value = facts["value"]
    assert bits(tree) == bits(small_tree(value))
    return value


def newest_value(directory: Path) -> float:
    path = checkpoint.newest(directory)
    assert path is not None
    return value_of(path)


def save_values(directory: Path, *values: int) -> None:
    for value in values:
        checkpoint.save(directory, f"meta_iter-{value}", small_tree(value), {"value": value})


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Let the disk take its time: only a loss of power would show the difference, and no test here can plant one."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


# ---- round trips


def test_every_dtype_comes_back_bit_for_bit(tmp_path):
    # Random bytes hold NaN payloads, infinities, -0.0 and subnormals, which equality of values would not tell apart.
    raw = torch.from_numpy(np.random.default_rng(0).integers(0, 256, 480, dtype=np.uint8))
    tree: Tree = {str(dtype): raw.clone().view(dtype) for dtype in DTYPES}
    tree["bool"] = torch.tensor([True, False, True])
    loaded, _ = checkpoint.load(checkpoint.save(tmp_path, "all", tree, {}), tree)
    assert bits(loaded) == bits(tree)
    assert [leaf.dtype for _, leaf in tree_leaves(loaded)] == [leaf.dtype for _, leaf in tree_leaves(tree)]


def test_views_scalars_empty_tensors_and_empty_branches_come_back(tmp_path):
    memory = torch.arange(12.0).view(3, 4)
    tree: Tree = {
        "transposed": memory.T,
        "same memory": memory,
        "strided": memory[:, ::2],
        "expanded": torch.tensor([[1.0]]).expand(2, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "scalar": torch.tensor(7),
        "no rows": torch.zeros(0, 3),
        "empty": {},
        "deep": {"empty": {}, "leaf": torch.tensor([1.5])},
    }
    loaded, _ = checkpoint.load(checkpoint.save(tmp_path, "all", tree, {}), tree)
    assert list(loaded) == list(tree)
    assert loaded["empty"] == {}
    deep = loaded["deep"]
    assert isinstance(deep, dict)
    assert deep["empty"] == {}
    for (path, leaf), (expected_path, expected) in zip(tree_leaves(loaded), tree_leaves(tree), strict=True):
        assert path == expected_path
        assert torch.equal(leaf, expected)
        assert not leaf.requires_grad


def test_conjugate_and_negative_views_are_stored_by_value(tmp_path):
    number = torch.tensor([1.0 + 2.0j])
    tree: Tree = {"conjugate": number.conj(), "imaginary": number.conj().imag}
    loaded, _ = checkpoint.load(checkpoint.save(tmp_path, "c", tree, {}), tree)
    assert torch.equal(loaded["conjugate"], torch.tensor([1.0 - 2.0j]))  # pyright: ignore[reportArgumentType]
    assert torch.equal(loaded["imaginary"], torch.tensor([-2.0]))  # pyright: ignore[reportArgumentType]


def test_loaded_tensors_own_their_memory(tmp_path):
    path = checkpoint.save(tmp_path, "a", small_tree(1), {"value": 1})
    tree, _ = checkpoint.load(path, small_tree(0))
    for _, leaf in tree_leaves(tree):
        leaf.add_(1)
    assert value_of(path) == 1


def test_like_on_the_meta_device_gives_shapes_and_loads_on_cpu(tmp_path):
    path = checkpoint.save(tmp_path, "a", {"w": torch.tensor([1.0, 2.0])}, {})
    loaded, _ = checkpoint.load(path, {"w": torch.empty(2, device="meta")})
    assert torch.equal(loaded["w"], torch.tensor([1.0, 2.0]))  # pyright: ignore[reportArgumentType]


def test_facts_come_back_exactly(tmp_path):
    facts = {
        "third": 1 / 3,
        "tiny": 5e-324,
        "big": 2**80,
        "text": "π \n ☃",
        "list": [1, None, True, {"a": []}],
        "": -0.0,
    }
    _, loaded = checkpoint.load(checkpoint.save(tmp_path, "a", {}, facts), {})
    assert repr(loaded) == repr(facts)


def test_equal_contents_give_equal_files(tmp_path):
    first = checkpoint.save(tmp_path / "1", "a", small_tree(3), {"value": 3})
    second = checkpoint.save(tmp_path / "2", "a", small_tree(3), {"value": 3})
    assert [(first / name).read_bytes() for name in FILES] == [(second / name).read_bytes() for name in FILES]


def test_manifest_says_what_sha256sum_says(tmp_path):
    path = checkpoint.save(tmp_path, "a", small_tree(1), {"value": 1})
    assert sorted(entry.name for entry in path.iterdir()) == sorted(FILES)
    manifest = json.loads((path / "manifest.json").read_bytes())
    assert manifest["format"] == 1
    for name in (sealed.STATE, sealed.FACTS):
        data = (path / name).read_bytes()
        assert manifest["files"][name] == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


# ---- names, order, pruning


def test_a_name_is_never_overwritten(tmp_path):
    save_values(tmp_path, 1)
    with pytest.raises(InputError, match="exists already") as error:
        checkpoint.save(tmp_path, "meta_iter-1", small_tree(2), {"value": 2})
    one_line(error)
    assert newest_value(tmp_path) == 1


@pytest.mark.parametrize("kind", ["file", "link to a folder", "link to a file", "link to nothing", "pipe"])
def test_what_is_no_checkpoint_gives_up_its_name_and_is_kept_aside(kind, tmp_path):
    """A training of hours is not lost to it, and what a link points to is not touched."""
    save_values(tmp_path / "two", 1)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("three years of work")
    path = tmp_path / "two" / "meta_iter-2"
    targets = {"link to a folder": mine, "link to a file": mine / "thesis.txt", "link to nothing": mine / "none"}
    if kind == "file":
        path.write_text("mine")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(targets[kind])
    before = os.lstat(path).st_ino
    checkpoint.save(tmp_path / "two", "meta_iter-2", small_tree(2), {"value": 2})
    assert newest_value(tmp_path / "two") == 2
    aside = [entry for entry in (tmp_path / "two").iterdir() if entry.name.startswith(".damaged-meta_iter-2-")]
    assert [os.lstat(entry).st_ino for entry in aside] == [before]
    assert [(entry.name, entry.read_text()) for entry in mine.iterdir()] == [("thesis.txt", "three years of work")]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "/a", ".tmp-a", ".a", "-a", "a\n", "a\0", "x" * 200, "é"]
)
def test_unfit_names_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot name a checkpoint") as error:
        checkpoint.save(tmp_path, name, small_tree(1), {})
    one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_newest_follows_the_order_of_saving_not_names_or_clocks(tmp_path):
    save_values(tmp_path, 9, 10, 2)
    for age, value in enumerate((2, 10, 9)):
        os.utime(tmp_path / f"meta_iter-{value}", (age, age))
    assert newest_value(tmp_path) == 2


def test_newest_of_nothing_is_none(tmp_path):
    assert checkpoint.newest(tmp_path / "missing") is None
    (tmp_path / ".tmp-meta_iter-1-7").mkdir()
    assert checkpoint.newest(tmp_path) is None


def test_leftovers_are_swept_by_the_next_save(tmp_path):
    for name in (".tmp-meta_iter-1-7", ".trash-meta_iter-0-7"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.safetensors").write_bytes(b"half")
    save_values(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["meta_iter-1"]


def test_sound_is_what_is_there_and_whole(tmp_path):
    save_values(tmp_path, 1)
    path = tmp_path / "meta_iter-1"
    assert checkpoint.is_sound(path)
    assert not checkpoint.is_sound(tmp_path / "meta_iter-2")
    (path / sealed.FACTS).write_bytes(b"{}")
    assert not checkpoint.is_sound(path)


def test_prune_keeps_the_newest_and_the_named(tmp_path):
    save_values(tmp_path, 1, 2, 3, 4, 5)
    checkpoint.prune(tmp_path, keep=2, keep_names={"meta_iter-2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meta_iter-2", "meta_iter-4", "meta_iter-5"]
    with pytest.raises(InputError, match="keep is 0"):
        checkpoint.prune(tmp_path, keep=0, keep_names=set())


def test_prune_counts_only_checkpoints_that_can_be_read_back(tmp_path):
    save_values(tmp_path, 1, 2, 3)
    (tmp_path / "meta_iter-3" / sealed.STATE).write_bytes(b"")
    checkpoint.prune(tmp_path, keep=1, keep_names=set())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meta_iter-2", "meta_iter-3"]
    assert newest_value(tmp_path) == 2


# ---- strictness of `like`, and what cannot be saved


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"w": torch.zeros(3), "b": ONE}, "leaf 'w': expected float32 [3], found float32 [2]"),
        ({"w": TWO.double(), "b": ONE}, "leaf 'w': expected float64 [2], found float32 [2]"),
        ({"w": TWO}, "leaf 'b': expected none, found float32 [1]"),
        ({"w": TWO, "b": ONE, "c": {"d": torch.zeros(())}}, "leaf 'c/d': expected float32 [], found none"),
        ({"v": TWO, "b": ONE}, "leaf 'v': expected float32 [2], found none (and 1 more)"),
        ({"w": {"w": TWO}, "b": ONE}, "leaf 'w/w': expected float32 [2], found none (and 1 more)"),
    ],
)
def test_a_tree_that_does_not_fit_is_refused_by_leaf(tmp_path, like, message):
    path = checkpoint.save(tmp_path, "a", {"w": TWO, "b": ONE}, {})
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path, like)
    assert one_line(error) == f"{path} belongs to something else: {message}"


@pytest.mark.parametrize(
    ("tree", "facts", "message"),
    [
        ({"a/b": torch.zeros(1), "a": {"b": torch.ones(1)}}, {}, "leaf path 'a/b'"),
        ({"__metadata__": torch.zeros(1)}, {}, "leaf path '__metadata__'"),
        ({"z": torch.zeros(1, dtype=torch.complex128)}, {}, "complex128"),
        ({}, {"best": float("nan")}, "finite JSON"),
        ({}, {"best": float("-inf")}, "finite JSON"),
        ({}, {"path": Path("a")}, "finite JSON"),
    ],
)
def test_what_would_not_come_back_is_not_saved(tmp_path, tree, facts, message):
    with pytest.raises(InputError, match=message) as error:
        checkpoint.save(tmp_path, "a", tree, facts)
    one_line(error)
    assert list(tmp_path.iterdir()) == []


# ---- crashes


class Crash(BaseException):
    """The process ends here: nothing that catches Exception may run."""


class FileOperations:
    """Lists the file operations of `os`, and raises `end` before, amid or after the n-th."""

    NAMES = ("write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "open")

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        end_at: int = -1,
        moment: str = "before",
        end: BaseException | type[BaseException] = Crash,
    ) -> None:
        self.calls: list[tuple[str, str]] = []
        self._end_at, self._moment, self._end = end_at, moment, end
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name, operation):
        def wrapped(*args, **kwargs):
            target = os.readlink(f"/proc/self/fd/{args[0]}") if isinstance(args[0], int) else os.fspath(args[0])
            self.calls.append((name, target))
            if len(self.calls) - 1 != self._end_at:
                return operation(*args, **kwargs)
            if self._moment == "amid" and name == "write":
                operation(args[0], args[1][: len(args[1]) // 2])
            if self._moment == "after" and name != "open":
                operation(*args, **kwargs)
            raise self._end

        return wrapped


def save_and_prune(directory: Path) -> None:
    save_values(directory, 3)
    checkpoint.prune(directory, keep=2, keep_names=set())


def directory_before_a_save(tmp_path: Path) -> Path:
    directory = tmp_path / "origin"
    save_values(directory, 1, 2)
    (directory / ".tmp-meta_iter-3-7").mkdir()
    (directory / ".tmp-meta_iter-3-7" / sealed.STATE).write_bytes(b"half")
    return directory


@pytest.mark.parametrize("moment", ["before", "amid", "after"])
def test_a_crash_at_any_file_operation_leaves_old_or_new(tmp_path, moment):
    origin = directory_before_a_save(tmp_path)
    values: list[float] = []
    for crash_at in range(1000):
        directory = Path(shutil.copytree(origin, tmp_path / str(crash_at)))
        with pytest.MonkeyPatch.context() as monkeypatch:
            FileOperations(monkeypatch, crash_at, moment)
            try:
                save_and_prune(directory)
            except Crash:
                pass
            else:
                break
        values.append(newest_value(directory))
        if values[-1] == 2:  # the run goes on from there and saves the same checkpoint again
            save_and_prune(directory)
        assert newest_value(directory) == 3
        shutil.rmtree(directory)
    assert len(values) > 25  # the save alone: 4 opens, 3 writes, 4 fsyncs, mkdir, rename, parent; the rest is cleaning
    assert set(values) == {2, 3}
    assert values == sorted(values), "once the new checkpoint is there, it stays"


def test_a_save_syncs_files_then_directory_then_renames_once_then_syncs_the_parent(tmp_path, monkeypatch):
    save_values(tmp_path, 1)
    operations = FileOperations(monkeypatch)
    save_values(tmp_path, 2)
    draft = f"{tmp_path}/.tmp-meta_iter-2-{os.getpid()}"
    assert [call for call in operations.calls if call[0] != "open"] == [
        ("mkdir", draft),
        *((name, f"{draft}/{file}") for file in FILES for name in ("write", "fsync")),
        ("fsync", draft),
        ("rename", draft),
        ("fsync", str(tmp_path)),
    ]


def test_a_refusal_of_any_file_operation_is_one_line_and_leaves_no_part(tmp_path):
    origin = directory_before_a_save(tmp_path)
    refused = 0
    for refuse_at in range(1000):
        directory = Path(shutil.copytree(origin, tmp_path / str(refuse_at)))
        with pytest.MonkeyPatch.context() as monkeypatch:
            operations = FileOperations(monkeypatch, refuse_at, end=OSError(28, "No space left on device"))
            try:
                save_values(directory, 3)
            except ResourceError as error:
                assert "\n" not in str(error)
                assert "meta_iter-3: No space left on device" in str(error)
                assert "MB free" in str(error)
            if len(operations.calls) <= refuse_at:
                break
        refused += 1
        assert newest_value(directory) in (2, 3)
        names = {path.name for path in directory.iterdir()}
        assert names - {".tmp-meta_iter-3-7"} in ({"meta_iter-1", "meta_iter-2"}, {f"meta_iter-{n}" for n in (1, 2, 3)})
    assert refused == 20  # sweep 3, manifests 2, mkdir, 3 x (open, write, fsync), draft 2, rename, parent 2


def test_a_full_disk_at_any_byte_leaves_no_part(tmp_path):
    save_values(tmp_path, 1)
    tree: Tree = {"w": torch.zeros(1000)}
    probe = checkpoint.save(tmp_path / "probe", "a", tree, {"note": "x" * 500})
    biggest = max((probe / name).stat().st_size for name in FILES)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    failures = 0
    try:
        for size in range(0, biggest, biggest // 30):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            try:
                with pytest.raises(ResourceError, match=r"File too large; 0\.005 MB to write, .* MB free"):
                    checkpoint.save(tmp_path, "big", tree, {"note": "x" * 500})
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            failures += 1
            assert sorted(path.name for path in tmp_path.iterdir()) == ["meta_iter-1", "probe"]
    finally:
        signal.signal(signal.SIGXFSZ, handler)
    assert failures >= 30
    assert value_of(tmp_path / "meta_iter-1") == 1


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"^cannot write .*file/below/a: Not a directory$") as error:
        checkpoint.save(tmp_path / "file" / "below", "a", {}, {})
    one_line(error)


# ---- damage


@pytest.fixture
def two(tmp_path):
    save_values(tmp_path, 1, 2)
    return tmp_path


def assert_never_silently_wrong(two: Path, file: Path, damaged: bytes) -> None:
    file.write_bytes(damaged)
    with pytest.raises(CheckpointError) as error:
        value_of(two / "meta_iter-2")
    one_line(error)
    assert newest_value(two) == 1


def test_no_flipped_bit_loads(two):
    contents = {two / "meta_iter-2" / name: (two / "meta_iter-2" / name).read_bytes() for name in FILES}
    draw = random.Random(0)
    for file, bit in [(file, draw.randrange(8 * len(data))) for file, data in contents.items() for _ in range(70)]:
        damaged = bytearray(contents[file])
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError) as error:
            checkpoint.load(two / "meta_iter-2", small_tree(0))
        one_line(error)
        file.write_bytes(contents[file])
    assert newest_value(two) == 2


def test_no_changed_number_in_a_manifest_goes_unseen(two):
    file = two / "meta_iter-2" / sealed.MANIFEST
    assert_never_silently_wrong(two, file, file.read_bytes().replace(b'"serial": 2', b'"serial": 3'))


def test_a_manifest_that_cannot_be_read_for_a_moment_does_not_upset_the_order(two):
    manifest = two / "meta_iter-2" / sealed.MANIFEST
    hidden = manifest.rename(manifest.with_name("hidden"))
    save_values(two, 3)
    hidden.rename(manifest)
    assert newest_value(two) == 3


def test_no_truncated_file_loads(two):
    draw = random.Random(1)
    for name in FILES:
        file = two / "meta_iter-2" / name
        whole = file.read_bytes()
        for size in [0, len(whole) - 2, *(draw.randrange(len(whole) - 1) for _ in range(20))]:
            assert_never_silently_wrong(two, file, whole[:size])
        assert_never_silently_wrong(two, file, whole + b"x")
        file.write_bytes(whole)
    assert newest_value(two) == 2


@pytest.mark.parametrize("name", FILES)
def test_a_deleted_file_is_found_and_the_previous_checkpoint_taken_with_one_warning(two, name, caplog):
    (two / "meta_iter-2" / name).unlink()
    with pytest.raises(CheckpointError, match="No such file"):
        value_of(two / "meta_iter-2")
    assert newest_value(two) == 1
    assert len(caplog.messages) == 1
    assert "meta_iter-2" in caplog.messages[0]
    assert "\n" not in caplog.messages[0]


@pytest.mark.parametrize("name", FILES)
def test_if_none_is_sound_newest_raises(two, name):
    for value in (1, 2):
        (two / f"meta_iter-{value}" / name).write_bytes(b"{}")
    with pytest.raises(CheckpointError, match="none of its 2 checkpoints is sound") as error:
        checkpoint.newest(two)
    one_line(error)
    assert error.value.exit_code == 4


def test_a_damaged_checkpoint_gives_up_its_name_and_is_kept_aside(two):
    (two / "meta_iter-2" / sealed.STATE).write_bytes(b"broken")
    save_values(two, 2)
    assert newest_value(two) == 2
    aside = [path for path in two.iterdir() if path.name.startswith(".damaged-meta_iter-2-")]
    assert [(path / sealed.STATE).read_bytes() for path in aside] == [b"broken"]


def test_a_missing_checkpoint_is_one_line(tmp_path):
    for path in (tmp_path / "missing", Path("a\0b")):
        with pytest.raises(CheckpointError, match="no such checkpoint"):
            checkpoint.load(path, {})


# ---- malice: files whose manifest is right


def write_manifest(path: Path, fields: dict[str, object]) -> None:
    """Write a manifest whose own checksum is right."""
    others = {key: value for key, value in fields.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()
    (path / sealed.MANIFEST).write_text(json.dumps(others | {"sha256": digest}))


def forge(path: Path, name: str, data: bytes) -> None:
    """Put `data` into a checkpoint and make its manifest agree."""
    (path / name).write_bytes(data)
    manifest = json.loads((path / sealed.MANIFEST).read_bytes())
    manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_manifest(path, manifest)


def safetensors_file(header: str, data: bytes = b"", announced: int | None = None) -> bytes:
    size = len(header.encode()) if announced is None else announced
    return size.to_bytes(8, "little") + header.encode() + data


W = '"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
FORGED_STATES = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "endless header": safetensors_file("{}", announced=2**63),
    "huge header": safetensors_file("{" + " " * (5 << 20) + "}"),
    "header past the end": safetensors_file("{}", announced=3),
    "repeated leaf": safetensors_file(f"{{{W}, {W}}}", b"\0" * 4),
    "trillions of numbers": safetensors_file(f"{{{W.replace('[1]', '[1000000, 1000000]')}}}", b"\0" * 4),
    "overflowing shape": safetensors_file(f"{{{W.replace('[1]', f'[{2**62}, 4]')}}}", b"\0" * 4),
    "negative offset": safetensors_file(f"{{{W.replace('[0, 4]', '[-4, 0]')}}}", b"\0" * 4),
    "unused bytes": safetensors_file(f"{{{W}}}", b"\0" * 8),
    "unknown dtype": safetensors_file(f"{{{W.replace('F32', 'X9')}}}", b"\0" * 4),
    "deep header": safetensors_file("[" * 100_000),
    "list header": safetensors_file("[]"),
    "not a number": safetensors_file('{"w": NaN}'),
    "not text": (4).to_bytes(8, "little") + b"\xff\xfe\xfd\xfc",
    "pickle": b"\x80\x04cos\nsystem\n.",
}


@pytest.mark.parametrize("state", FORGED_STATES.values(), ids=FORGED_STATES.keys())
def test_forged_states_are_refused_in_one_line(tmp_path, state):
    like: Tree = {"w": torch.zeros(1)}
    path = checkpoint.save(tmp_path, "a", like, {})
    forge(path, sealed.STATE, state)
    with pytest.raises(CheckpointError, match="damaged") as error:
        checkpoint.load(path, like)
    assert len(one_line(error)) < 400


@pytest.mark.parametrize(
    "facts", [b"", b"[]", b"1", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 100_000, b"\xff", b"null"]
)
def test_forged_facts_are_refused_in_one_line(tmp_path, facts):
    path = checkpoint.save(tmp_path, "a", {}, {})
    forge(path, sealed.FACTS, facts)
    with pytest.raises(CheckpointError, match="damaged") as error:
        checkpoint.load(path, {})
    one_line(error)


def test_forged_manifests_are_refused_in_one_line(tmp_path):
    path = checkpoint.save(tmp_path, "a", {}, {})
    good = json.loads((path / sealed.MANIFEST).read_bytes())
    entry = good["files"][sealed.FACTS]
    outside = tmp_path / "outside"
    outside.write_bytes(b"{}")
    forged = [
        good | {"format": 0},
        good | {"format": True},
        good | {"format": 1.0},
        good | {"format": "1"},
        good | {"serial": "1"},
        good | {"extra": 1},
        good | {"files": []},
        good | {"files": {**good["files"], "../outside": entry}},
        good | {"files": {"../outside": entry, sealed.STATE: good["files"][sealed.STATE]}},
        good | {"files": {**good["files"], sealed.FACTS: []}},
        good | {"files": {**good["files"], sealed.FACTS: entry | {"size": -1}}},
        good | {"files": {**good["files"], sealed.FACTS: entry | {"size": True}}},
        good | {"files": {**good["files"], sealed.FACTS: entry | {"sha256": entry["sha256"].upper() + "\n"}}},
        good | {"padding": "x" * 5000},
        {},
    ]
    write_manifest(path, good)
    checkpoint.load(path, {})  # the forger's own checksum is right
    for manifest in forged:
        write_manifest(path, manifest)
        with pytest.raises(CheckpointError, match="damaged") as error:
            checkpoint.load(path, {})
        one_line(error)
    write_manifest(path, good | {"format": 2})
    with pytest.raises(CheckpointError, match="has format 2, this drml reads up to 1; use a newer drml"):
        checkpoint.load(path, {})


def test_links_pipes_and_directories_in_place_of_files_are_refused(tmp_path):
    path = checkpoint.save(tmp_path, "a", {}, {})
    facts = path / sealed.FACTS
    outside = tmp_path / "outside.json"
    facts.rename(outside)
    facts.symlink_to(outside)
    with pytest.raises(CheckpointError, match=r"facts\.json cannot be read"):
        checkpoint.load(path, {})
    facts.unlink()
    os.mkfifo(facts)
    with pytest.raises(CheckpointError, match=r"facts\.json cannot be read: it is a"):
        checkpoint.load(path, {})
    facts.unlink()
    facts.mkdir()
    with pytest.raises(CheckpointError, match=r"facts\.json"):
        checkpoint.load(path, {})
