"""The run's log: rows survive crashes, and a resumed run's log is the uninterrupted one's."""

import json
import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from drml.core.errors import CheckpointError, InputError, ResourceError
from drml.run.log import RunLog, read_rows


@pytest.fixture
def no_tensorboard(monkeypatch):
    """Keep the rows only; one test below looks at the events."""

    class Nothing:
        def add(self, *args):
            pass

        close = add

    monkeypatch.setattr(RunLog, "_open_events", lambda self: Nothing())


def append_iterations(log: RunLog, first: int, last: int) -> None:
    for meta_iter in range(first, last + 1):
        log.append("train", meta_iter, {"meta_train/return_post": meta_iter / 3})
        if meta_iter % 2 == 0:
            log.append("validation", meta_iter, {"meta_validation/return_post": -meta_iter})


@pytest.mark.usefixtures("no_tensorboard")
def test_rows_come_back_in_order_and_not_finite_numbers_as_null(tmp_path):
    assert_rows = [
        {"kind": "train", "meta_iter": 0, "loss": 0.1, "steps": 40, "names": ["a"], "note": "π"},
        {"kind": "validation", "meta_iter": 0, "loss": None, "nested": [None, 1.0]},
    ]
    with RunLog(tmp_path) as log:
        log.append("train", 0, {"loss": 0.1, "steps": 40, "names": ["a"], "note": "π"})
        log.append("validation", 0, {"loss": math.nan, "nested": [math.inf, 1.0]})
        assert read_rows(tmp_path) == assert_rows  # readable while the run goes on
    assert read_rows(tmp_path) == assert_rows
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())


@pytest.mark.usefixtures("no_tensorboard")
def test_a_resumed_log_is_byte_for_byte_the_uninterrupted_one(tmp_path):
    for name in ("straight", "resumed"):
        (tmp_path / name).mkdir()
    with RunLog(tmp_path / "straight") as log:
        append_iterations(log, 1, 10)
    with RunLog(tmp_path / "resumed") as log:
        append_iterations(log, 1, 7)
    with (tmp_path / "resumed" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "meta_it')  # killed in the middle of a row; the checkpoint is of iteration 5
    with RunLog(tmp_path / "resumed") as log:
        log.truncate(5)
        assert max(row["meta_iter"] for row in read_rows(tmp_path / "resumed")) == 5
        append_iterations(log, 6, 10)
    straight, resumed = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("straight", "resumed"))
    assert straight == resumed


@pytest.mark.usefixtures("no_tensorboard")
def test_a_log_cut_anywhere_reads_as_its_whole_rows_and_goes_on(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with RunLog(tmp_path) as log:
        append_iterations(log, 1, 2)
    whole = path.read_bytes()
    for size in range(0, len(whole), 3):
        path.write_bytes(whole[:size])
        num_whole = whole[:size].count(b"\n")
        assert len(read_rows(tmp_path)) == num_whole
        with RunLog(tmp_path) as log:
            log.append("train", 3, {})
        assert [row["meta_iter"] for row in read_rows(tmp_path)] == [*[1, 2, 2][:num_whole], 3]


@pytest.mark.parametrize(
    "damage", [b"\0\0\0\n", b"not json\n", b"[1]\n", b'{"kind": "train"}\n', b'{"meta_iter": 1}\n', b"\n"]
)
def test_a_damaged_row_is_named_by_its_line(tmp_path, damage):
    row = b'{"kind": "train", "meta_iter": 1}\n'
    (tmp_path / "metrics.jsonl").write_bytes(row + damage + row)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl, line 2: .*; the file is damaged$"):
        read_rows(tmp_path)
    with RunLog(tmp_path) as log, pytest.raises(CheckpointError, match="line 2"):
        log.truncate(0)
    assert (tmp_path / "metrics.jsonl").read_bytes() == row + damage + row


@pytest.mark.usefixtures("no_tensorboard")
def test_no_flipped_bit_is_taken_silently(tmp_path):
    with RunLog(tmp_path) as log:
        append_iterations(log, 1, 2)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"metrics\.jsonl.*the file is damaged$") as error:
            read_rows(tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.usefixtures("no_tensorboard")
@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1:],
        lambda lines: lines[:1] + lines[2:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
        lambda lines: [*lines, b'{"kind": "train", "meta_iter": 9}\n'],
    ],
    ids=["first gone", "second gone", "exchanged", "twice", "added"],
)
def test_no_line_is_missed_or_added_silently(tmp_path, change):
    with RunLog(tmp_path) as log:
        append_iterations(log, 1, 2)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(CheckpointError, match=r"the file is damaged$"):
        read_rows(tmp_path)


@pytest.mark.usefixtures("no_tensorboard")
def test_a_log_of_before_checksums_is_read_and_guarded_from_then_on(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"kind": "train", "meta_iter": 1, "loss": 10}\n')
    with RunLog(tmp_path) as log:
        log.append("train", 2, {"loss": 20})
    rows = [{"kind": "train", "meta_iter": 1, "loss": 10}, {"kind": "train", "meta_iter": 2, "loss": 20}]
    assert read_rows(tmp_path) == rows
    path.write_bytes(path.read_bytes().replace(b"10}", b"18}"))  # one bit, in the line that has no checksum
    with pytest.raises(CheckpointError, match="line 2: the checksum does not fit"):
        read_rows(tmp_path)


