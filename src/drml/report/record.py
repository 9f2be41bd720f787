"""Record of a run directory, read and checked once: a page is drawn from these values and from nothing else.

Only config.json must exist. Whatever else is missing (a run that goes on, one that was never tested or filmed) is
missing here too, and the page says so. A number that is null was not finite when it was written; it is NaN here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.core.errors import CheckpointError, InputError
from drml.core.fields import Fields, read_json
from drml.loop.stats import estimand
from drml.run.log import METRICS, read_rows
from drml.run.rundir import CONFIG, read_fields

JsonObject = Mapping[str, Any]
ANY, LAST = "success_any_by_step", "success_last_by_step"
BESIDE = "deterministic"
POINT = ("mean", "mean_half_width_95", "iqm", "episodes", "env_steps")


@dataclass(frozen=True)
class TrainPoint:
    """One meta-iteration."""

    meta_iter: int
    env_steps: float
    seconds: float
    pre_return: float
    post_return: float
    adapt_episodes: float = math.nan
    """Episodes that one agent took to adapt; NaN in logs of older versions."""
    adapt_env_steps: float = math.nan
    pre_success_any: float = math.nan
    """Share of episodes with success at any step; NaN where environments do not say what one is."""
    post_success_any: float = math.nan


@dataclass(frozen=True)
class ValidationPoint:
    """One validation."""

    meta_iter: int
    env_steps: float
    return_by_step: tuple[float, ...]
    is_best: bool
    success_any_by_step: tuple[float, ...] = ()
    """Shares of episodes with success at any step; none where environments do not say what one is."""


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
class WarningPoint:
    """Warning of one meta-iteration."""

    meta_iter: int
    name: str
    text: str


@dataclass(frozen=True)
class StepReturn:
    """The return over test tasks after some adaptation steps."""

    step: int
    mean: float
    half_width: float
    """Half the width of the 95 % interval of the mean; NaN where it is not known."""
    iqm: float
    """The interquartile mean."""
    episodes: float = math.nan
    """Episodes that one agent had taken by then, the mean over tasks; NaN in tests of older versions."""
    env_steps: float = math.nan

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
    success_any_by_step: tuple[float, ...] = ()
    """Shares of episodes with success at any step; none where environments do not say what one is."""


@dataclass(frozen=True)
class Successes:
    """Shares of episodes with success by adaptation step, and the returns of these episodes."""

    returns: tuple[StepReturn, ...]
    any: tuple[StepReturn, ...]
    """At any step of an episode; none where environments do not say what a success is."""
    last: tuple[StepReturn, ...]
    """At its last step."""


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
    """Unit of the intervals: tasks or episodes; '' in tests of older versions, whose intervals are not shown."""
    count: int
    """The tasks that were tested."""
    best_meta_iter: int
    env_steps: float
    seconds: float
    phases: Mapping[str, float]
    unmeasured: tuple[str, ...] = ()
    """Tasks that count in no mean, each with what failed on it."""
    drawn: Successes | None = None
    """Successes of the actions that were drawn from the policy; None where environments do not say what one is."""
    deterministic: Successes | None = None
    """Those of the most likely actions; None where these were not played."""

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
    row: int | None = None
    """Number of its task among those that were filmed; None in films of older versions."""
    success: bool = False
    """True where the environment called something in the episode a success."""


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
    warnings: tuple[WarningPoint, ...] = ()


def read_run(run_dir: Path, with_films: bool = True) -> RunRecord:
    """Return what a run directory holds; without its films where they are about to be made anew.

    Raises:
        InputError: if it is not a run directory, or one of its files is damaged.
    """
    if not run_dir.is_dir():
        raise InputError(f"{run_dir} is not a directory; expected the directory of a run")
    config = Fields(run_dir / CONFIG, read_fields(run_dir))
    rows = [Fields(run_dir / METRICS, row) for row in _rows(run_dir)]
    test_path = run_dir / "test.json"
    return RunRecord(
        config=config.values,
        suite=config.text("suite"),
        learner=config.text("learner"),
        seed=config.integer("seed"),
        train=tuple(_train_point(row) for row in rows if row.values["kind"] == "train"),
        validation=tuple(_validation_point(row) for row in rows if row.values["kind"] == "validation"),
        evaluation=_evaluation(Fields(test_path, read_json(test_path))) if test_path.exists() else None,
        films=_films(run_dir) if with_films else Films((), ""),
        faults=tuple(fault for row in rows for fault in _fault_points(row)),
        warnings=tuple(warning for row in rows for warning in _warning_points(row)),
    )


def _rows(run_dir: Path) -> list[dict[str, Any]]:
    if not (run_dir / METRICS).exists():
        return []
    try:
        return read_rows(run_dir)
    except CheckpointError as error:
        raise InputError(str(error)) from error


def _train_point(row: Fields) -> TrainPoint:
    return TrainPoint(
        row.count("meta_iter"),
        row.amount("env_steps"),
        row.amount("seconds"),
        row.number("pre_return"),
        row.number("post_return"),
        row.number("adapt_episodes"),
        row.number("adapt_env_steps"),
        row.number("pre_success_any"),
        row.number("post_success_any"),
    )


def _validation_point(row: Fields) -> ValidationPoint:
    returns = row.numbers("return_by_step")
    if not returns:
        raise row.wrong("a list with at least one number", [], "return_by_step")
    shares = row.numbers(ANY) if ANY in row.values else ()
    if shares and len(shares) != len(returns):
        raise row.wrong(f"a list of {len(returns)} numbers", list(shares), ANY)
    return ValidationPoint(row.count("meta_iter"), row.amount("env_steps"), returns, row.flag("is_best"), shares)


def _fault_points(row: Fields) -> list[FaultPoint]:
    if "faults" not in row.values:
        return []
    return [
        FaultPoint(
            row.count("meta_iter"),
            row.text("kind"),
            fault.text("task"),
            fault.mapping("params"),
            fault.text("text"),
            fault.count("strikes"),
            fault.flag("quarantined"),
        )
        for fault in row.objects("faults")
    ]


def _warning_points(row: Fields) -> list[WarningPoint]:
    if "warnings" not in row.values:
        return []
    return [WarningPoint(row.integer("meta_iter"), w.text("name"), w.text("text")) for w in row.objects("warnings")]


def _evaluation(test: Fields) -> Evaluation:
    points, steps = test.objects("return_by_step"), _points(test, "return_by_step")
    if not steps:
        raise test.wrong("a list with at least one step", [], "return_by_step")
    has_faulty = "faulty_tasks" in test.values  # tests of older versions have no such list
    return Evaluation(
        split=test.text("split"),
        held_out=test.flag("held_out"),
        trained_adapt_steps=test.count("trained_adapt_steps"),
        tasks=tuple(_task_return(task, len(steps)) for task in test.objects("tasks")),
        return_by_step=steps,
        over=_over(points[0]),
        count=points[0].count("count") if "over" in points[0].values else 0,
        best_meta_iter=test.count("best_meta_iter"),
        env_steps=test.amount("env_steps"),
        seconds=test.amount("seconds"),
        phases=test.numbers_by_name("phases"),
        unmeasured=tuple(task.text("text") for task in test.objects("faulty_tasks")) if has_faulty else (),
        drawn=_successes(test) if ANY in test.values else None,
        deterministic=_successes(test.nested(BESIDE)) if test.values.get(BESIDE) is not None else None,
    )


def _points(test: Fields, key: str) -> tuple[StepReturn, ...]:
    found = test.objects(key)
    for point in found:
        if _over(point):
            point.count("count")
    return tuple(StepReturn(point.count("step"), *(point.number(name) for name in POINT)) for point in found)


def _successes(test: Fields) -> Successes:
    returns = _points(test, "return_by_step")
    shares = [_points(test, key) if key in test.values else () for key in (ANY, LAST)]
    for key, points in zip((ANY, LAST), shares, strict=True):
        if len(points) not in (0, len(returns)) or len(points) != len(shares[0]):
            raise test.wrong(f"a list of {len(returns)} points", len(points), key)
    return Successes(returns, *shares)


def _over(point: Fields) -> str:
    if "over" not in point.values:  # tests of older versions took another interval, too narrow where tasks are few
        return ""
    if (over := point.text("over")) not in ("tasks", "episodes"):
        raise point.wrong("'tasks' or 'episodes'", over, "over")
    return over


def _task_return(task: Fields, num_steps: int) -> TaskReturn:
    columns = {key: task.numbers(key) for key in ("return_by_step", "std_by_step")}
    columns |= {key: task.numbers(key) for key in (ANY, LAST) if key in task.values}
    for key, values in columns.items():
        if len(values) != num_steps:
            raise task.wrong(f"a list of {num_steps} numbers", list(values), key)
    return TaskReturn(task.mapping("params"), columns["return_by_step"], columns["std_by_step"], columns.get(ANY, ()))


def _films(run_dir: Path) -> Films:
    path = run_dir / "films.json"
    if not path.exists():
        return Films((), "This run has not been filmed.")
    found = read_json(path)
    if isinstance(found, dict):
        return Films((), Fields(path, found).text("unavailable"))
    entries = Fields(path, {"films": found}).objects("films")
    return Films(tuple(_film(run_dir, entry) for entry in entries), "")


def _film(run_dir: Path, entry: Fields) -> Film:
    strip = _inside(run_dir, entry, "strip") if "strip" in entry.values else None
    row = entry.count("row") if "row" in entry.values else None
    success = entry.flag("success") if "success" in entry.values else False
    file, earned = _inside(run_dir, entry, "file"), entry.number("return")
    return Film(entry.text("task"), entry.count("step"), file, strip, earned, row, success)


def _inside(run_dir: Path, entry: Fields, key: str) -> Path:
    """Return a path below the run directory: a page shows the run's own pictures and no other file of the machine."""
    name = entry.text(key)
    if "\0" in name or not (run_dir / name).resolve().is_relative_to(run_dir.resolve()):
        raise entry.wrong("a path inside the run directory", name, key)
    return run_dir / name
