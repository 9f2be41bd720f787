"""Returns by adaptation step: of which phases a point of the curve is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from drml.core.types import Rollout
from drml.learning.returns import episode_returns
from drml.loop.stats import over_one_seed


def returns_by_step(history: Sequence[Rollout]) -> Tensor:
    """Return each copy's return after 0 … S adaptation steps, `[K, S + 1, B]`; NaN where it was not measured.

    What adapts by its carry adapts copy by copy, and an unsound episode leaves nothing there. So the j-th sound episode
    of a copy is the one after j − 1 steps, and what is missing is missing at the end.
    """
    return at_points(torch.stack([episode_returns(rollout) for rollout in history], 1), history)


def at_points(by_phase: Tensor, history: Sequence[Rollout]) -> Tensor:
    """Return numbers of each copy in each phase, `[K, S + 1, B]`, at the points of its curve; NaN at missing ones.

    Args:
        by_phase: numbers of what was played in each phase, NaN where that was not measured.
        history: the rollouts that adaptation went on from.
    """
    if not history[0].first_carry:
        return by_phase
    phase, is_missing = (where.to(by_phase.device) for where in phase_of_points(history))
    return by_phase.gather(1, phase).masked_fill(is_missing, torch.nan)


def phase_of_points(history: Sequence[Rollout]) -> tuple[Tensor, Tensor]:
    """Return in which phase each copy that adapts by its carry came to a point of its curve, and where it never did.

    Both are `[K, S + 1, B]`; phases of points that were not reached are those of the unsound episodes.
    """
    is_unsound = torch.stack([~rollout.valid[:, 0] for rollout in history], 1).to(torch.int8)
    return is_unsound.argsort(dim=1, stable=True), is_unsound.sort(dim=1, stable=True).values > 0


@dataclass(frozen=True)
class AdaptationCurve:
    """Returns by task, adaptation step and episode."""

    returns: Tensor
    """`[K, S + 1, B]` undiscounted episode returns after 0 … S adaptation steps; NaN for unsound episodes."""

    def by_task(self) -> Tensor:
        """Return the mean over episodes, `[K, S + 1]`."""
        return self.returns.nanmean(-1)

    def std_by_task(self) -> Tensor:
        """Return the sample standard deviation over sound episodes, `[K, S + 1]`; NaN where fewer than two are."""
        squares = (self.returns - self.by_task()[..., None]).square()
        degrees = ((~squares.isnan()).sum(-1) - 1).clamp(min=0)
        return (squares.nansum(-1) / degrees).sqrt()

    def mean(self) -> list[float]:
        """Return the mean over tasks after each step; NaN where there are none."""
        return self.by_task().mean(0).tolist()

    def pooled(self, task: Tensor) -> "AdaptationCurve":
        """Return the curve of K' tasks that were met in several rounds: all episodes of a task in one row.

        Args:
            task: `[K]` int64, the task of each row, in order.
        """
        return AdaptationCurve(by_task(self.returns.movedim(2, 1), task).flatten(1, 2).movedim(1, 2))

    def facts(self, task: Tensor, over: Literal["tasks", "episodes"]) -> dict[str, Any]:
        """Return the returns after each step, what adaptation gains and what whole trials return, with their intervals.

        Args:
            task: `[K]` int64, the task of each row, in order. What varies within a task are rounds: in each it is
                adapted to anew, and all episodes of a gradient learner after that are played by the one policy.
            over: `tasks` where they were drawn, `episodes` where they are all there are.
        """
        rounds = by_task(self.by_task().double(), task)  # [K', R, S + 1]
        steps = range(rounds.shape[2])
        gain = over_one_seed(rounds[..., -1] - rounds[..., 0], over)
        return {
            "return_by_step": [{"step": step, **over_one_seed(rounds[..., step], over).facts()} for step in steps],
            "gain": gain.facts() if len(steps) > 1 else None,
            "trial_return": over_one_seed(rounds.sum(2), over).facts(),
        }


def by_task(values: Tensor, task: Tensor) -> Tensor:
    """Return values `[K, …]` by task, `[K', R, …]`; NaN where a task has fewer rows than another."""
    _, group, counts = task.unique_consecutive(return_inverse=True, return_counts=True)
    place = torch.arange(len(task)) - (counts.cumsum(0) - counts)[group]
    found = values.new_full((len(counts), int(counts.max()), *values.shape[1:]), torch.nan)
    found[group, place] = values
    return found
