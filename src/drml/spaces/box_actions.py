"""Actions of a box: a policy's numbers scaled, shifted, bent off single bounds, and clipped.

u = clip(mid + half · c a, low, high)    where both bounds are finite: [−1, 1] spans the range
u = c a                                  where both are missing
u = log(exp(low) + exp(c a))             where there is one, low ≤ 0: c a, bent above the bound
u = low + max(1, low) log(1 + exp(c a))  where there is one, low > 0; upper bounds are mirrored
"""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from gymnasium import spaces

from drml.core.errors import InputError

LARGEST = float(np.finfo(np.float32).max)  # what some environments write for "no bound"


@final
@dataclass(frozen=True)
class BoxActions:
    """The actions of a box: a policy's numbers are scaled, shifted, bent off single bounds, and clipped."""

    mid: np.ndarray
    """`[A]`, the action that zeros are."""
    gain: np.ndarray
    """`[A]`."""
    low: np.ndarray
    """`[A]`, as `high` a number where there is no bound: the least one of the dtype."""
    high: np.ndarray
    one_sided: "OneSided | None"
    dtype: np.dtype[Any]
    """Type of the space's numbers; integers and booleans are rounded to."""
    shape: tuple[int, ...]
    bound: float
    """Saturation of a policy's numbers: those beyond ±bound do what ±bound does; infinite where some do not."""

    @property
    def rounds(self) -> bool:
        """Return whether numbers are rounded to the nearest whole one."""
        return self.dtype.kind in "iub"

    def __call__(self, action: np.ndarray) -> np.ndarray:
        """Return actions `[..., *shape]` of vectors `[..., A]` float32."""
        scaled = action * self.gain + self.mid
        if self.one_sided is not None:
            self.one_sided.bend(scaled)
        scaled = scaled.clip(self.low, self.high)
        if scaled.dtype != self.dtype:
            scaled = (np.rint(scaled) if self.rounds else scaled).astype(self.dtype)
        return scaled.reshape(*action.shape[:-1], *self.shape)


def box_actions(space: spaces.Box, scale: float) -> BoxActions:
    """Return how a policy's numbers become actions of a box.

    Raises:
        InputError: if it holds no number, or a bound that no number reaches.
    """
    if not math.prod(space.shape):
        raise InputError(f"action space {space} holds no number, so there is nothing to decide")
    dtype = space.dtype if np.issubdtype(space.dtype, np.floating) else np.dtype(np.float64)
    low, high = (np.asarray(bound, np.float64).reshape(-1) for bound in (space.low, space.high))
    if space.dtype.kind in "iu":  # 2⁶³ − 1 has no float64: the next one above it would wrap around
        high = np.minimum(high, _largest_float(space.dtype))
    bounded = np.maximum(np.abs(low), np.abs(high)) < LARGEST
    bottom, top = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    if bool((low == math.inf).any() or (high == -math.inf).any()):
        raise InputError(f"action space {space} has a bound that no number reaches; give it finite bounds or none")
    one_sided = OneSided.of(low, high, bounded)
    mid, gain = (bottom + (top - bottom) / 2.0).astype(dtype), ((top - bottom) / 2.0 * scale).astype(dtype)
    limits = np.finfo(dtype.name)
    low, high = (bound.clip(limits.min, limits.max).astype(dtype) for bound in (low, high))
    bound = 1.0 / scale if bounded.all() else math.inf
    return BoxActions(mid, gain, low, high, one_sided, space.dtype, space.shape, bound)


@final
@dataclass(frozen=True)
class OneSided:
    """The entries of a box with one bound, which each number is bent away from: clipped, half of them would be one."""

    columns: np.ndarray
    sign: np.ndarray
    """1 where the bound is a lower one, −1 where it is an upper one and all is mirrored."""
    bound: np.ndarray
    """The lower bounds, after mirroring."""

    @staticmethod
    def of(low: np.ndarray, high: np.ndarray, bounded: np.ndarray) -> "OneSided | None":
        """Return the entries of these bounds that have one; None where there are none."""
        has_low, has_high = np.abs(low) < LARGEST, np.abs(high) < LARGEST
        columns = np.flatnonzero((has_low | has_high) & ~bounded)
        sign = np.where(has_low, 1.0, -1.0)[columns]
        return OneSided(columns, sign, np.where(has_low, low, -high)[columns]) if len(columns) else None

    def bend(self, action: np.ndarray) -> None:
        """Replace the numbers `[..., A]` of these entries."""
        base = np.minimum(self.bound, 0.0)
        bent = np.logaddexp(base, self.sign * action[..., self.columns])
        action[..., self.columns] = self.sign * (self.bound - base + np.maximum(1.0, self.bound) * bent)


def _largest_float(dtype: np.dtype[Any]) -> float:
    """Return the largest float64 that an integer type holds."""
    largest = float(np.iinfo(dtype).max)
    return largest if int(largest) <= np.iinfo(dtype).max else float(np.nextafter(largest, 0.0))
