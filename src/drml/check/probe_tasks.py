"""Checks of the tasks: one and the same for as long as it is given, felt by the agent, and not told to it."""

from collections.abc import Iterator

import numpy as np

from drml.check.compare import difference, later_difference
from drml.check.evidence import Evidence, Recording
from drml.check.finding import UNTRIED, Finding, line_of, ok, skipped, where
from drml.check.plans import AGAIN, BASE, SEEDS, STYLES, of_task
from drml.check.probe_repeat import drifts, repeats

NO_TASKS = "one environment, no tasks"


def spaces(evidence: Evidence) -> Finding:
    """Report spaces that differ between tasks."""
    if not evidence.has_tasks:
        return skipped(NO_TASKS)
    seen = _by_task(evidence)
    base = seen.get(0)
    if base is None or len(seen) < 2:
        return skipped(UNTRIED)
    mend = "give all tasks the same spaces: pad the smaller ones, and take bounds that hold for all"
    worst: Finding | None = None
    for task, recordings in seen.items():
        for kind, note in recordings[0].spaces.items():
            first = base[0].spaces[kind]
            at = where(recordings[0], 0)
            text = f"{kind} space of task 0: {first.text}, of task {task}: {note.text}"
            if note.structure != first.structure:
                return Finding("fault", text, at, mend, line_of(evidence, at, "spaces"))
            if note.bounds != first.bounds and worst is None:
                worst = Finding("warning", text, at, mend, line_of(evidence, at, "spaces"))
    return worst or ok()


def kept(evidence: Evidence) -> Finding:
    """Report tasks that a reset changes."""
    if not evidence.has_tasks:
        return skipped(NO_TASKS)
    if not _by_task(evidence):
        return skipped(UNTRIED)
    mend = "draw the task where the environment is made (or in set_task), never in reset"
    verdict, seen = "ok", ""
    changed = next(_lost(evidence), None)
    overwritten = [(task, name) for task in _others(evidence) for name in _overwritten(evidence, task)]
    if overwritten and repeats(evidence):
        task, name = overwritten[0]
        verdict, seen = "fault", f"{name} differs between tasks 0 and {task} when they are made, and not after reset"
    elif changed is not None:
        verdict, seen = "warning" if repeats(evidence) else "fault", changed
    elif repeats(evidence) and _forgets(evidence):
        verdict, seen = "warning", "tasks differ in their first episode and in no later one"
    if verdict == "ok":
        return ok()
    at = where(evidence.recordings[BASE.name], 0)
    return Finding(verdict, seen, at, mend, line_of(evidence, at))


def _others(evidence: Evidence) -> list[int]:
    """Return the tasks beside the first one, those that differ from it in one parameter before the others."""
    return sorted(range(1, len(evidence.tasks)), key=lambda task: task not in evidence.varied)


def _overwritten(evidence: Evidence, task: int) -> list[str]:
    """Return attributes that told a task from the first one until a reset, where nothing tells them apart since."""
    pairs = list(_pairs(evidence, task))
    if not pairs or any(later_difference(a, b) for a, b in pairs):
        return []
    moments = list(zip(*(recording.attributes for recording in pairs[0]), strict=False))
    if len(moments) < 2:
        return []
    (made, other_made), resets = moments[0], moments[1:]
    again = evidence.recordings.get(AGAIN.name)
    alike = made if again is None or not again.attributes else again.attributes[0]  # chance tells no tasks apart
    told = [name for name in made if made[name] == alike.get(name) != other_made.get(name)]
    return [name for name in told if any(a.get(name, 0) == b.get(name, 1) for a, b in resets)]


def _lost(evidence: Evidence) -> Iterator[str]:
    """Yield how an attribute that is the parameter in every task was something else after a reset."""
    by_task = _by_task(evidence)
    held = [set(recordings[0].holds.items()) for recordings in by_task.values()]
    for name, parameter in sorted(set.intersection(*held)) if len(held) > 1 else ():
        if len({evidence.tasks[task][parameter].tobytes() for task in by_task}) > 1:
            for recording in (r for recordings in by_task.values() for r in recordings if name in r.lost):
                yield f"{name} is '{parameter}' when the environment is made, and {recording.lost[name]} after reset"


def _forgets(evidence: Evidence) -> bool:
    """Return whether tasks that differ in their first episode differ in no later one, in any style of acting."""
    felt = [pair for task in _others(evidence) for pair in _pairs(evidence, task) if difference(*pair)]
    return bool(felt) and not any(later_difference(a, b) for a, b in felt)


def effect(evidence: Evidence) -> Finding:
    """Report parameters that change nothing."""
    if not evidence.has_tasks or not repeats(evidence) or drifts(evidence):
        return skipped("episodes cannot be compared" if evidence.has_tasks else NO_TASKS)
    others = _others(evidence)
    if not all(list(_pairs(evidence, task)) for task in others):
        return skipped(UNTRIED)
    felt = {task: any(difference(a, b) for a, b in _pairs(evidence, task)) for task in others}
    if untold := _untold(evidence, [task for task in others if not felt[task]]):
        return skipped(untold)
    if not any(felt.values()):
        return _unfelt(evidence) if others else ok("there is one task")
    unfelt = [name for task, name in evidence.varied.items() if not felt[task]]
    if not unfelt:
        return ok("each parameter is felt")
    return Finding(
        "warning",
        f"{', '.join(unfelt)} changed neither observation nor reward nor end{_effort(evidence)}",
        mend="use it, or leave it out; one that matters where chance seldom leads needs more --steps",
        line=line_of(evidence, None, "make"),
    )


