"""Checks of the contract: does each call answer, and with what the environment's own spaces promise?"""

from functools import partial

import numpy as np

from drml.check.evidence import Evidence, Problem, Recording
from drml.check.finding import UNTRIED, Check, Finding, Verdict, line_of, ok, skipped, where
from drml.check.look import kept_entries
from drml.spaces.observations import PICTURE, bytes_note

MENDS = {
    "observation": "return what observation_space says; a simulation that blows up has to end its episode",
    "bounds": "widen observation_space to what can be reached: whoever scales by the bounds is misled (drml does not)",
    "reward": "return one finite number",
    "flags": "return the five values (observation, reward, terminated, truncated, info): two booleans, a dictionary",
    "spaces": "in __init__, set self.observation_space and self.action_space to a space such as gymnasium.spaces.Box",
    "bytes": "where bytes are symbols, declare so: observation_space = Box(0, LARGEST, shape, np.uint8)",
    "aliasing": "what was returned belongs to the caller, and so does what was given: return obs.copy()",
}
MIN_LENGTH = 5  # of an episode for its length to look like a time limit
MIN_EPISODES = 6
DARK = 32  # of 255: pictures of which no recording shows a brighter entry may well be none


def gymnasium(evidence: Evidence) -> Finding:
    """Report what Gymnasium's own checker says."""
    if evidence.remarks is None:
        return skipped(UNTRIED)
    if not evidence.remarks:
        return ok("check_env passes")
    worst = max(evidence.remarks, key=lambda remark: remark.is_error)
    verdict: Verdict = "fault" if worst.is_error else "warning"
    return Finding(verdict, worst.message, mend="see gymnasium.utils.env_checker", line=worst.line)


def responds(evidence: Evidence) -> Finding:
    """Report a call that never came back, or ended the process."""
    stop = evidence.stop
    if stop is None:
        calls = evidence.num_calls
        return ok(f"{calls:,} calls, each in time") if calls else skipped(UNTRIED)
    mend = {
        "hung": "find the loop or the lock; a slow environment needs a longer --timeout",
        "died": "an environment has to raise where it cannot go on, not to end its process",
    }[stop.kind]
    line = stop.line or line_of(evidence, stop.where)
    return Finding("fault", f"{stop.where.call} {stop.kind}: {stop.message}", stop.where, mend, line)


def raises(evidence: Evidence) -> Finding:
    """Report an exception."""
    stops = [recording.stop for recording in evidence.recordings.values() if recording.stop is not None]
    if not stops:
        return ok() if evidence.recordings else skipped(UNTRIED)
    stop = stops[0]
    mend = MENDS.get(
        stop.where.call, "an exception is for a wrong call; where a task goes wrong, return terminated=True"
    )
    return Finding("fault", stop.message, stop.where, mend, stop.line or line_of(evidence, stop.where))


def _problem(kind: str, evidence: Evidence) -> Finding:
    found = [_first(kind, evidence), _first(f"{kind} form", evidence)]
    if found == [None, None]:
        return ok() if evidence.num_calls else skipped(UNTRIED)
    recording, problem = next(pair for pair in found if pair is not None)
    at = where(recording, min(problem.moment, len(recording) - 1))
    subject = {"observation": "observation", "bounds": "observation", "reward": "reward"}.get(kind, "")
    seen = f"{subject}{'' if problem.value.startswith('[') else ' '}{problem.value}".strip()
    is_fault = kind != "bounds" and problem.kind == kind
    return Finding("fault" if is_fault else "warning", seen, at, MENDS[kind], line_of(evidence, at))


def _first(kind: str, evidence: Evidence) -> tuple[Recording, Problem] | None:
    """Return the first problem of a kind, and the recording that it is in."""
    pairs = ((r, problem) for r in evidence.recordings.values() for problem in r.problems)
    return next((pair for pair in pairs if pair[1].kind == kind), None)


observation: Check = partial(_problem, "observation")
bounds: Check = partial(_problem, "bounds")
reward: Check = partial(_problem, "reward")
flags: Check = partial(_problem, "flags")
aliasing: Check = partial(_problem, "aliasing")


