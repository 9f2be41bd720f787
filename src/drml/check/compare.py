"""Two recordings of the same actions: where do they part?"""

from dataclasses import dataclass

import numpy as np

from drml.check.evidence import Recording

ROUNDING = 1e-6  # relative: a first difference below it is one of rounding


@dataclass(frozen=True)
class Difference:
    """The first moment at which two recordings differ."""

    moment: int
    text: str
    is_rounding: bool


def difference(a: Recording, b: Recording) -> Difference | None:
    """Return where two recordings part, None where they do not as far as both go."""
    num = min(len(a), len(b))
    parted = np.flatnonzero(_parted(a, b, slice(0, num), slice(0, num)))
    return _describe(a, b, int(parted[0])) if len(parted) else None


def later_difference(a: Recording, b: Recording) -> bool:
    """Return whether something differs in the episodes after the first ones."""
    at_a, at_b = np.flatnonzero(a.episode > 0), np.flatnonzero(b.episode > 0)
    num = min(len(at_a), len(at_b))
    return bool(_parted(a, b, at_a[:num], at_b[:num]).any())


def _parted(a: Recording, b: Recording, at_a: slice | np.ndarray, at_b: slice | np.ndarray) -> np.ndarray:
    rewards = (a.reward[at_a] != b.reward[at_b]) & ~(np.isnan(a.reward[at_a]) & np.isnan(b.reward[at_b]))
    ends = (a.terminated[at_a] != b.terminated[at_b]) | (a.truncated[at_a] != b.truncated[at_b])
    return (a.digest[at_a] != b.digest[at_b]) | rewards | ends


def _describe(a: Recording, b: Recording, moment: int) -> Difference:
    if a.obs.shape[1] == b.obs.shape[1] and (a.obs[moment] != b.obs[moment]).any():
        entry = int(np.argmax(a.obs[moment] != b.obs[moment]))
        one, other = a.obs[moment], b.obs[moment]
        scale = 1.0 + np.nanmax(np.abs(one), initial=0.0)
        gap = float(np.nanmax(np.abs(one - other), initial=0.0)) / scale
        return Difference(
            moment, f"observation[{entry}] is {one[entry]:.6g}, then {other[entry]:.6g}", 0 < gap < ROUNDING
        )
    if a.digest[moment] != b.digest[moment]:
        return Difference(moment, "the observations differ", False)
    if a.reward[moment] != b.reward[moment]:
        one, other = float(a.reward[moment]), float(b.reward[moment])
        is_rounding = abs(one - other) < ROUNDING * (1.0 + abs(one))
        return Difference(moment, f"the reward is {one:.6g}, then {other:.6g}", is_rounding)
    return Difference(moment, "one episode ends here, the other goes on", False)