def _untold(evidence: Evidence, unfelt: list[int]) -> str:
    """Return why tasks that were not felt may have an effect all the same, "" for no reason."""
    if any(_overwritten(evidence, task) for task in unfelt):
        return "the task does not outlive a reset, see task-kept"
    problems = {problem.kind for recording in evidence.recordings.values() for problem in recording.problems}
    unread = sorted(problems & {"reward", "flags"})
    return f"they may differ in what could not be read, see {' and '.join(unread)}" if unfelt and unread else ""


def _effort(evidence: Evidence) -> str:
    return f", in {len(STYLES)} times {len(evidence.recordings[BASE.name])} calls"


def _unfelt(evidence: Evidence) -> Finding:
    """Return what it means that no task differs from another: a fault, or a reward that was never met."""
    line = line_of(evidence, None, "make")
    base = evidence.recordings[BASE.name]
    if not _reward_depends_on_state(evidence):
        return Finding(
            "warning",
            f"no difference between tasks{_effort(evidence)}, but no reward that tells of the state either",
            mend="if the reward is sparse, raise --steps until it is met; else use the parameters",
            line=line,
        )
    return Finding(
        "fault",
        f"{len(evidence.tasks)} tasks with different parameters gave the same episodes, observation by observation and "
        "reward by reward",
        where(base, 0),
        "make (or set_task) has to hand the parameters to the environment, and reset and step have to use them",
        line,
    )


def _reward_depends_on_state(evidence: Evidence) -> bool:
    """Return whether rewards differ where the actions are the same: at another seed, or while an action is held."""
    base = evidence.recordings[BASE.name]
    for seed in SEEDS:
        other = evidence.recordings.get(of_task(0, "random", seed).name)
        if other is not None:
            num = min(len(base), len(other), int((base.episode == 0).sum()), int((other.episode == 0).sum()))
            if (base.reward[1:num] != other.reward[1:num]).any():
                return True
    held = evidence.recordings.get(of_task(0, "held").name)
    if held is None:
        return False
    block = (held.step[1:] - 1) // 10 == (held.step[:-1] - 1) // 10
    same = block & (held.episode[1:] == held.episode[:-1]) & (held.step[:-1] > 0)
    return bool((held.reward[1:] != held.reward[:-1])[same].any())


def leak(evidence: Evidence) -> Finding:
    """Report entries of the observation that tell the task."""
    if not evidence.has_tasks:
        return skipped(NO_TASKS)
    by_task = {task: np.concatenate([r.obs for r in recordings]) for task, recordings in _by_task(evidence).items()
               if len({r.obs.shape[1] for r in recordings}) == 1}  # fmt: skip
    if len(by_task) < 2 or len({obs.shape[1] for obs in by_task.values()}) > 1:
        return skipped("tasks cannot be compared")
    constant = np.all([(obs == obs[0]).all(0) for obs in by_task.values()], axis=0)  # [O]
    values = np.stack([obs[0] for obs in by_task.values()])  # [K, O]
    telling = np.flatnonzero(constant & (values != values[0]).any(0))
    if not len(telling):
        return ok()
    entries = ", ".join(str(entry) for entry in telling[:5]) + (", …" if len(telling) > 5 else "")
    shown = ", ".join(f"{value:.4g}" for value in values[:4, telling[0]])
    at = where(evidence.recordings[BASE.name], 0)
    return Finding(
        "warning",
        f"entry {entries} of the observation never changes within a task and differs between tasks ({shown})"
        f"{_which(evidence, list(by_task), values[:, telling[0]])}",
        at,
        "hide it, or nothing is left to adapt to; right where the task is meant to be seen",
        line_of(evidence, at),
    )


def _which(evidence: Evidence, tasks: list[int], values: np.ndarray) -> str:
    for name in evidence.tasks[0]:
        column = np.stack([evidence.tasks[task][name].reshape(-1) for task in tasks])  # [K, size]
        if np.isclose(column, values[:, None], 1e-5, 1e-8).all(0).any():
            return f": it is the parameter '{name}'"
    return ""


def _by_task(evidence: Evidence) -> dict[int, list[Recording]]:
    """Return the recordings of each task that differ from `base` in task, style and seed alone."""
    found: dict[int, list[Recording]] = {}
    for task in range(len(evidence.tasks)):
        plans = [*(of_task(task, style) for style in STYLES), *(of_task(task, "random", seed) for seed in SEEDS)]
        made = [evidence.recordings[plan.name] for plan in plans if plan.name in evidence.recordings]
        made = [recording for recording in made if len(recording) and recording.spaces]
        if made:
            found[task] = made
    return found


def _pairs(evidence: Evidence, task: int) -> Iterator[tuple[Recording, Recording]]:
    """Yield recordings of task 0 and of another one with the same seed and actions, style by style."""
    for style in STYLES:
        a, b = (evidence.recordings.get(of_task(number, style).name) for number in (0, task))
        if a is not None and b is not None and len(a) and len(b):
            yield a, b
