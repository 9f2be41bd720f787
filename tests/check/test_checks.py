"""Probes on recordings written by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces

from drml.check import contract, repeat
from drml.check import tasks as of_tasks
from drml.check.checks import CHECKS
from drml.check.compare import difference, later_difference
from drml.check.evidence import Evidence, Plan, Problem, Recording, Remark, SpaceNote, Stop, Where
from drml.check.look import largest_bounds
from drml.check.plans import AGAIN, AHEAD, BASE, SEEDS, STYLES, TICKING, TICKING_AGAIN, of_task, plans
from drml.check.scales import scales

SPACES = {"observation": SpaceNote("Box", "a", "Box(1)"), "action": SpaceNote("Discrete(2)", "b", "Discrete(2)")}


def recording(plan: Plan, obs: Any, reward: Any = None, **others: Any) -> Recording:
    """Two episodes of three moments each: reset, step, step."""
    obs = np.array(obs, np.float64).reshape(6, -1)
    digest = np.array([hash(row.tobytes()) for row in obs])
    reward = np.zeros(6) if reward is None else np.array(reward, np.float64)
    never, ends = np.zeros(6, np.bool_), np.array([0, 0, 1] * 2, np.bool_)
    episode, step = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)
    kept = {"spaces": SPACES, **others}
    return Recording(plan, obs=obs, digest=digest, reward=reward, terminated=never, truncated=ends,
                     episode=episode, step=step, **kept)  # fmt: skip


def evidence(*recordings: Recording, tasks: Any = ({},), **others: Any) -> Evidence:
    tasks = tuple({name: np.asarray(value) for name, value in task.items()} for task in tasks)
    made = {r.plan.name: r for r in recordings}
    return Evidence(tasks, others.pop("varied", {}), bool(tasks[0]), others.pop("horizon", 2), made, **others)


def all_of_task(task: int, obs: Any, reward: Any = None, **others: Any) -> list[Recording]:
    """What a task's recordings are, all alike."""
    wanted = [of_task(task, style) for style in STYLES] + [of_task(task, "random", seed) for seed in SEEDS[:1]]
    return [recording(plan, obs, reward, **others) for plan in (*wanted, *([AGAIN] if task == 0 else []))]


MOVES = [0.0, 1.0, 2.0, 0.5, 1.5, 2.5]


def test_where_two_recordings_part():
    one = recording(BASE, MOVES)
    assert difference(one, recording(AGAIN, MOVES)) is None
    later = difference(one, recording(AGAIN, [0.0, 1.0, 2.0, 0.5, 1.75, 2.5]))
    assert later is not None and (later.moment, later.is_rounding) == (4, False)
    assert later.text == "observation[0] is 1.5, then 1.75"
    tiny = difference(one, recording(AGAIN, [0.0, 1.0 + 1e-9, 9.0, 0.5, 1.5, 2.5]))
    assert tiny is not None and tiny.moment == 1 and tiny.is_rounding  # as it begins, not as it grows
    paid = difference(one, recording(AGAIN, MOVES, [0, 0, 3, 0, 0, 0]))
    assert paid is not None and paid.text == "the reward is 0, then 3"
    ended = difference(one, replace(one, truncated=~one.truncated))
    assert ended is not None and ended.text == "one episode ends here, the other goes on"


def test_nan_is_as_good_as_nan():
    broken = [0.0, np.nan, 2.0, 0.5, 1.5, 2.5]
    rewards = [0, np.nan, 0, 0, 0, 0]
    assert difference(recording(BASE, broken, rewards), recording(AGAIN, broken, rewards)) is None


def test_a_difference_in_the_first_episode_is_not_one_in_later_ones():
    one = recording(BASE, MOVES)
    assert not later_difference(one, recording(AGAIN, [9.0, 9.0, 9.0, 0.5, 1.5, 2.5]))
    assert later_difference(one, recording(AGAIN, [0.0, 1.0, 2.0, 0.5, 1.5, 9.0]))


def test_a_plan_differs_from_base_in_one_thing():
    made = list(plans(3))
    assert made[0] == BASE and len({plan.name for plan in made}) == len(made)
    for plan in made:
        changed = {name for name in vars(BASE) if name != "name" and getattr(plan, name) != getattr(BASE, name)}
        assert len(changed) <= 1 or changed in ({"task", "style"}, {"task", "seed"})


