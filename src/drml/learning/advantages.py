"""Advantages of a gradient learner: what an action was worth, and where it made no difference."""

from collections.abc import Sequence

import torch
from torch import Tensor

from drml.core.types import Advantages, Rollout
from drml.learning.linear_baseline import LinearFeatureBaseline, Values
from drml.learning.returns import differs_at_equal_times, gae, next_values, rounding_of, standardised


def estimate_advantages(rollout: Rollout, baseline: LinearFeatureBaseline, gae_lambda: float) -> Advantages:
    """Return generalised advantage estimates `[K, T, B]`, normalised per task to mean 0 and standard deviation 1.

        Â = (gae − mean(gae))/std(gae) over the sound steps of a task,   weight = 1/n at each of these n, else 0

    They do not depend on the unit of the rewards, and are zero in a task where no action made a difference: there is
    nothing but the baseline's misfit and rounding, which normalised would look like any advantage.

    Args:
        rollout: what was observed, `[K, T, B]`.
        baseline: fitted to each task's part of the rollout.
        gae_lambda: λ, see `gae`.

    Raises:
        InputError: if the parts of the rollout differ in shape.
    """
    reward, dtype = rollout.reward.double(), rollout.reward.dtype
    values = baseline.fit_values(rollout)
    follows = next_values(values.value, values.final_value, rollout.terminated, rollout.truncated)
    ended = rollout.terminated | rollout.truncated
    advantage = gae(reward, values.value, follows, ended, baseline.gamma, gae_lambda)
    smallest = rounding_of(reward).masked_fill(~_made_a_difference(rollout, values), torch.inf)
    normalised = standardised(advantage, rollout.valid.double(), (1, 2), smallest.view(-1, 1, 1))
    valid = rollout.valid.to(dtype)
    return Advantages(normalised.to(dtype).contiguous(), valid / valid.sum((1, 2), keepdim=True))


def _made_a_difference(rollout: Rollout, values: Values) -> Tensor:
    """Return in which tasks actions can have made a difference, `[K]` bool.

    Episodes are compared at equal times: by what they earned from there on, and where some are cut short by each
    reward too. One episode alone is compared with itself: it must not earn the same at every step.
    """
    reward, elapsed, valid = rollout.reward.double(), rollout.elapsed, rollout.valid
    tolerance = rounding_of(reward)
    by_return = differs_at_equal_times(values.returns, elapsed, values.fitted, tolerance)
    if bool(by_return.all()):
        return by_return
    is_alone = ((elapsed == 0) & valid).sum((1, 2)) < 2
    time = elapsed.masked_fill(is_alone.view(-1, 1, 1), 0)
    by_reward = differs_at_equal_times(reward, time, valid, tolerance)
    return by_return | (by_reward & (is_alone | (valid & ~values.fitted).flatten(1).any(1)))


def share_without_difference(advantages: Sequence[Advantages]) -> float:
    """Return the share of tasks, over all rollouts, in which no action made a difference."""
    return float(torch.cat([(a.advantage == 0.0).flatten(1).all(1) for a in advantages]).float().mean())
