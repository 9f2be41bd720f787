"""Tally of the returns of sessions' episodes before and after their last adaptation step, and what the step changed."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from drml.loop.stats import ROUNDING, half_width_of_groups


@final
@dataclass(frozen=True)
class Change:
    """Change of the mean return by an adaptation step, with Welch's interval over episodes."""

    before: tuple[float, ...]
    """Undiscounted returns of the episodes since the step before."""
    after: tuple[float, ...]
    """Those of the episodes since the step."""

    @property
    def difference(self) -> float:
        """Return the mean return after the step less that before it; NaN where one is not known."""
        return float(np.mean(self.after) - np.mean(self.before)) if self.before and self.after else math.nan

    @property
    def half_width(self) -> float | None:
        """Return half of the 95 % interval of the difference (Welch 1947); None where nothing tells it.

        Raises:
            InputError: if there is no episode before or after.
        """
        longest = max(len(self.before), len(self.after))
        groups = [[*x, *[math.nan] * (longest - len(x))] for x in (self.before, self.after)]
        width = half_width_of_groups(groups)  # of the mean of the two means, which has half the difference's deviation
        return None if width is None else 2.0 * width

    @property
    def is_worse(self) -> bool:
        """Return whether the step has done harm: the whole interval lies below zero, or all episodes say the same."""
        if min(len(self.before), len(self.after)) < 2:
            return False
        if (width := self.half_width) is not None:
            return self.difference + width < 0.0
        return self.difference < -ROUNDING * max(map(abs, self.before))

    def describe(self) -> str:
        """Return one line."""
        if not (self.before and self.after):
            return "no episode before the step, or none after it, so nothing is known of what it changed"
        means = f"mean return {np.mean(self.before):.4g} before, {np.mean(self.after):.4g} after"
        width = self.half_width
        return f"{means}: {self.difference:+.4g}{'' if width is None else f' ± {width:.3g}'}"


@final
class Tally:
    """Returns of the episodes of K sessions of B copies."""

    def __init__(self, sessions: int, copies: int) -> None:
        self.running = np.zeros((sessions, copies))
        """Return so far of each copy's running episode, `[K, B]`."""
        self.mixed = np.zeros((sessions, copies), np.bool_)
        """Copies `[K, B]` whose running episode began before the last step: its return tells of neither side of it."""
        self.before: list[list[float]] = [[] for _ in range(sessions)]
        """By session, returns between the last step but one and the last."""
        self.after: list[list[float]] = [[] for _ in range(sessions)]
        """By session, returns since the last step."""

    def add(self, reward: np.ndarray, ended: np.ndarray, taken: np.ndarray) -> list[int]:
        """Count what a look earned, `[K, B]` each; return the sessions that have now as many episodes after as before.

        Those with two or more, since one tells nothing.
        """
        self.running += np.where(taken, reward, 0.0)
        if not ended.any():
            return []
        ready: list[int] = []
        whole = ended & ~self.mixed
        for k in np.flatnonzero(whole.any(1)).tolist():
            few = len(self.after[k]) < max(2, len(self.before[k]))
            self.after[k] += self.running[k, whole[k]].tolist()
            ready += [k] if few and len(self.after[k]) >= max(2, len(self.before[k])) else []
        self.running[ended], self.mixed[ended] = 0.0, False
        return ready

    def step(self, session: int, begun: np.ndarray) -> None:
        """Count an adaptation step of a session, some of whose copies `[B]` have begun an episode."""
        self.before[session], self.after[session] = self.after[session], []
        self.mixed[session] = begun

    def take_back(self, session: int, begun: np.ndarray) -> None:
        """Count that a session's last step was taken back: what has been seen so far tells of no step any more."""
        self.step(session, begun)
        self.before[session] = []

    def change(self, session: int) -> Change:
        """Return what a session's last step changed."""
        return Change(tuple(self.before[session]), tuple(self.after[session]))
