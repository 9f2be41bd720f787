"""Checks of repeatability: the same seed, task and actions give the same episode, whatever else is going on."""

from drml.check.compare import Difference, difference
from drml.check.evidence import Evidence, Plan
from drml.check.finding import UNTRIED, Finding, Verdict, line_of, ok, skipped, where
from drml.check.plans import (
    AGAIN,
    AHEAD,
    BASE,
    OTHER_GLOBAL,
    SEEDS,
    TICKING,
    TICKING_AGAIN,
    TICKING_AT_LAST,
    USED,
    beside,
    of_task,
)

Parted = Difference | None


def _parted(evidence: Evidence, one: Plan, other: Plan) -> Parted | Finding:
    """Return where two plans' recordings part, or that one of them was never made."""
    a, b = evidence.recordings.get(one.name), evidence.recordings.get(other.name)
    if a is None or b is None or not len(a) or not len(b):
        return skipped(UNTRIED)
    return difference(a, b)


def repeats(evidence: Evidence) -> bool:
    """Return whether the same plan gave the same recording twice, but for rounding."""
    parted = _parted(evidence, BASE, AGAIN)
    return parted is None or (isinstance(parted, Difference) and parted.is_rounding)


def _unrepeated(evidence: Evidence) -> Finding | None:
    """Return why nothing can be told from differences, None where it can."""
    parted = _parted(evidence, BASE, AGAIN)
    if isinstance(parted, Finding):
        return parted
    if not repeats(evidence):
        return skipped("episodes do not repeat")
    return skipped("it depends on what ran before, see isolation") if drifts(evidence) else None


def drifts(evidence: Evidence) -> bool:
    """Return whether what repeats at once does not any more after all the other recordings: instances share a state."""
    at_once, at_last = (_parted(evidence, TICKING, other) for other in (TICKING_AGAIN, TICKING_AT_LAST))
    return at_once is None and isinstance(at_last, Difference) and not at_last.is_rounding


def _tells_time(evidence: Evidence) -> bool:
    """Return whether two recordings that differ agree once the clock is the same for both."""
    return not repeats(evidence) and _parted(evidence, TICKING, TICKING_AGAIN) is None


def _fault(evidence: Evidence, plan: Plan, parted: Difference, what: str, mend: str, call: str = "") -> Finding:
    at = where(evidence.recordings[plan.name], parted.moment)
    verdict: Verdict = "warning" if parted.is_rounding else "fault"
    size = " (a difference of rounding, which may grow)" if parted.is_rounding else ""
    return Finding(verdict, f"{what}: {parted.text}{size}", at, mend, line_of(evidence, at, call))


def seeding(evidence: Evidence) -> Finding:
    """Report seeds that do not fix an episode's start, and seeds that change nothing."""
    parted = _parted(evidence, BASE, AGAIN)
    if isinstance(parted, Finding):
        return parted
    if parted is not None and parted.moment == 0 and not _tells_time(evidence):
        mend = "in reset, call super().reset(seed=seed) and draw from self.np_random alone"
        return _fault(evidence, BASE, parted, "reset(seed=0) twice", mend)
    others = [_parted(evidence, BASE, of_task(0, "random", seed)) for seed in SEEDS]
    if any(isinstance(other, Finding) for other in others):
        return skipped(UNTRIED)
    if any(other is not None for other in others):
        return ok("seeds give different episodes")
    made, used = _made_alike(evidence), _parted(evidence, BASE, USED)
    if made or (isinstance(used, Difference) and used.moment == 0):
        mend = (
            "draw from self.np_random, which super().reset(seed=seed) seeds, instead of a generator of your own; make "
            "what is meant to be the same in every episode in __init__"
        )
        at = where(evidence.recordings[BASE.name], 0)
        why = "though reset or step makes a random generator" if made else "but a used instance starts elsewhere"
        seen = f"seeds 0, 1 and 2 give the same episodes, {why}"
        return Finding("fault", seen, at, mend, made[0] if made else line_of(evidence, at))
    return ok("deterministic: seeds change nothing")