def test_nothing_recorded_is_nothing_said():
    stop = Stop(Where(BASE, "make"), "hung", "no answer within 1 s", "mine.py:3")
    found = {name: probe(evidence(tasks=({"goal": 1.0},), stop=stop)) for name, probe in CHECKS.items()}
    assert found.pop("responds").verdict == "fault"
    assert {finding.verdict for finding in found.values()} == {"skipped"}


def test_problems_are_placed():
    at_step = recording(BASE, MOVES, problems=(Problem("observation", 4, "[0] is nan"),))
    at_reset = recording(BASE, MOVES, problems=(Problem("observation", 3, "[0] is nan"),))
    lines = {"reset": "mine.py:1", "step": "mine.py:2"}
    found = contract.observation(evidence(at_step, lines=lines))
    assert (found.verdict, found.seen, found.line) == ("fault", "observation[0] is nan", "mine.py:2")
    assert found.at == Where(BASE, "step", 1, 0)
    assert contract.observation(evidence(at_reset, lines=lines)).line == "mine.py:1"


def test_gymnasiums_remarks():
    remarks = (Remark(False, "hm"), Remark(True, "no", "mine.py:7"))
    found = contract.gymnasium(evidence(remarks=remarks))
    assert (found.verdict, found.seen, found.line) == ("fault", "no", "mine.py:7")
    assert contract.gymnasium(evidence(remarks=remarks[:1])).verdict == "warning"


def test_horizons():
    truncated = recording(BASE, MOVES)
    assert contract.horizon(evidence(truncated)).verdict == "ok"
    early = contract.horizon(evidence(truncated, horizon=5))
    assert early.verdict == "warning" and "after 2 steps, before the declared horizon of 5" in early.seen
    endless = replace(truncated, truncated=np.zeros(6, np.bool_))
    assert contract.horizon(evidence(endless, horizon=0)).verdict == "warning"
    assert contract.horizon(evidence(replace(endless, time_limit=9), horizon=0)).verdict == "ok"


def test_seeds_that_change_nothing_are_a_fault_where_there_is_randomness():
    same = [recording(plan, MOVES) for plan in (BASE, AGAIN, of_task(0, "random", 1), of_task(0, "random", 2))]
    assert repeat.seeding(evidence(*same)).seen == "deterministic: seeds change nothing"
    made = [replace(one, made_generators=(("mine.py:5", "7"),)) for one in same]
    assert repeat.seeding(evidence(*made)).line == "mine.py:5"
    seeded = [replace(one, made_generators=(("mine.py:5", str(i)),)) for i, one in enumerate(same)]
    assert repeat.seeding(evidence(*seeded)).verdict == "ok"  # it takes the seed, and hardly draws
    other = [*same[:2], recording(of_task(0, "random", 1), [1.0, *MOVES[1:]]), same[3]]
    assert repeat.seeding(evidence(*other)).verdict == "ok"


def test_the_clock_is_told_from_chance():
    one, other = recording(BASE, MOVES), recording(AGAIN, MOVES, [0, 1, 0, 0, 0, 0])
    ticking = [recording(plan, MOVES) for plan in (TICKING, TICKING_AGAIN)]
    of_time = evidence(one, other, *ticking)
    assert repeat.clock(of_time).verdict == "fault"
    assert repeat.determinism(of_time).verdict == "skipped"
    of_chance = evidence(one, other, ticking[0], recording(TICKING_AGAIN, MOVES, [0, 2, 0, 0, 0, 0]))
    assert repeat.clock(of_chance).verdict == "skipped"
    assert repeat.determinism(of_chance).verdict == "fault"
    by_day = evidence(one, recording(AGAIN, MOVES), recording(AHEAD, MOVES, [0, 3, 0, 0, 0, 0]), *ticking)
    assert repeat.clock(by_day).verdict == "fault"


TASKS = ({"goal": 1.0}, {"goal": 2.0})


def test_an_entry_that_tells_the_task_is_a_leak():
    told = [
        r
        for task, goal in enumerate((1.0, 2.0))
        for r in all_of_task(task, np.stack([MOVES, np.full(6, goal), np.full(6, 5.0)], 1))
    ]
    found = of_tasks.leak(evidence(*told, tasks=TASKS))
    assert found.verdict == "warning" and found.seen.startswith("entry 1 of the observation never changes")
    assert found.seen.endswith("it is the parameter 'goal'")