def byte_codes(evidence: Evidence) -> Finding:
    """Report bytes that are treated as pictures, though no more than a few values of them are used."""
    recordings = [recording for recording in evidence.recordings.values() if len(recording)]
    if not recordings:
        return skipped(UNTRIED)
    layout = recordings[0].layout
    note = bytes_note(layout)
    kinds = np.repeat([kind for kind, _ in layout], [size for _, size in layout]) if layout else np.array([""])
    kinds = kinds[kept_entries(len(kinds))]
    seen = [r.obs[:, kinds == PICTURE] for r in recordings if r.obs.shape[1] == len(kinds)]
    largest = max((np.nan_to_num(rows).max(initial=0.0) for rows in seen), default=0.0)
    if PICTURE not in kinds or not seen or largest >= DARK:
        return ok(note or "no bytes")
    return Finding(
        "warning",
        f"{note}, but none was above {largest:.0f}: symbols of a small alphabet can hardly be told apart then",
        where(recordings[0], 0),
        MENDS["bytes"],
        line_of(evidence, None, "spaces"),
    )


def horizon(evidence: Evidence) -> Finding:
    """Report episodes that do not end, that end early, and time limits that call themselves the end of the task."""
    recordings = list(evidence.recordings.values())
    if not recordings:
        return skipped(UNTRIED)
    longest = max(int(recording.step.max(initial=0)) for recording in recordings)
    if evidence.stop or any(recording.stop for recording in recordings):
        return skipped(UNTRIED)
    found = _limits(evidence, recordings) or _ends(evidence, recordings, longest)
    return found or ok(f"the longest episode seen had {longest} steps")


def _limits(evidence: Evidence, recordings: list[Recording]) -> Finding | None:
    """Return what is wrong with the time limits that environments declare, or show by truncating."""
    declared = {recording.time_limit: recording.plan.task for recording in recordings}
    truncated, line = _lengths(recordings, "truncated"), line_of(evidence, None, "make")
    if not evidence.horizon and len(declared) > 1:
        told = ", ".join(f"{limit} steps in task {task}" for limit, task in sorted(declared.items()))
        mend = f"give the family a horizon, within which each keeps its own: horizon={max(declared)}, or the longest"
        return Finding("fault", f"tasks have time limits of their own: {told}", mend=mend, line=line)
    if 0 < min(declared) < evidence.horizon:
        seen = f"a time limit of {min(declared)} steps, below the declared horizon of {evidence.horizon}"
        mend = "right where tasks have limits of their own; else declare the smaller one, or raise the time limit"
        return Finding("warning", seen, mend=mend, line=line)
    if evidence.horizon and len(truncated) and truncated.max() < evidence.horizon:
        seen = f"truncated after {truncated.max()} steps, before the declared horizon of {evidence.horizon}"
        mend = "declare the smaller one, or raise the environment's own time limit"
        return Finding("warning", seen, mend=mend, line=line)
    return None


def _ends(evidence: Evidence, recordings: list[Recording], longest: int) -> Finding | None:
    """Return what is wrong with how episodes end: not at all, or as if by a time limit."""
    terminated, truncated = _lengths(recordings, "terminated"), _lengths(recordings, "truncated")
    if not (recordings[0].time_limit or evidence.horizon or len(terminated) or len(truncated)):
        return Finding(
            "warning",
            f"no episode ended within {longest} steps, and no time limit is declared",
            mend="register it with max_episode_steps, wrap it in TimeLimit, or give the family a horizon",
            line=line_of(evidence, None, "make"),
        )
    if len(terminated) >= MIN_EPISODES and terminated.min() == terminated.max() >= MIN_LENGTH:
        return Finding(
            "warning",
            f"every episode terminated after exactly {terminated[0]} steps, whatever was done",
            mend="if that is a time limit, say truncated instead of terminated: the future goes on behind it",
            line=line_of(evidence, None, "step"),
        )
    return None


def _lengths(recordings: list[Recording], ending: str) -> np.ndarray:
    """Return the lengths of the episodes that ended in this way."""
    return np.concatenate([recording.step[getattr(recording, ending)] for recording in recordings])
