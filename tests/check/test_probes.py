"""Probes on recordings written by hand."""

from dataclasses import replace
from typing import Any

import numpy as np

from drml.check import probe_contract, probe_repeat, probe_tasks
from drml.check.checks import CHECKS
from drml.check.compare import difference, later_difference
from drml.check.evidence import Evidence, Plan, Problem, Recording, Remark, SpaceNote, Stop, Where
from drml.check.plans import AGAIN, AHEAD, BASE, SEEDS, STYLES, TICKING, TICKING_AGAIN, of_task, plans

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
    found = probe_contract.observation(evidence(at_step, lines=lines))
    assert (found.verdict, found.seen, found.line) == ("fault", "observation[0] is nan", "mine.py:2")
    assert found.at == Where(BASE, "step", 1, 0)
    assert probe_contract.observation(evidence(at_reset, lines=lines)).line == "mine.py:1"


def test_gymnasiums_remarks():
    remarks = (Remark(False, "hm"), Remark(True, "no", "mine.py:7"))
    found = probe_contract.gymnasium(evidence(remarks=remarks))
    assert (found.verdict, found.seen, found.line) == ("fault", "no", "mine.py:7")
    assert probe_contract.gymnasium(evidence(remarks=remarks[:1])).verdict == "warning"


def test_horizons():
    truncated = recording(BASE, MOVES)
    assert probe_contract.horizon(evidence(truncated)).verdict == "ok"
    early = probe_contract.horizon(evidence(truncated, horizon=5))
    assert early.verdict == "warning" and "after 2 steps, before the declared horizon of 5" in early.seen
    endless = replace(truncated, truncated=np.zeros(6, np.bool_))
    assert probe_contract.horizon(evidence(endless, horizon=0)).verdict == "warning"
    assert probe_contract.horizon(evidence(replace(endless, time_limit=9), horizon=0)).verdict == "ok"


def test_seeds_that_change_nothing_are_a_fault_where_there_is_randomness():
    same = [recording(plan, MOVES) for plan in (BASE, AGAIN, of_task(0, "random", 1), of_task(0, "random", 2))]
    assert probe_repeat.seeding(evidence(*same)).seen == "deterministic: seeds change nothing"
    made = [replace(one, made_generators=(("mine.py:5", "7"),)) for one in same]
    assert probe_repeat.seeding(evidence(*made)).line == "mine.py:5"
    seeded = [replace(one, made_generators=(("mine.py:5", str(i)),)) for i, one in enumerate(same)]
    assert probe_repeat.seeding(evidence(*seeded)).verdict == "ok"  # it takes the seed, and hardly draws
    other = [*same[:2], recording(of_task(0, "random", 1), [1.0, *MOVES[1:]]), same[3]]
    assert probe_repeat.seeding(evidence(*other)).verdict == "ok"


def test_the_clock_is_told_from_chance():
    one, other = recording(BASE, MOVES), recording(AGAIN, MOVES, [0, 1, 0, 0, 0, 0])
    ticking = [recording(plan, MOVES) for plan in (TICKING, TICKING_AGAIN)]
    of_time = evidence(one, other, *ticking)
    assert probe_repeat.clock(of_time).verdict == "fault"
    assert probe_repeat.determinism(of_time).verdict == "skipped"
    of_chance = evidence(one, other, ticking[0], recording(TICKING_AGAIN, MOVES, [0, 2, 0, 0, 0, 0]))
    assert probe_repeat.clock(of_chance).verdict == "skipped"
    assert probe_repeat.determinism(of_chance).verdict == "fault"
    by_day = evidence(one, recording(AGAIN, MOVES), recording(AHEAD, MOVES, [0, 3, 0, 0, 0, 0]), *ticking)
    assert probe_repeat.clock(by_day).verdict == "fault"


TASKS = ({"goal": 1.0}, {"goal": 2.0})


def test_an_entry_that_tells_the_task_is_a_leak():
    told = [
        r
        for task, goal in enumerate((1.0, 2.0))
        for r in all_of_task(task, np.stack([MOVES, np.full(6, goal), np.full(6, 5.0)], 1))
    ]
    found = probe_tasks.leak(evidence(*told, tasks=TASKS))
    assert found.verdict == "warning" and found.seen.startswith("entry 1 of the observation never changes")
    assert found.seen.endswith("it is the parameter 'goal'")