def test_rows_are_in_the_order_of_their_meta_iterations(tmp_path):
    for second in (-1, 0, 2**60, True, None):
        lines = [json.dumps({"kind": "train", "meta_iter": meta_iter}) + "\n" for meta_iter in (1, second)]
        (tmp_path / "metrics.jsonl").write_text("".join(lines))
        with pytest.raises(CheckpointError, match="line 2: 'meta_iter' should be"):
            read_rows(tmp_path)


def test_a_full_disk_in_the_events_is_one_line_that_names_their_file(tmp_path, capfd):
    many = {f"a{i}": 0 for i in range(50)}  # as events they take more bytes than as a line
    with RunLog(tmp_path) as log:
        log.append("train", 1, many)
        (events,) = (tmp_path / "tensorboard").iterdir()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (events.stat().st_size * 3 // 2, hard))
        try:
            with pytest.raises(ResourceError, match=rf"^cannot write {events}: File too large; .* MB free$"):
                log.append("train", 2, many)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert scalars(tmp_path)["train/a49"] == [(1, 0.0)]
    assert capfd.readouterr().err == ""  # nor does a thread say anything


def test_a_closed_folder_of_events_is_one_line_that_names_it(tmp_path, monkeypatch, capfd):
    real = os.open

    def refuse(path, *args, **kwargs):
        if "tfevents" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    with RunLog(tmp_path) as log, monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(ResourceError, match=r"^cannot write .*/tensorboard: Permission denied$"):
            log.append("train", 1, {})
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("no_tensorboard")
def test_a_full_disk_loses_the_row_and_nothing_else(tmp_path, monkeypatch):
    write = os.write

    def write_a_part(handle, data):
        write(handle, data[:5])
        raise OSError(28, "No space left on device")

    with RunLog(tmp_path) as log:
        log.append("train", 1, {})
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write_a_part)
            with pytest.raises(ResourceError, match=r"metrics\.jsonl: No space left on device"):
                log.append("train", 2, {})
        log.append("train", 3, {})
    assert [row["meta_iter"] for row in read_rows(tmp_path)] == [1, 3]


@pytest.mark.usefixtures("no_tensorboard")
def test_a_refused_truncation_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(28, "No space left on device")

    with RunLog(tmp_path) as log:
        append_iterations(log, 1, 4)
        before = (tmp_path / "metrics.jsonl").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", refuse)
            with pytest.raises(ResourceError):
                log.truncate(2)
        assert (tmp_path / "metrics.jsonl").read_bytes() == before
        log.append("train", 5, {})
    assert read_rows(tmp_path)[-1]["meta_iter"] == 5


def test_misuse_is_refused_in_one_line(tmp_path):
    with RunLog(tmp_path) as log, pytest.raises(InputError, match="kind, meta_iter, crc32 are taken"):
        log.append("train", 1, {"kind": 1})
    with pytest.raises(InputError, match=r"metrics\.jsonl cannot be read: No such file or directory"):
        read_rows(tmp_path / "missing")
    with pytest.raises(ResourceError, match=r"missing/metrics\.jsonl: No such file or directory"):
        RunLog(tmp_path / "missing")


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / "tensorboard"))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_the_finite_numbers_and_only_the_resumed_course(tmp_path):
    with RunLog(tmp_path) as log:
        for meta_iter in (1, 2, 3):
            log.append(
                "train", meta_iter, {"meta_train/return_post": 10 * meta_iter, "loss": math.nan, "is_best": True}
            )
        log.flush()
        assert scalars(tmp_path) == {"meta_train/return_post": [(1, 10.0), (2, 20.0), (3, 30.0)]}
    (older,) = (tmp_path / "tensorboard").iterdir()
    older.rename(older.with_name("events.out.tfevents.9999999999.machine-whose-clock-is-ahead.1.0"))  # read last
    with RunLog(tmp_path) as log:
        log.truncate(1)
        log.append("train", 2, {"meta_train/return_post": 7.0, "loss": 0.5})
        log.append("train", 3, {"loss": 0.25})
    assert scalars(tmp_path) == {"meta_train/return_post": [(1, 10.0), (2, 7.0)], "train/loss": [(2, 0.5), (3, 0.25)]}


def test_a_tensorboard_that_looks_on_sees_the_resumed_course(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunLog(tmp_path) as log:
        for meta_iter in (1, 2, 3):
            log.append("train", meta_iter, {"loss": 10.0 * meta_iter})
    (older,) = (tmp_path / "tensorboard").iterdir()
    older.rename(older.with_name("events.out.tfevents.0000000000.machine-whose-clock-is-right.1.0"))  # read first
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == [10.0, 20.0, 30.0]
    with RunLog(tmp_path) as log:
        log.truncate(1)
        log.append("train", 2, {"loss": 7.0})
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 10.0), (2, 7.0)]


def test_reading_and_cutting_need_neither_tensorboard_nor_torch(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "meta_iter": 1}\n{"kind": "train", "meta_iter": 2}\n')
    code = (
        "import sys; from pathlib import Path; sys.modules['tensorboard'] = sys.modules['torch'] = None;"
        "from drml.run.log import RunLog, read_rows; run = Path(sys.argv[1]); RunLog(run).truncate(1);"
        "print(len(read_rows(run)))"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert answer.stdout == "1\n"
