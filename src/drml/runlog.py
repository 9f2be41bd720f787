"""A run's log: one row of numbers at a time, as lines of JSON to read by program and as TensorBoard events to look at.

    {"kind": "train", "meta_iter": 7, "meta_train/return_post": 31.2, "seconds/env": 0.4}

`metrics.jsonl` is the truth: it is only ever appended to, and cut back to the checkpoint when a run goes on from one,
so that an interrupted run and an uninterrupted one end with the same rows. Numbers that are not finite are null. The
events are its image, made anew by each process that adds to it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from drml.core.errors import CheckpointError, InputError
from drml.rundir import JSON, METRICS, finite, replace_file, sync_directory, write_all, writing

TENSORBOARD = "tensorboard"


class _Events(Protocol):
    """The part of TensorBoard's writer that is used here."""

    def add_scalar(self, tag: str, value: float, meta_iter: int, /) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class RunLog:
    """The log of one run, open for appending; the caller holds the run's lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / METRICS
        self._events: _Events | None = None
        self._handle = self._open()

    def append(self, kind: str, meta_iter: int, row: Mapping[str, JSON]) -> None:
        """Add one row; its finite numbers also become TensorBoard scalars at `meta_iter`.

        A key with a slash is the scalar's tag as it stands; any other key is filed under the row's kind.

        Raises:
            InputError: if `row` uses the keys `kind` or `meta_iter`.
            CheckpointError: if a row before is damaged.
            ResourceError: if it cannot be written; the rows before are untouched.
        """
        if {"kind", "meta_iter"} & set(row):
            raise InputError("a row's keys 'kind' and 'meta_iter' are taken; call its own values something else")
        whole = {"kind": kind, "meta_iter": meta_iter, **{key: finite(value) for key, value in row.items()}}
        line = json.dumps(whole, allow_nan=False).encode() + b"\n"
        with writing(self._path, len(line)):
            events = self._open_events()
            self._append_line(line)
            _add_scalars(events, whole)

    def truncate(self, meta_iter: int) -> None:
        """Drop all rows beyond `meta_iter`, as a run does that goes on from the checkpoint of that iteration.

        Raises:
            CheckpointError: if a row is damaged.
            ResourceError: if the log cannot be rewritten; it is then as it was.
        """
        kept = [line for line, row in _parsed_lines(self._path) if row["meta_iter"] <= meta_iter]
        replace_file(self._path, b"".join(kept))
        self.close()  # the old handle still points to the old file
        self._handle = self._open()

    def flush(self) -> None:
        """Wait until every row is on the disk; called before a checkpoint that counts on them.

        Raises:
            ResourceError: if that fails.
        """
        with writing(self._path):
            os.fsync(self._handle)
            if self._events is not None:
                self._events.flush()

    def close(self) -> None:
        """Write out what is pending and close the files."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._events is not None:
            events, self._events = self._events, None
            with writing(self._directory / TENSORBOARD):
                events.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> int:
        """Open the log for appending; a last line that a crash cut short is cut off."""
        with writing(self._path):
            is_new = not self._path.exists()
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            if is_new:
                sync_directory(self._directory)
            os.ftruncate(handle, self._path.read_bytes().rfind(b"\n") + 1)
        return handle

    def _append_line(self, line: bytes) -> None:
        """Append one line, or nothing."""
        size = os.fstat(self._handle).st_size
        try:
            write_all(self._handle, line)
        except OSError:
            os.ftruncate(self._handle, size)
            raise

    def _open_events(self) -> _Events:
        """Return TensorBoard's writer, made at first use: its import takes seconds.

        TensorBoard reads the files of a directory in the order of their names, which the clocks of the machines decide
        and, within a second, the text of a counter. So one file alone holds events: the newest, which has all rows.
        """
        if self._events is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            rows = read_rows(self._directory)
            for old in (self._directory / TENSORBOARD).glob("events.out.tfevents.*"):
                old.write_bytes(b"")  # not removed: a TensorBoard that looks on must find its place, to go on from it
            # purge_step: there it forgets what the old files said
            self._events = SummaryWriter(str(self._directory / TENSORBOARD), purge_step=0)
            for row in rows:
                _add_scalars(self._events, row)
        return self._events


def _add_scalars(events: _Events, row: Mapping[str, Any]) -> None:
    """Give TensorBoard the numbers of a row."""
    kind, meta_iter = row["kind"], row["meta_iter"]
    for key, value in row.items():
        if key != "meta_iter" and isinstance(value, int | float) and not isinstance(value, bool):
            events.add_scalar(key if "/" in key else f"{kind}/{key}", value, meta_iter)


def read_rows(directory: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's log, oldest first; a last line that a crash cut short is left out.

    Raises:
        InputError: if there is no log.
        CheckpointError: if a row is damaged.
    """
    return [row for _, row in _parsed_lines(directory / METRICS)]


def _parsed_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each whole line of a log with the row it holds."""
    try:
        *lines, _cut_short = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; expected the log of a run") from error
    for number, line in enumerate(lines, start=1):
        row = _parsed_row(line)
        if row is None:
            raise CheckpointError(f"{path}, line {number}: not a row of a log; the file is damaged")
        yield line + b"\n", row


def _parsed_row(line: bytes) -> dict[str, Any] | None:
    """Return the row that a line holds, or None."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_row = isinstance(row, dict) and "kind" in row and type(row.get("meta_iter")) is int
    return row if is_row else None