def test_what_changes_within_a_task_is_no_leak():
    first = [[goal, *MOVES[1:]] for goal in (1.0, 2.0)]
    sound = [r for task in (0, 1) for r in all_of_task(task, first[task])]
    assert probe_tasks.leak(evidence(*sound, tasks=TASKS)).verdict == "ok"
    # Constant within each episode, but another one at another seed: an initial state, not the task.
    by_seed = [
        recording(plan, np.full(6, float(task + 10 * plan.seed)))
        for task in (0, 1)
        for plan in (of_task(task, "random"), of_task(task, "random", 1))
    ]
    assert probe_tasks.leak(evidence(*by_seed, tasks=TASKS)).verdict == "ok"


def test_a_parameter_without_effect_is_a_fault_only_where_rewards_tell_something():
    alike = [r for task in (0, 1) for r in all_of_task(task, MOVES)]
    assert probe_tasks.effect(evidence(*alike, tasks=TASKS)).verdict == "warning"  # all rewards are zero
    # Held actions, and yet the reward changes from step to step: it tells of the state, and not of the task.
    dense = [r for task in (0, 1) for r in all_of_task(task, MOVES, [0, 1, 2, 0, 1, 2])]
    assert probe_tasks.effect(evidence(*dense, tasks=TASKS)).verdict == "fault"
    felt = [r for task in (0, 1) for r in all_of_task(task, MOVES, [0, 1, 2 + task, 0, 1, 2])]
    assert probe_tasks.effect(evidence(*felt, tasks=TASKS)).verdict == "ok"


def test_one_parameter_of_two_without_effect_is_named():
    tasks = ({"goal": 1.0, "mass": 1.0}, {"goal": 2.0, "mass": 1.0}, {"goal": 1.0, "mass": 2.0})
    recordings = [r for task in (0, 1, 2) for r in all_of_task(task, MOVES, [0, 1, 2 + (task == 1), 0, 1, 2])]
    found = probe_tasks.effect(evidence(*recordings, tasks=tasks, varied={1: "goal", 2: "mass"}))
    assert found.verdict == "warning" and found.seen.startswith("mass changed neither")


def test_a_task_that_a_reset_overwrites_is_not_kept():
    def attributes(goal: int, later: int) -> Any:
        return {"attributes": ({"goal": goal, "size": 7}, {"goal": later, "size": 7})}

    lost = [r for task in (0, 1) for r in all_of_task(task, MOVES, **attributes(task, 99))]
    found = probe_tasks.kept(evidence(*lost, tasks=TASKS))
    assert found.verdict == "fault" and found.seen.startswith("goal differs between tasks 0 and 1")
    assert probe_tasks.effect(evidence(*lost, tasks=TASKS)).verdict == "skipped"
    held = [r for task in (0, 1) for r in all_of_task(task, MOVES, **attributes(task, task))]
    assert probe_tasks.kept(evidence(*held, tasks=TASKS)).verdict == "ok"
    # Overwritten as well, but tasks are told apart by what they do: an attribute of passing use.
    felt = [r for task in (0, 1) for r in all_of_task(task, MOVES, [task] * 6, **attributes(task, 99))]
    assert probe_tasks.kept(evidence(*felt, tasks=TASKS)).verdict == "ok"


def test_spaces_of_another_shape_are_a_fault_and_of_other_bounds_a_warning():
    base = all_of_task(0, MOVES)
    for changed, verdict in ((SpaceNote("Box", "other", "t"), "warning"), (SpaceNote("Boxes", "a", "t"), "fault")):
        other = all_of_task(1, MOVES, spaces={**SPACES, "observation": changed})
        assert probe_tasks.spaces(evidence(*base, *other, tasks=TASKS)).verdict == verdict
    assert probe_tasks.spaces(evidence(*base, *all_of_task(1, MOVES), tasks=TASKS)).verdict == "ok"


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
        found = probe_contract.byte_codes(evidence(shown, recording(AGAIN, MOVES, layout=layout)))
        assert (found.verdict, said in found.seen) == (verdict, True), found


def test_the_bytes_are_found_among_other_parts_and_in_long_observations():
    long = np.zeros((6, 512))
    long[3, -1] = 12.0  # the last entry, which is kept of however many there are
    beside = recording(BASE, long, layout=(("box", 500), ("picture", 1000)))
    assert "none was above 12" in probe_contract.byte_codes(evidence(beside)).seen
    long[3, 0] = 300.0  # of the part that is no picture
    assert "none was above 12" in probe_contract.byte_codes(evidence(replace(beside, obs=long))).seen
