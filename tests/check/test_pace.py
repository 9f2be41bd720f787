"""A check that takes its time: each call has its own, all of it is bounded, and how long it takes is said."""

import time

import pytest

from drml.check import pace as pace_module
from drml.check.checks import CHECKS, check_tasks
from drml.check.evidence import Where
from drml.check.pace import Pace
from drml.check.plans import BASE
from drml.core.errors import InputError

from .conftest import Check


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(pace_module.time, "monotonic", lambda: self.now)

    def pass_in(self, pace: Pace, call: str, seconds: float) -> None:
        pace.note(Where(BASE, call))  # pyright: ignore[reportArgumentType]
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_what_it_will_take_is_said_before_the_first_recording(clock: Clock):
    said: list[str] = []
    pace = Pace(30, 500, said.append)
    clock.pass_in(pace, "make", 1.0)
    clock.pass_in(pace, "reset", 2.0)
    for _ in range(5):
        clock.pass_in(pace, "step", 0.05)
    clock.pass_in(pace, "gymnasium", 0.0)
    # 30 x (1 s + 2 x 2 s + 500 x 0.05 s) = 900 s
    (line,) = said
    assert line.startswith("30 recordings of 500 steps, 2 s a reset and 0.05 s a step: 15 minutes or more;")


def test_what_is_left_is_said_every_ten_seconds(clock: Clock):
    said: list[str] = []
    pace = Pace(4, 100, said.append)
    for _ in range(5):
        clock.pass_in(pace, "step", 0.4)
    for _ in range(100):
        clock.pass_in(pace, "step", 0.4)
    pace.recorded()
    for _ in range(30):
        clock.pass_in(pace, "step", 0.4)
    assert said[0].endswith("3 minutes or more; fewer --steps or --tasks take less") and "0 s a reset" in said[0]
    later = [line for line in said if line.startswith("1 of 4 recordings, ")]
    assert (later and later[0].endswith("minutes left")) or later[0].endswith("seconds left")
    assert len(said) == pytest.approx(135 * 0.4 / 10.0, abs=1.0)


def test_a_quick_check_says_nothing(clock: Clock):
    said: list[str] = []
    pace = Pace(30, 500, said.append)
    for _ in range(1000):
        clock.pass_in(pace, "step", 0.0001)
    assert not said


def test_slow_resets_that_each_answer_in_time_are_no_hanging_call(check: Check):
    """Gymnasium's checker makes half a dozen of them, which together take longer than one call may."""
    wrong = check("sound_oddities:SlowResets", timeout=4.0)
    assert "responds" not in wrong and "gymnasium" not in wrong


def test_a_call_of_gymnasiums_checker_that_hangs_is_named(check: Check):
    wrong = check("planted_faults:HangsInReset", timeout=2.0)
    assert wrong["responds"].seen == "reset hung: no answer within 2 s"
    assert wrong["responds"].line.startswith("tests/check/zoo/planted_faults.py:")


def test_all_of_it_is_bounded_and_what_was_not_tried_is_skipped(in_zoo: object):
    said: list[str] = []
    begun = time.monotonic()
    report = check_tasks("sound_oddities:SlowSteps", 2, 420, 20.0, 15.0, said.append)
    assert time.monotonic() - begun < 60.0  # 15 seconds from the first call on, and a busy machine
    verdicts = {finding.check: finding.verdict for finding in report.findings}
    assert report.evidence.cut and report.num_faults == 0 and len(verdicts) == len(CHECKS)
    assert verdicts["responds"] in ("ok", "skipped") and verdicts["isolation"] == "skipped"
    assert said and "s a step" in said[0] and "minutes or more" in said[0]


def test_a_bound_below_a_second_is_refused():
    for seconds in (0.0, float("nan")):
        with pytest.raises(InputError, match="max_seconds is"):
            check_tasks("navigation-maml-v1", max_seconds=seconds)


@pytest.mark.parametrize("name", ["resets_when_made", "seeds_when_made", "seeded_by_its_task"])
def test_a_constructor_that_resets_or_seeds_leaves_no_false_alarm(name: str, check: Check):
    assert "task-kept" not in check(f"sound_oddities:{name}")
