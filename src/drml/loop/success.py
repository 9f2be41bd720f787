"""Success by adaptation step: shares of episodes, where environments say what a success is.

    any     the environment said so at some step of the episode
    last    it said so at the episode's last step

Both are counted as returns are: of each copy's first episode, none that is unsound, at the same points of the curve. An
environment that is silent at a step had no success there, once its family has said anything of success at all; where a
family never has, there is nothing to count, and no number. So a family that tells of successes alone is counted
right from the first one that it has told of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from drml.core.types import Rollout
from drml.learning.returns import in_first_episode
from drml.loop.curve import AdaptationCurve, at_points


@dataclass(frozen=True)
class Successes:
    """Success by task, adaptation step and episode: 1 or 0, NaN for unsound episodes."""

    any: AdaptationCurve
    """At any step of an episode."""
    last: AdaptationCurve
    """At its last step."""

    @property
    def named(self) -> dict[str, AdaptationCurve]:
        """Return both by the names that they have in files."""
        return {"success_any": self.any, "success_last": self.last}

    def select(self, rows: Tensor) -> "Successes":
        """Return those on some of the tasks."""
        return Successes(AdaptationCurve(self.any.returns[rows]), AdaptationCurve(self.last.returns[rows]))

    def by_task(self, task: Tensor) -> dict[str, Tensor]:
        """Return the shares of each task's episodes by adaptation step, `[K', S + 1]` each.

        Args:
            task: `[K]` int64, the task of each row, in order.
        """
        return {f"{name}_by_step": curve.pooled(task).by_task() for name, curve in self.named.items()}

    def mean(self) -> dict[str, list[float]]:
        """Return the means over tasks after each step; NaN where there are none."""
        return {f"{name}_by_step": curve.mean() for name, curve in self.named.items()}

    def facts(self, task: Tensor, over: Literal["tasks", "episodes"]) -> dict[str, Any]:
        """Return the shares after each step with their intervals, which are those that returns have."""
        return {f"{name}_by_step": curve.facts(task, over)["return_by_step"] for name, curve in self.named.items()}


def says_success(rollouts: Sequence[Rollout]) -> bool:
    """Return whether an environment said anything of success in one of the rollouts."""
    return any(rollout.success is not None for rollout in rollouts)


def successes_by_step(history: Sequence[Rollout], said: bool = False) -> Successes | None:
    """Return the successes after 0 … S adaptation steps; None where nothing was ever said of success.

    Args:
        history: the rollouts of each phase.
        said: whether the family has said something of success before.
    """
    if not (said or says_success(history)):
        return None
    return successes_at_points(torch.stack([episode_successes(rollout) for rollout in history], 2), history)


def successes_at_points(by_phase: Tensor, history: Sequence[Rollout]) -> Successes:
    """Return successes `[2, K, S + 1, B]` by phase, at any step and at the last, at the points of the curve.

    Args:
        by_phase: of the episodes that were played in each phase.
        history: the rollouts that adaptation went on from.
    """
    at_any, at_last = (at_points(kind, history) for kind in by_phase.cpu())
    return Successes(AdaptationCurve(at_any), AdaptationCurve(at_last))


def episode_successes(rollout: Rollout) -> Tensor:
    """Return whether each copy's first episode was a success at any step, and at its last, `[2, K, B]` float64.

    NaN where that episode was not sound.
    """
    success = torch.zeros_like(rollout.valid) if rollout.success is None else rollout.success
    first, ended = in_first_episode(rollout.ended), rollout.ended
    found = torch.stack([(success & first).any(1), (success & first & ended).any(1)])
    return found.to(torch.float64).masked_fill(~rollout.valid[:, 0], torch.nan)
