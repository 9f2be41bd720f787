"""The zoo: each planted fault is found and named, and sound environments are left in peace."""

from pathlib import Path

import pytest

from drml.check.checks import check_tasks
from drml.suites.registry import SUITES

from .conftest import Check

Expected = tuple[str, str, str, str]
"""What makes the environments, the check that names their fault, its verdict, and some of what it says."""

FAULTS: list[Expected] = [
    ("NanAfter200Steps", "observation", "fault", "observation[0] is nan"),
    ("InfinitySlipsThroughTheSpace", "observation", "fault", "observation[1] is inf"),
    ("OutOfBoundsAtStep4", "bounds", "warning", "observation[0] is 11, outside of [-10, 10]"),
    ("AnotherDtypeAfterAWhile", "observation", "fault", "dtype float64, the space float32"),
    ("AnotherShapeAfterAWhile", "observation", "fault", "shape [1], the space [2]"),
    ("SeedIgnored", "seeding", "fault", "reset(seed=0) twice"),
    ("SeedWithoutEffect", "seeding", "fault", "seeds 0, 1 and 2 give the same episodes"),
    ("GeneratorLivesOn", "seeding", "fault", "seeds 0, 1 and 2 give the same episodes"),
    ("NondeterministicAfterStep5", "determinism", "fault", "the same seed and actions twice"),
    ("HangsInStep", "responds", "fault", "step hung: no answer within 1 s"),
    ("HangsInALaterReset", "responds", "fault", "reset hung: no answer within 1 s"),
    ("LeavesTheProcess", "responds", "fault", "step died: it left with exit code 0"),
    ("IsKilled", "responds", "fault", "step died: killed by SIGSEGV"),
    ("Raises", "raises", "fault", "IndexError: index 0 is out of bounds"),
    ("DrawsFromGlobalNumpy", "global-rng", "fault", "another state of numpy.random"),
    ("DrawsFromGlobalRandom", "global-rng", "fault", "another state of random"),
    ("RewardIsNan", "reward", "fault", "reward is nan"),
    ("RewardIsAnArray", "reward", "warning", "reward is an array of shape [1], taken as the one entry that it holds"),
    ("TerminatedIsANumber", "flags", "fault", "terminated is 0"),
    ("FourValues", "raises", "fault", "step returned 4 values"),
    ("CounterSurvivesReset", "leftover", "fault", "used before"),
    ("StepBeyondTheEndSpoilsTheNextEpisode", "leftover", "fault", "used before"),
    ("StateOfTheClass", "isolation", "fault", "beside a second one"),
    ("NeverEnds", "horizon", "warning", "no episode ended within 210 steps"),
    ("TimeLimitCalledTermination", "horizon", "warning", "terminated after exactly 50 steps"),
    ("ActionOverwritten", "aliasing", "fault", "the action that was given was overwritten"),
    ("OverwritesObservations", "aliasing", "fault", "(the same object)"),
    ("SymbolsCalledAPicture", "bytes", "warning", "none was above"),
    ("TellsMillimetres", "scale", "warning", "numbers of the observation are far from 1: entry 0 has mean"),
    ("SignalOnALargeConstant", "scale", "warning", "entry 1 has mean 1e+04 and standard deviation 0.29"),
    ("TellsKilometres", "scale", "warning", "hardly change: the largest standard deviation is 0.00"),
    ("DictOfOneHotAndPascals", "scale", "warning", "entry 2 has mean 1.01e+05"),
    ("PaysByTheClock", "clock", "fault", "a moment later"),
    ("PaysByTheHour", "clock", "fault", "at another time"),
    ("PaysByTheDate", "clock", "fault", "a moment later"),
]
DISGUISES: list[Expected] = [
    ("OverwritesTheLastObservation", "aliasing", "fault", "the observation of the step before was overwritten"),
    ("FiveBuffersInTurn", "aliasing", "fault", "the observation of 5 steps before was overwritten"),
    ("ActionOverwrittenLater", "aliasing", "fault", "the action that was given of the step before was overwritten"),
    ("HourByAnImportedName", "clock", "fault", "at another time"),
    ("HourOfLocaltime", "clock", "fault", "at another time"),
    ("HourAsText", "clock", "fault", "at another time"),
    ("HourOfDatetime", "clock", "fault", "at another time"),
    ("HourOfAnImportedDatetime", "clock", "fault", "at another time"),
    ("Day", "clock", "fault", "at another time"),
    ("OwnRandomState", "seeding", "fault", "though reset or step makes a random generator"),
    ("OwnBitGenerator", "seeding", "fault", "though reset or step makes a random generator"),
    ("OwnTorchGenerator", "seeding", "fault", "though reset or step makes a random generator"),
    ("CountsInTheModule", "isolation", "fault", "copies share planted_disguises.COUNTS"),
    ("CountsFastInTheModule", "isolation", "warning", "copies share planted_disguises.COUNTS"),
    ("CannotBeMade", "raises", "fault", "RuntimeError: no display"),
    ("HasNoObservationSpace", "raises", "fault", "observation_space is missing, expected a gymnasium.Space"),
    ("SpaceIsAMethod", "raises", "fault", "observation_space is a method, expected a gymnasium.Space"),
    ("SpaceRaises", "raises", "fault", "KeyError: 'actions'"),
]
TASK_FAULTS: list[Expected] = [
    ("resampled", "task-kept", "fault", "goal differs between tasks"),
    ("pays_in_an_array", "reward", "warning", "reward is an array of shape [1], taken as the one entry that it holds"),
    ("pays_two_numbers", "reward", "fault", "reward is an array of shape [2], expected a number"),
    ("other_spaces", "task-spaces", "fault", "observation space of task 0: Box(-10.0, 10.0, (2,)"),
    ("ignored", "task-effect", "fault", "tasks with different parameters gave the same episodes"),
    ("tells_the_goal", "task-leak", "warning", "it is the parameter 'goal'"),
    ("shares_a_buffer", "aliasing", "fault", "was overwritten"),
    ("pays_by_the_clock", "clock", "fault", "at another time"),
    ("resampled_in_later_episodes", "task-kept", "fault", "goal differs between tasks"),
    ("other_bounds", "task-spaces", "warning", "action space of task 0"),
    ("stored_but_not_used", "task-effect", "fault", "tasks with different parameters gave the same episodes"),
    ("one_is_not_used", "task-effect", "warning", "mass changed neither"),
    ("task_of_the_class", "isolation", "fault", "beside a second one"),
    ("blows_up_on_heavy_tasks", "observation", "fault", "observation[0] is nan"),
    ("TurnedIgnored", "task-effect", "fault", "tasks with different parameters gave the same episodes"),
    ("TurnedResampled", "task-kept", "fault", "goal differs between tasks"),
    ("TurnedHalf", "leftover", "fault", "used before"),
]
FAST = {"NanAfter200Steps", "SeedWithoutEffect", "NondeterministicAfterStep5", "HangsInStep", "IsKilled"}
FAST |= {
    "TellsMillimetres",
    "TellsKilometres",
    "DictOfOneHotAndPascals",
    "SymbolsCalledAPicture",
    "PaysByTheHour",
    "pays_in_an_array",
    "pays_two_numbers",
    "resampled",
    "ignored",
    "tells_the_goal",
    "TurnedHalf",
}