def test_what_changes_within_a_task_is_no_leak():
    first = [[goal, *MOVES[1:]] for goal in (1.0, 2.0)]
    sound = [r for task in (0, 1) for r in all_of_task(task, first[task])]
    assert of_tasks.leak(evidence(*sound, tasks=TASKS)).verdict == "ok"
    # Constant within each episode, but another one at another seed: an initial state, not the task.
    by_seed = [
        recording(plan, np.full(6, float(task + 10 * plan.seed)))
        for task in (0, 1)
        for plan in (of_task(task, "random"), of_task(task, "random", 1))
    ]
    assert of_tasks.leak(evidence(*by_seed, tasks=TASKS)).verdict == "ok"


def test_a_parameter_without_effect_is_a_fault_only_where_rewards_tell_something():
    alike = [r for task in (0, 1) for r in all_of_task(task, MOVES)]
    assert of_tasks.effect(evidence(*alike, tasks=TASKS)).verdict == "warning"  # all rewards are zero
    # Held actions, and yet the reward changes from step to step: it tells of the state, and not of the task.
    dense = [r for task in (0, 1) for r in all_of_task(task, MOVES, [0, 1, 2, 0, 1, 2])]
    assert of_tasks.effect(evidence(*dense, tasks=TASKS)).verdict == "fault"
    felt = [r for task in (0, 1) for r in all_of_task(task, MOVES, [0, 1, 2 + task, 0, 1, 2])]
    assert of_tasks.effect(evidence(*felt, tasks=TASKS)).verdict == "ok"


def test_one_parameter_of_two_without_effect_is_named():
    tasks = ({"goal": 1.0, "mass": 1.0}, {"goal": 2.0, "mass": 1.0}, {"goal": 1.0, "mass": 2.0})
    recordings = [r for task in (0, 1, 2) for r in all_of_task(task, MOVES, [0, 1, 2 + (task == 1), 0, 1, 2])]
    found = of_tasks.effect(evidence(*recordings, tasks=tasks, varied={1: "goal", 2: "mass"}))
    assert found.verdict == "warning" and found.seen.startswith("mass changed neither")


def test_a_task_that_a_reset_overwrites_is_not_kept():
    def attributes(goal: int, later: int) -> Any:
        return {"attributes": ({"goal": goal, "size": 7}, {"goal": later, "size": 7})}

    lost = [r for task in (0, 1) for r in all_of_task(task, MOVES, **attributes(task, 99))]
    found = of_tasks.kept(evidence(*lost, tasks=TASKS))
    assert found.verdict == "fault" and found.seen.startswith("goal differs between tasks 0 and 1")
    assert of_tasks.effect(evidence(*lost, tasks=TASKS)).verdict == "skipped"
    held = [r for task in (0, 1) for r in all_of_task(task, MOVES, **attributes(task, task))]
    assert of_tasks.kept(evidence(*held, tasks=TASKS)).verdict == "ok"
    # Overwritten as well, but tasks are told apart by what they do: an attribute of passing use.
    felt = [r for task in (0, 1) for r in all_of_task(task, MOVES, [task] * 6, **attributes(task, 99))]
    assert of_tasks.kept(evidence(*felt, tasks=TASKS)).verdict == "ok"


def test_spaces_of_another_shape_are_a_fault_and_of_other_bounds_a_warning():
    base = all_of_task(0, MOVES)
    for changed, verdict in ((SpaceNote("Box", "other", "t"), "warning"), (SpaceNote("Boxes", "a", "t"), "fault")):
        other = all_of_task(1, MOVES, spaces={**SPACES, "observation": changed})
        assert of_tasks.spaces(evidence(*base, *other, tasks=TASKS)).verdict == verdict
    assert of_tasks.spaces(evidence(*base, *all_of_task(1, MOVES), tasks=TASKS)).verdict == "ok"


def test_bytes_of_which_a_few_values_are_used_may_be_symbols():
    picture, symbols = (("picture", 1),), (("symbols", 1),)
    for layout, brightest, verdict, said in [
        (picture, 10.0, "warning", "divided by 255, but none was above 10"),
        (picture, 200.0, "ok", "pictures (0 to 255) divided by 255"),
        (symbols, 10.0, "ok", "symbols (other bounds) as they are"),
        ((("box", 1),), 10.0, "ok", "no bytes"),
        ((), 10.0, "ok", "no bytes"),
    ]:
        shown = recording(BASE, [0.0, 1.0, 2.0, 3.0, 4.0, brightest], layout=layout)
        found = contract.byte_codes(evidence(shown, recording(AGAIN, MOVES, layout=layout)))
        assert (found.verdict, said in found.seen) == (verdict, True), found


