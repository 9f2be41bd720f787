"""Returns and advantages along trajectories; written for `[K, T, B]`, bootstrapping where the data say so.

Termination is data: `terminated` ends the future, `truncated` only our looking. A step's next value is therefore zero
where the task ended, the value of `final_obs` where looking ended, and the value of the next step everywhere else.
"""

import torch
from torch import Tensor

from drml.core.check import check_shapes


def discounted_sum(x: Tensor, discount: Tensor) -> Tensor:
    """Return yₜ = xₜ + dₜ yₜ₊₁ along T, with y beyond the end zero.

    Args:
        x: `[K, T, B]`.
        discount: `[K, T, B]`, the weight of the next step's sum; zero where an episode ends.
    """
    x_t, discount_t = x.transpose(0, 1).contiguous(), discount.transpose(0, 1).contiguous()  # [T, K, B]
    y_t = torch.empty_like(x_t)
    y = torch.zeros_like(x_t[0])
    for t in range(x_t.shape[0] - 1, -1, -1):
        y = torch.addcmul(x_t[t], discount_t[t], y, out=y_t[t])
    return y_t.transpose(0, 1)


def next_values(value: Tensor, final_value: Tensor, terminated: Tensor, truncated: Tensor) -> Tensor:
    """Return the value of what follows each step: vₜ₊₁, or v(final_obs) where truncated, or 0 where terminated.

    Args:
        value: `[K, T, B]` value of each observation.
        final_value: `[K, T, B]` value of `final_obs`; read only where truncated.
        terminated: `[K, T, B]` bool.
        truncated: `[K, T, B]` bool; the last step of a rollout is terminated or truncated.
    """
    check_shapes(value=(value, "K T B"), final_value=(final_value, "K T B"), terminated=(terminated, "K T B"))
    following = torch.cat([value[:, 1:], torch.zeros_like(value[:, :1])], 1)
    following = torch.where(truncated, final_value, following)
    return following.masked_fill(terminated, 0.0)


def gae(reward: Tensor, value: Tensor, next_value: Tensor, ended: Tensor, gamma: float, gae_lambda: float) -> Tensor:
    """Return generalised advantage estimates Âₜ = Σₗ (γλ)ˡ δₜ₊ₗ with δₜ = rₜ + γ v′ₜ − vₜ, within each episode.

    Source: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage estimation", eq. 16.

    Args:
        reward: `[K, T, B]`.
        value: `[K, T, B]` value of each observation.
        next_value: `[K, T, B]` from `next_values`.
        ended: `[K, T, B]` bool: the episode ended at this step, in either way.
        gamma: discount per step.
        gae_lambda: 0 is one-step temporal difference, 1 is the full return minus the value.
    """
    check_shapes(reward=(reward, "K T B"), value=(value, "K T B"), next_value=(next_value, "K T B"))
    delta = reward + gamma * next_value - value
    return discounted_sum(delta, gamma * gae_lambda * (~ended).to(delta.dtype))


def first_episode_returns(reward: Tensor, ended: Tensor) -> Tensor:
    """Return the undiscounted return of each copy's first episode, `[K, B]`.

    Rollouts are one horizon long, so a first episode is always complete; what follows an early end is another,
    possibly cut, episode and does not count.

    Args:
        reward: `[K, T, B]`.
        ended: `[K, T, B]` bool: the episode ended at this step.
    """
    ended_before = ended.to(torch.int32).cumsum(1) - ended.to(torch.int32) > 0
    return reward.masked_fill(ended_before, 0.0).sum(1)
