"""The child process: calls the user's code, and tells the parent before each call and after each recording.

Messages, in order: what the subject is, then `Where`s, each before the call it announces (or a `DrmlError`: what a
training would be refused with before it begins), the `Remark`s of Gymnasium's checker, and the `Recording`s; `None` at
the end.
"""

import faulthandler
import os
import re
import signal
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from multiprocessing.connection import Connection
from typing import Any, final

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env

from drml.check.evidence import Call, Remark, Where
from drml.check.plans import BASE, plans
from drml.check.recorder import Recorder, Stopped
from drml.check.subject import Subject, find_subject
from drml.core.blame import defining_lines, raised
from drml.core.child import go_on_guarded
from drml.core.errors import DrmlError, InputError
from drml.envs.foreign.copies import AnyEnv, Options

FINE = re.compile(  # what Gymnasium's checker says of many a sound environment
    "is -infinity|is infinity|symmetric and normalized|different from the unwrapped|alternative render modes|"
    "[Nn]o render|values are equal|Casting input"
)
OPINION = re.compile(  # what it raises for, though learning does not need it, or another check tells it better
    r"`reset` method does not provide|step info are not equivalent|share an object|does not call `super\(\)"
)
ANSI = re.compile(r"\x1b\[[0-9;]*m|^WARN: ")
ASK_WHERE = getattr(signal, "SIGUSR1", signal.SIGTERM)  # at which a child writes down the line that it is in


@dataclass(frozen=True)
class About:
    """Facts of a subject that its `Evidence` begins with."""

    tasks: tuple[Mapping[str, np.ndarray], ...]
    varied: Mapping[int, str]
    has_tasks: bool
    horizon: int
    lines: dict[str, str]
    """The line where environments are made."""


def main(pipe: Connection, trace: str, name: str, num_tasks: int, steps: int) -> None:
    """Try the environments of a subject, and send what was seen; where it hangs or crashes is written to `trace`."""
    _live_alone(pipe)
    with open(trace, "w", encoding="utf-8") as file:
        faulthandler.enable(file)
        if hasattr(faulthandler, "register"):
            faulthandler.register(ASK_WHERE, file, all_threads=False)
        _try(pipe, name, num_tasks, steps)


def _try(pipe: Connection, name: str, num_tasks: int, steps: int) -> None:
    try:
        subject = find_subject(name, num_tasks)
        pipe.send(
            About(subject.tasks, subject.varied, subject.has_tasks, subject.horizon, defining_lines(subject.maker))
        )
        subject.first_step(lambda: pipe.send(Where(BASE, "make")))
    except BaseException as error:
        pipe.send(error if isinstance(error, DrmlError) else InputError(f"'{name}': {': '.join(raised(error)[::-1])}"))
        return
    recorder = Recorder(subject, steps, pipe.send)
    pipe.send(_ask_gymnasium(recorder, subject))
    for plan in plans(len(subject.tasks)):
        pipe.send(recorder.record(plan))
    pipe.send(None)


@final
class _Given(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose resets are always told their task, for a checker that knows of none."""

    def __init__(self, env: AnyEnv, options: Options) -> None:
        super().__init__(env)
        self._options = options

    def reset(self, *, seed: int | None = None, options: Options | None = None) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(seed=seed, options={**self._options, **(options or {})})


def _live_alone(pipe: Connection) -> None:
    """See to it that what an environment starts ends with us, and we with the parent; print nothing."""
    go_on_guarded(pipe.fileno(), ASK_WHERE)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    warnings.simplefilter("ignore")


def _announce_calls(env: AnyEnv, announce: Callable[[Where], None]) -> None:
    """Announce each call of an environment's methods, as each has its own time; they stay what they are otherwise."""
    steps = 0

    def announced(call: Call, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)  # Gymnasium's checker reads the signature
        def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            nonlocal steps
            announce(Where(BASE, call, 0, steps if call == "step" else 0))
            steps = steps + 1 if call == "step" else 0
            answer = method(*args, **kwargs)
            announce(Where(BASE, "gymnasium"))
            return answer

        return called

    calls: tuple[Call, ...] = ("reset", "step", "close")
    for call in calls:
        with suppress(AttributeError):  # without attributes of its own, all of the checker's calls have one time
            setattr(env, call, announced(call, getattr(env, call)))


def _with_metadata(env: AnyEnv) -> list[Remark]:
    """Give an environment a dictionary of metadata where it has none: what reads it is rendering, and the checker."""
    metadata = getattr(env, "metadata", None)
    if isinstance(metadata, Mapping):
        return []
    env.metadata = {"render_modes": []}
    return [Remark(False, f"metadata is {metadata!r}, expected a dictionary")]


def _ask_gymnasium(recorder: Recorder, subject: Subject) -> tuple[dict[str, str], tuple[Remark, ...] | None]:
    """Return where the environment's methods are defined, and what Gymnasium's checker says of it, if it can be asked.

    What the checker raises is a warning where learning does not depend on it.
    """
    remarks: list[Remark] = []
    defined: dict[str, str] = {}

    def ask() -> None:
        recorder.announce(Where(BASE, "make"))
        env = subject.make(subject.tasks[0])
        options = subject.turn(env, subject.tasks[0]) if subject.turn else None
        defined.update(defining_lines(subject.maker, env))
        _announce_calls(env, recorder.announce)
        remarks.extend(_with_metadata(env))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                check_env(_Given(env, options) if options else env, skip_render_check=True, skip_close_check=True)
            except BaseException as error:
                remarks.append(Remark(not OPINION.search(str(error)), *raised(error)))
        texts = dict.fromkeys(ANSI.sub("", ANSI.sub("", str(warning.message))) for warning in caught)
        remarks.extend(Remark(False, " ".join(text.split())) for text in texts if not FINE.search(text))
        env.close()  # which is announced

    try:
        recorder.call(Where(BASE, "gymnasium"), ask)
    except Stopped:  # recorded with the plan that stops for the same reason
        return defined, None
    return defined, tuple(remarks)