def test_the_bytes_are_found_among_other_parts_and_in_long_observations():
    long = np.zeros((6, 512))
    long[3, -1] = 12.0  # the last entry, which is kept of however many there are
    beside = recording(BASE, long, layout=(("box", 500), ("picture", 1000)))
    assert "none was above 12" in contract.byte_codes(evidence(beside)).seen
    long[3, 0] = 300.0  # of the part that is no picture
    assert "none was above 12" in contract.byte_codes(evidence(replace(beside, obs=long))).seen


def test_scales_far_from_1_ask_for_normalising_and_flags_have_none():
    rare = np.zeros((6, 1))
    rare[2] = 1.0  # a flag, one-hot or not, deviates little and is right so
    numbers = np.array(MOVES).reshape(6, 1)
    box, layout = (("box", 1),), (("box", 2),)
    for obs, kinds, verdict, said in [
        (numbers, box, "ok", "standard deviations from 0.85 to 0.85"),
        (1e3 * numbers, box, "warning", "entry 0 has mean 1.25e+03 and standard deviation 854"),
        (-1e3 * numbers, box, "warning", "entry 0 has mean -1.25e+03"),
        (1e-3 * numbers, box, "warning", "hardly change: the largest standard deviation is 0.000854"),
        (1e3 * numbers, (("picture", 1),), "ok", "no numbers that have a scale"),
        (1e3 * numbers, (), "ok", "no numbers that have a scale"),
        (0 * numbers + 0.3, box, "ok", "no number changed"),
        (0 * numbers + 300.0, box, "warning", "entry 0 has mean 300 and standard deviation 0"),
        (np.hstack([rare, 1e-3 * numbers]), layout, "warning", "the largest standard deviation is 0.000854"),
        (np.hstack([rare, numbers]), layout, "ok", "standard deviations from 0.85 to 0.85"),
        (np.hstack([1e-3 * numbers, numbers]), layout, "ok", "far apart: --normalise.observations may help"),
        (np.hstack([1e-1 * numbers, numbers]), layout, "ok", "standard deviations from 0.085 to 0.85"),
        (np.hstack([rare, 1e3 * numbers]), (("one-hot from 0", 1), ("box", 1)), "warning", "entry 1 has mean"),
        (np.vstack([1e3 * numbers[:5], [[np.nan]]]), box, "warning", "entry 0 has mean 1e+03"),
    ]:
        shown = recording(BASE, obs, layout=kinds)
        found = scales(evidence(shown, recording(AGAIN, obs, layout=kinds)))
        assert (found.verdict, said in found.seen) == (verdict, True), found
        assert ("--normalise.observations" in found.mend) == (verdict == "warning")
        assert ("--normalise" in found.seen) == ("far apart" in said)


def test_a_declared_range_that_was_not_reached_names_the_flag():
    box = (("box", 1),)
    for largest, said in ((200.0, "declared up to 200: if it gets there"), (10.0, "from 0.85 to 0.85"), (0.0, "0.85")):
        found = scales(evidence(recording(BASE, MOVES, layout=box, largest=np.array([largest]))))
        assert (found.verdict, said in found.seen) == ("ok", True), found
        assert ("--normalise.observations" in found.seen) == (largest == 200.0)
    long = np.zeros((6, 512))
    long[:, -1] = 1e4 * np.arange(6)  # the last of however many there are
    assert "entry 1499 has mean 2.5e+04" in scales(evidence(recording(BASE, long, layout=(("box", 1500),)))).seen


def test_declared_bounds_are_looked_up_as_observations_are_laid_out():
    space = spaces.Dict(
        {
            "cell": spaces.Discrete(2),
            "depth": spaces.Box(-500.0, 20.0, (1,), np.float32),
            "speed": spaces.Box(-np.inf, np.inf, (1,), np.float32),
            "turn": spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (1,), np.float32),
        }
    )
    assert largest_bounds(space).tolist() == [1.0, 1.0, 500.0, 0.0, 0.0]
    assert largest_bounds(spaces.Sequence(spaces.Discrete(2))).size == 0
    assert len(largest_bounds(spaces.Box(0.0, 3.0, (1000,), np.float32))) == 512
