"""The entrance: picks the command, and turns every failure that a user can act on into one line and an exit code.

A command is a module with `run(argv) -> exit code`; it is imported when it is asked for, and not before, because torch
takes seconds to import and a misspelt command should not.
"""

import importlib
import io
import logging
import logging.handlers
import os
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress

from drml.cli.stop import heed_from_now_on
from drml.core.errors import DrmlError, InputError, ResourceError, suggest
from drml.core.printable import one_line, printable

COMMANDS = {
    "list": "the suites and learners there are",
    "check": "try a family of tasks the way a learner will, and say what would break the learning",
    "train": "meta-train a learner on a suite, in a run directory",
    "test": "adapt a run's best policy to held-out tasks and measure the return after each step",
    "adapt": "adapt what was learned to an environment of your own, and keep the adapted agent",
    "export": "write what was learned in the formats of other programs: ONNX, torch, Keras, TensorFlow",
    "report": "write a run's report, one page of HTML",
    "reproduce": "train a published recipe with several seeds, and hold it against the published numbers",
    "gallery": "write a page with a picture and the exact definition of every family of tasks",
    "demo": "the main job in five minutes: train, test, film and report on the half-cheetah",
}
EXIT_CODES = {
    0: "success",
    1: "a defect of this program",
    2: "bad input: a name, a value, a path, a missing extra",
    3: "an environment broke its contract",
    4: "a checkpoint is missing, damaged, or belongs to something else",
    5: "a loss, gradient or parameter stopped being finite",
    6: "the machine ran out of something: space, memory, permission",
    75: "told to stop (SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU); a training is saved, and can go on",
    130: "interrupted (Ctrl-C); a training is saved, and can go on",
}
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, by default that of this process, and return its exit code."""
    words = _own_words() if argv is None else list(argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a "→" that a terminal cannot show is no reason to stop a training
    with _warnings_held_back() as forget_warnings:
        try:
            return _find_command(words)(words[1:])
        except SystemExit as leaving:
            code = leaving.code  # of argparse, or of foreign code
            return _fail(code, 1) if isinstance(code, str) else code or 0
        except KeyboardInterrupt:
            return _fail("interrupted", INTERRUPTED)
        except BrokenPipeError:  # as in `drml list | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (DrmlError, ImportError, OSError, MemoryError, RuntimeError) as error:
            forget_warnings()
            failure = _as_failure(error)
            if failure is None:
                raise
            if debug:
                print(printable(traceback.format_exc(), keep="\n"), end="", file=sys.stderr)
            return _fail(str(failure), failure.exit_code)


def help_text() -> str:
    """Return what `drml --help` prints."""
    commands = "\n".join(f"  {name:11}{what}" for name, what in COMMANDS.items())
    codes = "\n".join(f"  {code:<11}{what}" for code, what in EXIT_CODES.items())
    return (
        "usage: drml COMMAND [ARGUMENTS]\n\n"
        "Deep reinforcement meta-learning: policies that adapt to a new task in a few episodes.\n\n"
        f"commands (each has its own --help):\n{commands}\n\n"
        "everywhere:\n  --debug shows the traceback of a failure\n  --version\n\n"
        f"exit codes:\n{codes}"
    )


def _own_words() -> list[str]:
    """Return the command line of this process, which from now on ends at a signal as it is documented."""
    heed_from_now_on()
    return sys.argv[1:]


def _find_command(words: list[str]) -> Callable[[list[str]], int]:
    """Return the `run` of the command that the first word names."""
    name = words[0] if words else ""
    if name in ("-h", "--help", "help"):
        return lambda _: _say(help_text())
    if name == "--version":
        from drml import __version__

        return lambda _: _say(f"drml {__version__}")
    if name not in COMMANDS:
        wrong = f"unknown command '{name}'" if name else "a command is missing"
        raise InputError(f"{wrong}{suggest(name, list(COMMANDS))}")
    return importlib.import_module(f"drml.cli.{name}_command").run


def _as_failure(error: Exception) -> DrmlError | None:
    """Return the failure that a user can act on, or None where the error is a defect of this program."""
    if isinstance(error, DrmlError):
        return error
    if isinstance(error, ImportError) and not (error.name or "").startswith("drml"):
        return InputError(f'a package cannot be imported: {error}; install it anew: pip install "drml[mujoco,report]"')
    if isinstance(error, OSError):
        return ResourceError(f"{error.filename or 'the system'}: {error.strerror or error}")
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return ResourceError("out of memory; take fewer tasks (--num-tasks) or episodes (--copies)")
    return None


def _say(text: str) -> int:
    print(text)
    return 0


def _fail(message: str, exit_code: int) -> int:
    print(f"drml: error: {one_line(message)}", file=sys.stderr)
    return exit_code


class _OneLine(logging.Formatter):
    """Lays a warning out as one line of what can be shown."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return one_line(super().format(record))


@contextmanager
def _warnings_held_back() -> Generator[Callable[[], None]]:
    """Print warnings when the command has started its work or has ended; a failure is one line, so they go then."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_OneLine("drml: warning: %(message)s"))
    held = logging.handlers.MemoryHandler(1000, logging.ERROR, lines, flushOnClose=False)
    logger = logging.getLogger("drml")
    logger.addHandler(held)
    try:
        yield held.buffer.clear
    finally:
        with suppress(BrokenPipeError):
            held.flush()
        logger.removeHandler(held)
        held.close()


def print_warnings() -> None:
    """Print the warnings held back so far; long commands call it when their work begins."""
    for handler in logging.getLogger("drml").handlers:
        handler.flush()


if __name__ == "__main__":
    sys.exit(main())
