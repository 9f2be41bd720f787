"""What a run directory holds, read and checked once: a page is drawn from these values and from nothing else.

Only config.json must exist. Whatever else is missing (a run that goes on, one that was never tested or filmed) is
missing here too, and the page says so. A number that is null was not finite when it was written; it is NaN here.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.core.errors import CheckpointError, InputError
from drml.runlog import METRICS, read_rows
from drml.stats import estimand

JsonObject = Mapping[str, Any]
LARGEST = 1e100  # beyond this a number is damage, not a return, and no figure can show it


@dataclass(frozen=True)
class TrainPoint:
    """One meta-iteration."""

    meta_iter: int
    env_steps: float
    seconds: float
    pre_return: float
    post_return: float


@dataclass(frozen=True)
class ValidationPoint:
    """One validation."""

    meta_iter: int
    env_steps: float
    return_by_step: tuple[float, ...]
    is_best: bool


@dataclass(frozen=True)
class FaultPoint:
    """A strike: what failed on one task in one meta-iteration or validation."""

    meta_iter: int
    kind: str
    """The kind of row that tells of it: train or validation."""
    task: str
    """Content hash."""
    params: JsonObject
    text: str
    strikes: int
    is_quarantined: bool


@dataclass(frozen=True)
class StepReturn:
    """The return over test tasks after some adaptation steps."""

    step: int
    mean: float
    half_width: float
    """Of the 95 % interval of the mean; NaN where it is not known."""
    iqm: float
    """The interquartile mean."""

    @property
    def low(self) -> float:
        """Return the lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Return the upper end of the interval."""
        return self.mean + self.half_width


@dataclass(frozen=True)
class TaskReturn:
    """The return on one test task by adaptation step: mean and standard deviation over episodes."""

    params: JsonObject
    return_by_step: tuple[float, ...]
    std_by_step: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """A meta-test: test.json."""

    split: str
    held_out: bool
    trained_adapt_steps: int
    """The adaptation steps of one meta-training episode."""
    tasks: tuple[TaskReturn, ...]
    return_by_step: tuple[StepReturn, ...]
    over: str
    """What the intervals are over: tasks or episodes; '' in tests of older versions, whose intervals are not shown."""
    count: int
    """The tasks that were tested."""
    best_meta_iter: int
    env_steps: float
    seconds: float
    phases: Mapping[str, float]
    unmeasured: tuple[str, ...] = ()
    """Tasks that count in no mean, each with what failed on it."""

    @property
    def estimand(self) -> str:
        """Return what the intervals are over, in words."""
        return estimand(self.over, self.count) if self.over else ""

    @property
    def adapted_index(self) -> int:
        """Return the index of the step that counts as adapted: as many as trained with, if the test took so many."""
        return min(self.trained_adapt_steps, len(self.return_by_step) - 1)


@dataclass(frozen=True)
class Film:
    """One film: its task, the adaptation steps before it, its files and the return of the episode it shows."""

    task: str
    step: int
    file: Path
    strip: Path | None
    episode_return: float


@dataclass(frozen=True)
class Films:
    """The films of a run, or the line that says why there are none."""

    films: tuple[Film, ...]
    unavailable: str


@dataclass(frozen=True)
class RunRecord:
    """A run directory."""

    config: JsonObject
    suite: str
    learner: str
    seed: int
    train: tuple[TrainPoint, ...]
    validation: tuple[ValidationPoint, ...]
    evaluation: Evaluation | None
    films: Films
    faults: tuple[FaultPoint, ...] = ()


def read_run(run_dir: Path) -> RunRecord:
    """Return what a run directory holds.

    Raises:
        InputError: if it is not a run directory, or one of its files is damaged.
    """
    if not run_dir.is_dir():
        raise InputError(f"{run_dir} is not a directory; expected the directory of a run")
    if not (run_dir / "config.json").exists():
        raise InputError(f"{run_dir} is not a run directory: it has no config.json")
    config = _Fields(run_dir / "config.json", _load(run_dir / "config.json"))
    rows = [_Fields(run_dir / METRICS, row) for row in _rows(run_dir)]
    test_path = run_dir / "test.json"
    return RunRecord(
        config=config.values,
        suite=config.text("suite"),
        learner=config.text("learner"),
        seed=config.integer("seed"),
        train=tuple(_train_point(row) for row in rows if row.values["kind"] == "train"),
        validation=tuple(_validation_point(row) for row in rows if row.values["kind"] == "validation"),
        evaluation=_evaluation(_Fields(test_path, _load(test_path))) if test_path.exists() else None,
        films=_films(run_dir),
        faults=tuple(fault for row in rows for fault in _fault_points(row)),
    )


class _Fields:
    """The fields of a JSON object, each asked for by name and kind; what does not fit is one line naming its place."""

    def __init__(self, path: Path, values: object) -> None:
        self._path = path
        if not isinstance(values, dict):
            raise self.wrong("an object", values)
        self.values: dict[str, Any] = values

    def wrong(self, expected: str, found: object, key: str = "") -> InputError:
        place = f" '{key}'" if key else ""
        return InputError(f"{self._path}:{place} should be {expected}, found {repr(found)[:60]}; the file is damaged")

    def text(self, key: str) -> str:
        if not isinstance(value := self.values.get(key), str):
            raise self.wrong("a text", value, key)
        return value

    def flag(self, key: str) -> bool:
        if not isinstance(value := self.values.get(key), bool):
            raise self.wrong("true or false", value, key)
        return value

    def integer(self, key: str) -> int:
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong("a whole number", value, key)
        return value

    def number(self, key: str) -> float:
        return self._number(self.values.get(key), key)

    def numbers(self, key: str) -> tuple[float, ...]:
        return tuple(self._number(value, key) for value in self.array(key))

    def numbers_by_name(self, key: str) -> dict[str, float]:
        if not isinstance(value := self.values.get(key), dict):
            raise self.wrong("an object", value, key)
        return {name: self._number(number, f"{key}.{name}") for name, number in value.items()}

    def mapping(self, key: str) -> dict[str, Any]:
        if not isinstance(value := self.values.get(key), dict):
            raise self.wrong("an object", value, key)
        return value

    def array(self, key: str) -> list[Any]:
        if not isinstance(value := self.values.get(key), list):
            raise self.wrong("a list", value, key)
        return value

    def objects(self, key: str) -> "list[_Fields]":
        return [_Fields(self._path, value) for value in self.array(key)]

    def _number(self, value: object, key: str) -> float:
        if value is None:
            return math.nan
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > LARGEST:
            raise self.wrong("a number", value, key)
        return float(value)


def _load(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _rows(run_dir: Path) -> list[dict[str, Any]]:
    if not (run_dir / METRICS).exists():
        return []
    try:
        return read_rows(run_dir)
    except CheckpointError as error:
        raise InputError(str(error)) from error


def _train_point(row: _Fields) -> TrainPoint:
    return TrainPoint(
        row.integer("meta_iter"),
        row.number("env_steps"),
        row.number("seconds"),
        row.number("pre_return"),
        row.number("post_return"),
    )


def _validation_point(row: _Fields) -> ValidationPoint:
    returns = row.numbers("return_by_step")
    if not returns:
        raise row.wrong("a list with at least one number", [], "return_by_step")
    return ValidationPoint(row.integer("meta_iter"), row.number("env_steps"), returns, row.flag("is_best"))


def _fault_points(row: _Fields) -> list[FaultPoint]:
    if "faults" not in row.values:
        return []
    return [
        FaultPoint(
            row.integer("meta_iter"),
            row.text("kind"),
            fault.text("task"),
            fault.mapping("params"),
            fault.text("text"),
            fault.integer("strikes"),
            fault.flag("quarantined"),
        )
        for fault in row.objects("faults")
    ]


def _evaluation(test: _Fields) -> Evaluation:
    points = test.objects("return_by_step")
    steps = tuple(
        StepReturn(point.integer("step"), *(point.number(key) for key in ("mean", "mean_half_width_95", "iqm")))
        for point in points
    )
    if not steps:
        raise test.wrong("a list with at least one step", [], "return_by_step")
    has_faulty = "faulty_tasks" in test.values  # tests of older versions have no such list
    trained_adapt_steps = test.integer("trained_adapt_steps")
    if trained_adapt_steps < 0:
        raise test.wrong("0 or more", trained_adapt_steps, "trained_adapt_steps")
    return Evaluation(
        split=test.text("split"),
        held_out=test.flag("held_out"),
        trained_adapt_steps=trained_adapt_steps,
        tasks=tuple(_task_return(task, len(steps)) for task in test.objects("tasks")),
        return_by_step=steps,
        over=_over(points[0]),
        count=points[0].integer("count") if "over" in points[0].values else 0,
        best_meta_iter=test.integer("best_meta_iter"),
        env_steps=test.number("env_steps"),
        seconds=test.number("seconds"),
        phases=test.numbers_by_name("phases"),
        unmeasured=tuple(task.text("text") for task in test.objects("faulty_tasks")) if has_faulty else (),
    )


def _over(point: _Fields) -> str:
    if "over" not in point.values:  # tests of older versions took another interval, too narrow where tasks are few
        return ""
    if (over := point.text("over")) not in ("tasks", "episodes"):
        raise point.wrong("'tasks' or 'episodes'", over, "over")
    return over


def _task_return(task: _Fields, num_steps: int) -> TaskReturn:
    found = TaskReturn(task.mapping("params"), task.numbers("return_by_step"), task.numbers("std_by_step"))
    for key, values in (("return_by_step", found.return_by_step), ("std_by_step", found.std_by_step)):
        if len(values) != num_steps:
            raise task.wrong(f"a list of {num_steps} numbers", list(values), key)
    return found


def _films(run_dir: Path) -> Films:
    path = run_dir / "films.json"
    if not path.exists():
        return Films((), "This run has not been filmed.")
    found = _load(path)
    if isinstance(found, dict):
        return Films((), _Fields(path, found).text("unavailable"))
    entries = _Fields(path, {"films": found}).objects("films")
    return Films(tuple(_film(run_dir, entry) for entry in entries), "")


def _film(run_dir: Path, entry: _Fields) -> Film:
    strip = _inside(run_dir, entry, "strip") if "strip" in entry.values else None
    return Film(
        entry.text("task"), entry.integer("step"), _inside(run_dir, entry, "file"), strip, entry.number("return")
    )


def _inside(run_dir: Path, entry: _Fields, key: str) -> Path:
    """Return a path below the run directory: a page shows the run's own pictures and no other file of the machine."""
    name = entry.text(key)
    if "\0" in name or not (run_dir / name).resolve().is_relative_to(run_dir.resolve()):
        raise entry.wrong("a path inside the run directory", name, key)
    return run_dir / name