SOUND = ["CartPole_v1", "MountainCar_v0", "MountainCarContinuous_v0", "Pendulum_v1", "Acrobot_v1"]
SOUND += ["FrozenLake_v1", "FrozenLake8x8_v1", "Taxi_v4", "Blackjack_v1", "CliffWalking_v1"]
SOUND_ROBOTS = ["HalfCheetah_v5", "Hopper_v5", "Walker2d_v5", "Ant_v5", "Humanoid_v5", "HumanoidStandup_v5"]
SOUND_ROBOTS += ["Reacher_v5", "Pusher_v5", "Swimmer_v5", "InvertedPendulum_v5", "InvertedDoublePendulum_v5"]
LOUD = {"Humanoid_v5", "HumanoidStandup_v5"}  # forces of hundreds of newtons are among their observations
END_IS_THE_HORIZON = {"tmaze-passive-v1", "probe-termination-v1"}  # by their definition, which a checker cannot know
OUT_OF_BOUNDS = {"lunar-lander-varied-v1"}  # its angle leaves the space that Gymnasium declares
FAST_SOUND = {"CartPole_v1", "CliffWalking_v1", "navigation-pearl-sparse-v1", "half-cheetah-vel-promp-v1"}


def mostly_slow(names: list[str], fast: set[str]) -> list[object]:
    return [pytest.param(name, marks=() if name in fast else pytest.mark.slow, id=name) for name in names]


@pytest.mark.parametrize("name", mostly_slow([name for name, *_ in FAULTS], FAST))
def test_a_planted_fault_is_found_and_named(name: str, check: Check):
    _, expected, verdict, said = next(row for row in FAULTS if row[0] == name)
    wrong = check(f"planted_faults:{name}", timeout=1.0 if "Hangs" in name else 20.0)
    assert expected in wrong, wrong
    assert wrong[expected].verdict == verdict and said in wrong[expected].seen
    assert wrong[expected].line.startswith("tests/check/zoo/planted_faults.py:")


@pytest.mark.parametrize("name", mostly_slow([name for name, *_ in TASK_FAULTS], FAST))
def test_a_planted_task_fault_is_found_and_named(name: str, check: Check):
    _, expected, verdict, said = next(row for row in TASK_FAULTS if row[0] == name)
    wrong = check(f"planted_task_faults:{name}")
    assert expected in wrong, wrong
    assert wrong[expected].verdict == verdict and said in wrong[expected].seen
    assert wrong[expected].line.startswith("tests/check/zoo/planted_")


