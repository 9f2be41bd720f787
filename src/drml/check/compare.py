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
    rows_a, rows_b = np.flatnonzero(a.episode > 0), np.flatnonzero(b.episode > 0)
    num = min(len(rows_a), len(rows_b))
    return bool(_parted(a, b, rows_a[:num], rows_b[:num]).any())


def _parted(a: Recording, b: Recording, rows_a: slice | np.ndarray, rows_b: slice | np.ndarray) -> np.ndarray:
    rewards = (a.reward[rows_a] != b.reward[rows_b]) & ~(np.isnan(a.reward[rows_a]) & np.isnan(b.reward[rows_b]))
    ends = (a.terminated[rows_a] != b.terminated[rows_b]) | (a.truncated[rows_a] != b.truncated[rows_b])
    return (a.digest[rows_a] != b.digest[rows_b]) | rewards | ends


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
