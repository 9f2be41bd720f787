"""Scales of an observation's numbers: are they of a size that a network of usual weights can see?

A number is far from 1 where its mean or standard deviation is 100 or more, or where nothing in the observation deviates
by more than 0.01. Flags, one-hot entries, pictures and symbols have no scale.
"""

from collections.abc import Sequence

import numpy as np

from drml.check.evidence import Evidence, Recording
from drml.check.finding import UNTRIED, Finding, line_of, ok, skipped
from drml.check.look import kept_entries

LARGE, SMALL = 100.0, 0.01
APART = 100.0  # times: the largest standard deviation, in units of the smallest
MAX_ROWS = 1000  # of each recording, evenly spread
ROUNDING = 2.0**-24  # of a float32 number, relative: what deviates by less has not changed
FLAG = "--normalise.observations"
MEND = (
    f"train with {FLAG} (in Python: normalise=drml.NormaliseConfig(observations=True)), or tell numbers in units in "
    "which they are about 1"
)


def scales(evidence: Evidence) -> Finding:
    """Report numbers that are so large, or all so small, that observations should be normalised.

    Where scales only lie far apart, or what is declared is far larger than what was seen, the flag is named and nothing
    is wrong: what is small may not matter, and declared ranges may be wide without need.
    """
    recordings = [recording for recording in evidence.recordings.values() if len(recording)]
    if not recordings:
        return skipped(UNTRIED)
    is_number, obs = _numbers(recordings)
    if not is_number.any():
        return ok("no numbers that have a scale")
    mean, std = obs.mean(0), obs.std(0)
    size = np.where(is_number, np.maximum(np.abs(mean), std), 0.0)
    worst, line = int(size.argmax()), line_of(evidence, None, "step")
    if size[worst] >= LARGE:
        told = f"entry {kept_entries(_width(recordings[0]))[worst]} has mean {mean[worst]:.3g}"
        seen = f"numbers of the observation are far from 1: {told} and standard deviation {std[worst]:.3g}"
        return Finding("warning", seen, mend=MEND, line=line)
    changing = std[is_number & (std > ROUNDING * np.abs(mean))]
    if not changing.size:
        return ok("no number changed")
    low, high = changing.min(), changing.max()
    if high <= SMALL:
        seen = f"numbers of the observation hardly change: the largest standard deviation is {high:.3g}"
        return Finding("warning", seen, mend=MEND, line=line)
    return ok(f"standard deviations from {low:.2g} to {high:.2g}" + _advice(recordings[0], is_number, low, high))


def _advice(recording: Recording, is_number: np.ndarray, low: float, high: float) -> str:
    """Return where the flag may help though nothing is wrong; "" where it is not called for."""
    declared = recording.largest[is_number].max(initial=0.0) if len(recording.largest) == len(is_number) else 0.0
    if declared >= LARGE:
        return f", declared up to {declared:.4g}: if it gets there, {FLAG} helps"
    return f", far apart: {FLAG} may help" if high >= APART * low else ""


def _width(recording: Recording) -> int:
    return sum(size for _, size in recording.layout)


def _numbers(recordings: Sequence[Recording]) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the kept entries are numbers that have a scale, `[O]` bool, and the finite rows `[N, O]`."""
    layout = recordings[0].layout
    kinds = np.repeat(np.array([kind for kind, _ in layout], np.str_), [size for _, size in layout])
    kinds = kinds[kept_entries(len(kinds))]
    shown = (recording.obs for recording in recordings if recording.obs.shape[1] == len(kinds))
    obs = np.concatenate([np.zeros((0, len(kinds))), *(rows[:: -(-len(rows) // MAX_ROWS)] for rows in shown)])
    obs = obs[np.isfinite(obs).all(1)]
    return (kinds == "box") & (len(obs) > 0) & ~np.isin(obs, (0.0, 1.0)).all(0), obs
