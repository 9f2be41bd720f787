"""TensorBoard's file of events, written as the rows come.

TensorBoard's own writer hands events to a thread, whose failures (a full disk, a closed directory) nobody catches and
everybody sees. Here a row is one record in one write, and a failure is the caller's to tell.
"""

import io
import itertools
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from drml.core.printable import one_line
from drml.run.durable import append, make_directories, writing

PATTERN = "events.out.tfevents.*"


class EventFile:
    """A new file of events in a directory, open for appending; imports TensorBoard, which takes seconds."""

    def __init__(self, directory: Path) -> None:
        """Make the file.

        Raises:
            ResourceError: if it cannot be written.
        """
        from tensorboard.compat.proto import event_pb2, summary_pb2

        self._event: Any = event_pb2
        self._summary: Any = summary_pb2
        with writing(directory):
            make_directories(directory)
            self._path, self._handle = _new(directory)
        start = self._event.SessionLog(status=self._event.SessionLog.START)  # at step 0: forget what older files said
        self._write([{"file_version": "brain.Event:2"}, {"session_log": start}])

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the numbers of rows, each a scalar at the row's meta-iteration.

        A key with a slash is the scalar's tag as it stands; any other key is filed under the row's kind.

        Raises:
            ResourceError: if they cannot be written; what was written before is untouched.
        """
        self._write([{"step": row["meta_iter"], "summary": self._scalars(row)} for row in rows])

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def _scalars(self, row: Mapping[str, Any]) -> Any:  # noqa: ANN401 — a message of TensorBoard's
        return self._summary.Summary(
            value=[
                self._summary.Summary.Value(tag=one_line(key if "/" in key else f"{row['kind']}/{key}"), simple_value=v)
                for key, v in row.items()
                if key != "meta_iter" and isinstance(v, int | float) and not isinstance(v, bool)
            ]
        )

    def _write(self, events: Sequence[Mapping[str, Any]]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        stream = io.BytesIO()
        records = RecordWriter(stream)
        for fields in events:
            records.write(self._event.Event(wall_time=time.time(), **fields).SerializeToString())
        data = stream.getvalue()
        with writing(self._path, len(data)):
            append(self._handle, data)


def _new(directory: Path) -> tuple[Path, int]:
    """Return the path and the handle of a file that was not there; TensorBoard reads the files by their names."""
    stem = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
    for number in itertools.count():
        path = directory / f"{stem}.{number}"
        with suppress(FileExistsError):
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
    raise AssertionError("itertools.count ended")