@pytest.mark.parametrize("name", ["pays_in_an_array", "pays_two_numbers"])
def test_rewards_that_cannot_be_compared_are_not_taken_for_equal(name: str, check: Check):
    wrong = check(f"planted_task_faults:{name}")
    assert "task-effect" not in wrong, wrong


def test_a_time_limit_of_one_tasks_own_is_a_fault_without_a_horizon(check: Check):
    wrong = check("planted_task_faults:another_limit_in_one_task", num_tasks=20)
    assert wrong["horizon"].verdict == "fault" and "horizon=30" in wrong["horizon"].mend
    assert wrong["horizon"].seen.startswith("tasks have time limits of their own: 25 steps in task ")


FAST_DISGUISES = {"OverwritesTheLastObservation", "HourOfLocaltime", "OwnTorchGenerator", "CountsInTheModule"}


@pytest.mark.parametrize("name", mostly_slow([name for name, *_ in DISGUISES], FAST_DISGUISES))
def test_a_fault_in_disguise_is_found_and_named(name: str, check: Check):
    _, expected, verdict, said = next(row for row in DISGUISES if row[0] == name)
    wrong = check(f"planted_disguises:{name}")
    assert expected in wrong, wrong
    assert wrong[expected].verdict == verdict and said in wrong[expected].seen
    assert wrong[expected].line.startswith("tests/check/zoo/planted_")
    also = (
        {"determinism", "gymnasium"}
        if name == "CountsFastInTheModule"
        else {"gymnasium"}
        if expected == "raises"
        else set[str]()
    )
    assert {check for check, finding in wrong.items() if finding.verdict == "fault"} <= {expected, *also}, wrong


@pytest.mark.parametrize("name", ["CannotBeMade", "HasNoObservationSpace"])
def test_what_was_never_seen_is_not_called_sound(name: str, in_zoo: Path):
    report = check_tasks(f"planted_disguises:{name}", 2, 40, 20.0)
    assert not [finding.check for finding in report.findings if finding.verdict == "ok"]
    assert [finding.check for finding in report.findings if finding.verdict == "fault"][-1] == "raises"


ODDITIES = ["levels", "levels_made_again", "FixedMap", "SeedsItsOwnGenerators", "LogsInTheModule"]


@pytest.mark.parametrize("name", mostly_slow(ODDITIES, {"levels_made_again", "SeedsItsOwnGenerators"}))
def test_what_only_looks_faulty_is_left_in_peace(name: str, check: Check):
    assert not check(f"sound_oddities:{name}")


@pytest.mark.parametrize("name", ["TellsTheTime", "OtherArguments", "SeedsLate", "NoMetadata"])
def test_what_gymnasium_alone_minds_is_a_warning(name: str, check: Check):
    wrong = check(f"sound_oddities:{name}")
    assert list(wrong) == ["gymnasium"] and wrong["gymnasium"].verdict == "warning"


def test_tasks_that_are_made_in_init_are_tried(in_zoo: Path):
    report = check_tasks("sound_oddities:TasksMadeInInit", 2, 420, 20.0)
    assert report.evidence.has_tasks and len(report.evidence.tasks) > 1
    assert {finding.verdict for finding in report.findings} == {"ok"}


def test_the_zoo_is_large_enough():
    assert len(FAULTS) >= 20 and len(TASK_FAULTS) >= 6


@pytest.mark.parametrize("name", ["sound", "TurnedSound", "TurnedByOptions", "two_sound_tasks"])
def test_the_faults_are_planted_in_sound_ground(name: str, check: Check):
    assert not check(f"planted_task_faults:{name}")


@pytest.mark.parametrize("name", mostly_slow(SOUND, FAST_SOUND))
def test_sound_environments_of_gymnasium_are_left_in_peace(name: str, check: Check):
    assert not check(f"sound_environments:{name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND_ROBOTS)
def test_sound_robots_of_gymnasium_are_left_in_peace(
    name: str, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)  # where MuJoCo logs that Gymnasium's model files are dated
    assert set(check(f"sound_environments:{name}")) <= ({"scale"} if name in LOUD else set())


@pytest.mark.parametrize("name", mostly_slow(list(SUITES), FAST_SOUND))
def test_our_own_suites_are_left_in_peace(name: str, check: Check):
    expected = {"horizon"} if name in END_IS_THE_HORIZON else {"bounds"} if name in OUT_OF_BOUNDS else set[str]()
    assert set(check(name)) <= expected


@pytest.mark.slow
def test_what_it_finds_in_gymnasiums_own_walker_is_true(check: Check):
    """Bipedal walker, played once and reset with the same seed, is not where a new one is: Box2D's world lives on."""
    pytest.importorskip("Box2D")
    wrong = check("sound_environments:BipedalWalker_v3")
    assert set(wrong) <= {"bounds", "leftover"} and wrong["leftover"].verdict == "fault"
