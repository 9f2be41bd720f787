"""Command lines as processes of their own that begin with everything imported: forks of one process that has done so.

Run as a script it answers requests, a line of JSON each; a fork leaves `code` of a process and the texts that it wrote.
A fork can be told to meet its end, or a signal, at its n-th file operation: before it, in the middle of a write, after.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 120  # no command here takes more than a few
OPERATIONS = ("open", "write", "pwrite", "fsync", "ftruncate", "rename", "replace", "mkdir", "unlink", "rmdir")
MOMENTS = ("before", "amid", "after")


@dataclass(frozen=True)
class End:
    """What happens at which file operation; a negative number is none."""

    at: int = -1
    moment: str = "before"
    number: int = signal.SIGKILL


NO_END = End()


@dataclass(frozen=True)
class Answer:
    code: int
    """The exit code, or minus the number of the signal that ended it."""
    out: str
    err: str
    num_operations: int


class ForkServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )

    def __call__(self, words: Sequence[str], cwd: Path, end: End = NO_END) -> Answer:
        """Run a command line in a fork and wait for its end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        ask = {"words": list(words), "cwd": str(cwd), "at": end.at, "moment": end.moment, "number": int(end.number)}
        print(json.dumps(ask), file=self._process.stdin, flush=True)
        code = json.loads(self._process.stdout.readline())
        out, err = ((self._folder / name).read_bytes().decode(errors="replace") for name in ("out", "err"))
        counted = (self._folder / "operations").read_text()
        return Answer(code, out, err, int(counted or 0))

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def count_operations(ask: dict[str, Any], report: Callable[[int], None]) -> None:
    """Send the signal that is asked for at the n-th file operation from now on."""
    num_calls = 0

    def wrap(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal num_calls
            num_calls += 1
            report(num_calls)
            if num_calls - 1 != ask["at"]:
                return operation(*args, **kwargs)
            if ask["moment"] == "amid" and name in ("write", "pwrite"):
                operation(args[0], args[1][: len(args[1]) // 2], *args[2:])
            if ask["moment"] != "after":
                os.kill(os.getpid(), ask["number"])
                return operation(*args, **kwargs)  # it was a signal that does not end it
            try:
                return operation(*args, **kwargs)
            finally:
                os.kill(os.getpid(), ask["number"])

        return wrapped

    for name in OPERATIONS:
        setattr(os, name, wrap(name, getattr(os, name)))


def serve(folder: Path) -> None:
    """Import what commands need, and fork for each line of standard input."""
    import matplotlib.figure
    import torch

    import drml.cli.check_command
    import drml.cli.demo_command
    import drml.cli.gallery_command
    import drml.cli.list_command
    import drml.cli.reproduce_command
    import drml.report.page

    assert matplotlib.figure and drml.report.page
    torch.set_num_threads(1)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            run(json.loads(line), folder)
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])), flush=True)


def run(ask: dict[str, Any], folder: Path) -> None:
    """Be the process of one command line."""
    import traceback

    from drml.cli.main import main
    from drml.cli.stop import heed_from_now_on

    code = 1
    signal.alarm(SECONDS)
    os.chdir(ask["cwd"])
    for handle, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), handle)
    counter = os.open(folder / "operations", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    pwrite = os.pwrite
    try:
        heed_from_now_on()
        count_operations(ask, lambda num_calls: pwrite(counter, str(num_calls).encode(), 0) and None)
        code = main(ask["words"])
    except BaseException:  # a defect: its traceback is what a test must not see
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
