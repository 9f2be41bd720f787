"""A run's log: one row of numbers at a time, as lines of JSON to read by program and as TensorBoard events to look at.

    {"kind": "train", "meta_iter": 7, "meta_train/return_post": 31.2, "seconds/env": 0.4, "crc32": "0f3a9c21"}

`metrics.jsonl` is the truth: it is only ever appended to, and cut back to the checkpoint when a run goes on from one,
so that an interrupted run and an uninterrupted one end with the same rows. Numbers that are not finite are null. The
events are its image, made anew by each process that adds to it.

A line ends with the checksum of all that stands before it in the file, its own row included: a bit that flipped, a
line that is gone or came from elsewhere is an error at the next line at the latest. Lines of earlier versions have no
checksum; they are read as they stand, and the first one after them covers them too.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import crc32

from drml.core.errors import CheckpointError, InputError
from drml.core.fields import Fields, parse_json
from drml.core.plain_files import open_plain, read_plain
from drml.run.durable import JSON, append, finite, replace_file, sync_directory, writing
from drml.run.event_file import PATTERN, EventFile
from drml.run.rundir import METRICS

TENSORBOARD, CHECKSUM = "tensorboard", "crc32"
TAKEN = ("kind", "meta_iter", CHECKSUM)
_SEAL = re.compile(rb', "crc32": "([0-9a-f]{8})"\}\n$')


class RunLog:
    """The log of one run, open for appending; the caller holds the run's lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / METRICS
        self._events: EventFile | None = None
        self._handle, self._checksum = self._open()

    def append(self, kind: str, meta_iter: int, row: Mapping[str, JSON]) -> None:
        """Add one row; its finite numbers also become TensorBoard scalars at `meta_iter`.

        Raises:
            InputError: if `row` uses the keys `kind`, `meta_iter` or `crc32`.
            CheckpointError: if a row before is damaged.
            ResourceError: if it cannot be written; the rows before are untouched.
        """
        if set(TAKEN) & set(row):
            raise InputError(f"a row's keys {', '.join(TAKEN)} are taken; call its own values something else")
        whole = {"kind": kind, "meta_iter": meta_iter, **{key: finite(value) for key, value in row.items()}}
        line = _sealed(json.dumps(whole, allow_nan=False).encode(), self._checksum)
        events = self._open_events()
        with writing(self._path, len(line)):
            append(self._handle, line)
        self._checksum = crc32(line, self._checksum)
        events.add([whole])

    def truncate(self, meta_iter: int) -> None:
        """Drop all rows beyond `meta_iter`, as a run does that goes on from the checkpoint of that iteration.

        Raises:
            CheckpointError: if a row is damaged.
            ResourceError: if the log cannot be rewritten; it is then as it was.
        """
        kept = [line for line, row in _parsed_lines(self._path) if row["meta_iter"] <= meta_iter]
        replace_file(self._path, b"".join(kept))
        self.close()  # the old handle still points to the old file
        self._handle, self._checksum = self._open()

    def flush(self) -> None:
        """Wait until every row is on the disk; called before a checkpoint that counts on them.

        Raises:
            ResourceError: if that fails.
        """
        with writing(self._path):
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the files."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._events is not None:
            events, self._events = self._events, None
            events.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> tuple[int, int]:
        """Open the log for appending, a last line that a crash cut short cut off; return handle and checksum."""
        with writing(self._path):
            lines, cut_short = _split(self._path) if self._path.exists() else ([], b"")
            if cut_short:
                replace_file(self._path, b"".join(lines))  # not in place, as it may be some other file's second name
            handle = open_plain(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            sync_directory(self._directory)
        return handle, crc32(b"".join(lines))

    def _open_events(self) -> EventFile:
        """Return TensorBoard's file of events, made at first use: its import takes seconds.

        TensorBoard reads the files of a directory in the order of their names, which the clocks of the machines decide
        and, within a second, the text of a counter. So one file alone holds events: the newest, which has all rows.
        """
        if self._events is None:
            rows = read_rows(self._directory)
            for old in (self._directory / TENSORBOARD).glob(PATTERN):
                replace_file(old, b"")  # not removed: a TensorBoard that looks on must find its place, to go on from it
            self._events = EventFile(self._directory / TENSORBOARD)
            self._events.add(rows)
        return self._events


def read_rows(directory: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's log, oldest first; a last line that a crash cut short is left out.

    Raises:
        InputError: if there is no log.
        CheckpointError: if a row is damaged.
    """
    return [row for _, row in _parsed_lines(directory / METRICS)]


def _sealed(body: bytes, checksum: int) -> bytes:
    """Return the line of a row `{…}` with the checksum of all before it and of itself."""
    return body[:-1] + f', "{CHECKSUM}": "{crc32(body, checksum):08x}"}}\n'.encode()


def _split(path: Path) -> tuple[list[bytes], bytes]:
    """Return the whole lines of a log, and what a crash left of the last one."""
    *lines, cut_short = read_plain(path).split(b"\n")
    return [line + b"\n" for line in lines], cut_short


def _parsed_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each whole line of a log with the row it holds."""
    try:
        lines, cut_short = _split(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; expected the log of a run") from error
    checksum = meta_iter = 0
    is_sealed = False
    for number, line in enumerate(lines, start=1):
        where = f"{path}, line {number}"
        if found := _SEAL.search(line):
            body, is_sealed = line[: found.start()] + b"}", True
            if crc32(body, checksum) != int(found[1], 16):
                raise CheckpointError(
                    f"{where}: the checksum does not fit the line and those before it; the file is damaged"
                )
        elif is_sealed:
            raise CheckpointError(f"{where}: it has no checksum, and the lines before it have; the file is damaged")
        else:
            body = line[:-1]
        row = _parsed_row(where, body, meta_iter)
        checksum, meta_iter = crc32(line, checksum), row["meta_iter"]
        yield line, row
    if _is_whole(cut_short):
        raise CheckpointError(f"{path}: its last line does not end where its row ends; the file is damaged")


def _parsed_row(where: str, body: bytes, last: int) -> dict[str, Any]:
    """Return the row that a line holds; rows are in the order of their meta-iterations, after the `last` one."""
    try:
        value = parse_json(body)
    except ValueError:
        raise CheckpointError(f"{where}: not a row of a log; the file is damaged") from None
    row = Fields(where, value, CheckpointError)
    row.text("kind")
    if row.count("meta_iter") < last:
        raise row.wrong(f"{last} or more, as on the line before", row.values["meta_iter"], "meta_iter")
    return row.values


def _is_whole(cut_short: bytes) -> bool:
    """Return whether what stands after the last end of a line is a row with something behind it: that end, flipped."""
    text = cut_short.rstrip(b"\0").decode(errors="replace")  # zeros: what a loss of power leaves
    try:
        return json.JSONDecoder().raw_decode(text)[1] < len(text)
    except (ValueError, RecursionError):
        return False
