"""Cost of adaptation: episodes and environment steps before each point of a curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from drml.core.types import Rollout
from drml.loop.curve import by_task, phase_of_points


@dataclass(frozen=True)
class AdaptationCost:
    """Cost of one agent before each point of its adaptation curve: nothing before the first, unless it lost one.

    All copies of a task adapt one agent of a gradient learner, whose step takes the episodes of all of them. Each copy
    is an agent of its own where a memory adapts, and takes one. Episodes that were begun count, also those that were
    cut short or unsound: a memory that lost one comes to its next point after two. Agents that never come to a point,
    because they lost too many, do not count there.
    """

    episodes: Tensor
    """`[K, S + 1]` float64 by adaptation step: episodes so far, meaned over a task's agents; NaN where none is left."""
    env_steps: Tensor
    """`[K, S + 1]` float64: environment steps so far."""

    def mean(self) -> tuple[list[float], list[float]]:
        """Return episodes and environment steps before each point, meaned over tasks; NaN where there are none."""
        return self.episodes.nanmean(0).tolist(), self.env_steps.nanmean(0).tolist()

    def select(self, rows: Tensor) -> "AdaptationCost":
        """Return the cost on some of the tasks."""
        return AdaptationCost(self.episodes[rows], self.env_steps[rows])

    def pooled(self, task: Tensor) -> "AdaptationCost":
        """Return the cost on K' tasks that were met in several rounds: the mean over those of a task.

        Args:
            task: `[K]` int64, the task of each row, in order.
        """
        return AdaptationCost(*(by_task(taken, task).nanmean(1) for taken in (self.episodes, self.env_steps)))


def adaptation_cost(history: Sequence[Rollout]) -> AdaptationCost:
    """Return what came before each of the rollouts of K tasks, one per phase."""

    def before_each(counted: Callable[[Rollout], Tensor]) -> Tensor:
        taken = torch.stack([counted(rollout).sum(1) for rollout in history], 1).to(torch.float64)
        before = taken.cumsum(1) - taken  # [K, S + 1, B] by phase
        if not history[0].first_carry:
            return before.sum(2).cpu()
        phase, is_missing = phase_of_points(history)
        return before.gather(1, phase).masked_fill(is_missing, torch.nan).nanmean(2).cpu()

    return AdaptationCost(
        before_each(lambda rollout: rollout.taken & rollout.ended), before_each(lambda rollout: rollout.taken)
    )