def _made_alike(evidence: Evidence) -> list[str]:
    """Return the lines where a reset or a step makes the same generator, whatever the seed and the task."""
    plans = [BASE, *(of_task(0, "random", seed) for seed in SEEDS)]
    plans += [of_task(task, "random") for task in range(1, len(evidence.tasks))]
    made = [evidence.recordings[plan.name].made_generators for plan in plans if plan.name in evidence.recordings]
    return [line for line, seed in made[0] if all((line, seed) in others for others in made[1:])]


def determinism(evidence: Evidence) -> Finding:
    """Report episodes that differ although everything is the same."""
    parted = _parted(evidence, BASE, AGAIN)
    if not isinstance(parted, Difference):
        return parted or ok()
    if _tells_time(evidence):
        return skipped("it depends on the clock, see clock")
    if parted.moment == 0:
        return skipped("the start is not reproducible, see seeding")
    if evidence.recordings[BASE.name].nondeterministic:
        return ok("declares itself nondeterministic")
    mend = "draw from self.np_random alone; look for unseeded generators, threads, sets, and attributes of the class"
    return _fault(evidence, BASE, parted, "the same seed and actions twice", mend)


def global_rng(evidence: Evidence) -> Finding:
    """Report environments that draw from the global generators."""
    parted = _unrepeated(evidence) or _parted(evidence, BASE, OTHER_GLOBAL)
    if isinstance(parted, Finding):
        return parted
    drawn = ", ".join(evidence.recordings[BASE.name].drew_global)
    if parted is None or not drawn:
        return ok()
    mend = f"draw from self.np_random instead of {drawn}: others draw from that too, and seed it"
    return _fault(evidence, BASE, parted, f"another state of {drawn}", mend)


def clock(evidence: Evidence) -> Finding:
    """Report environments in which the time of day matters."""
    mend = "measure time in steps, or in simulated seconds"
    if _tells_time(evidence):
        parted = _parted(evidence, BASE, AGAIN)
        assert isinstance(parted, Difference), "episodes that do not repeat part somewhere"
        return _fault(evidence, BASE, parted, "the same actions a moment later", mend)
    if unrepeated := _unrepeated(evidence):
        return unrepeated
    for plan in (AHEAD, TICKING):
        parted = _parted(evidence, BASE, plan)
        if isinstance(parted, Finding):
            return parted
        if parted is not None:
            return _fault(evidence, BASE, parted, "the same actions at another time", mend)
    return ok()


def leftover(evidence: Evidence) -> Finding:
    """Report what earlier episodes leave behind for later ones."""
    what = "a new instance, then one that was used before"
    mend = "reset has to restore everything: counters, buffers, generators, a solver's warm start"
    return _undisturbed(evidence, USED, what, mend, "reset")


def isolation(evidence: Evidence) -> Finding:
    """Report instances that disturb each other."""
    what = "one instance, then the same beside a second one that is stepped in turn"
    mend = "keep the state in self, not in the class, the module or a default argument"
    outside = ", ".join(evidence.recordings[BASE.name].outside) if BASE.name in evidence.recordings else ""
    shared = f"copies share {outside or 'a state outside of them'}"
    if drifts(evidence):
        parted = _parted(evidence, TICKING, TICKING_AT_LAST)
        assert isinstance(parted, Difference), "what drifts has parted"
        return _fault(evidence, TICKING, parted, f"{shared}: at first, and after all other recordings", mend, "spaces")
    parted = _parted(evidence, BASE, AGAIN)
    if outside and isinstance(parted, Difference) and not (parted.is_rounding or _tells_time(evidence)):
        at = where(evidence.recordings[BASE.name], parted.moment)
        return Finding("warning", f"{shared}, and episodes do not repeat", at, mend, line_of(evidence, at, "spaces"))
    return _undisturbed(evidence, beside(len(evidence.tasks)), what, mend, "spaces")


def _undisturbed(evidence: Evidence, plan: Plan, what: str, mend: str, call: str) -> Finding:
    if unrepeated := _unrepeated(evidence):
        return unrepeated
    if isinstance(_parted(evidence, BASE, OTHER_GLOBAL), Difference):
        return skipped("it depends on global random numbers, see global-rng")
    parted = _parted(evidence, BASE, plan)
    if isinstance(parted, Difference):
        return _fault(evidence, BASE, parted, what, mend, call)
    return parted or ok()
