"""Returns and advantages along trajectories; written for `[K, T, B]`, bootstrapping where the data say so.

Termination is data: `terminated` ends the future, `truncated` only our looking. A step's next value is therefore zero
where the task ended, the value of `final_obs` where looking ended, and the value of the next step everywhere else.
"""

import torch
from torch import Tensor

from drml.core.check import check_shapes
from drml.core.types import Rollout

RESOLUTION = 2.0**-21  # relative: a reward is a float32 number of 24 bits, made in a few operations on such numbers


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


def returns_to_go(reward: Tensor, gamma: float) -> Tensor:
    """Return the discounted sum of the rewards `[K, T, B]` from each step to the last, through ends of episodes."""
    return discounted_sum(reward, torch.full_like(reward, gamma))


def next_values(value: Tensor, final_value: Tensor, terminated: Tensor, truncated: Tensor) -> Tensor:
    """Return the value v′ₜ of what follows each step: vₜ₊₁, or v(final_obs) where truncated, or 0 where terminated.

    Args:
        value: `[K, T, B]` value of each observation.
        final_value: `[K, T, B]` value of `final_obs`; read only where truncated.
        terminated: `[K, T, B]` bool.
        truncated: `[K, T, B]` bool; the last step of a rollout is terminated or truncated.

    Raises:
        InputError: if the shapes differ.
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
        gae_lambda: λ; 0 is one-step temporal difference, 1 is the full return minus the value.

    Raises:
        InputError: if the shapes differ.
    """
    check_shapes(reward=(reward, "K T B"), value=(value, "K T B"), next_value=(next_value, "K T B"))
    delta = reward + gamma * next_value - value
    return discounted_sum(delta, gamma * gae_lambda * (~ended).to(delta.dtype))


def first_episode_returns(reward: Tensor, ended: Tensor) -> Tensor:
    """Return the undiscounted return of each copy's first episode, `[K, B]` float64: rewards may sum to more than 3e38.

    Rollouts are one horizon long, so a first episode is always complete; what follows an early end is another,
    possibly cut, episode and does not count.

    Args:
        reward: `[K, T, B]`.
        ended: `[K, T, B]` bool: the episode ended at this step.
    """
    return reward.masked_fill(~in_first_episode(ended), 0.0).sum(1, dtype=torch.float64)


def in_first_episode(ended: Tensor) -> Tensor:
    """Return which steps `[K, T, B]` belong to their copy's first episode, from where episodes `ended`."""
    return ended.to(torch.int32).cumsum(1) - ended.to(torch.int32) == 0


def episode_returns(rollout: Rollout) -> Tensor:
    """Return each copy's undiscounted first-episode return, `[K, B]` float64; NaN where that episode was not sound."""
    returns = first_episode_returns(rollout.reward, rollout.ended)
    return returns.masked_fill(~rollout.valid[:, 0], torch.nan)


def standardised(gain: Tensor, counted: Tensor, axes: tuple[int, ...], smallest: Tensor) -> Tensor:
    """Return (x − mean)/std over some axes, whatever the unit of x; zeros where std is not above `smallest`.

    Args:
        gain: x, float64, in which squares of float32 numbers neither overflow nor vanish.
        counted: weights of the moments, of the shape of x.
        axes: what mean and std run over.
        smallest: std of what is nothing but rounding, `[K, 1, 1]` or scalar; infinite where nothing can be learned.
    """
    share = counted / counted.sum(axes, keepdim=True).clamp_min(1.0)
    centred = gain - (share * gain).sum(axes, keepdim=True)
    std = (share * centred.square()).sum(axes, keepdim=True).sqrt()
    return torch.where(std > smallest, centred / std, 0.0)


def rounding_of(reward: Tensor) -> Tensor:
    """Return what rewards `[K, T, B]` in float32 leave open of a return, `[K]`: no smaller difference is one."""
    return RESOLUTION * reward.abs().sum(1).amax(1)


def differs_at_equal_times(x: Tensor, time: Tensor, counted: Tensor, tolerance: Tensor) -> Tensor:
    """Return in which tasks two counted numbers at the same time are more than `tolerance` apart, `[K]` bool.

    Args:
        x: `[K, T, B]`.
        time: `[K, T, B]` int64, from 0.
        counted: `[K, T, B]` bool.
        tolerance: `[K]`.
    """
    first = counted & (time == 0)
    lowest, highest = (x.masked_fill(~first, worst).flatten(1) for worst in (torch.inf, -torch.inf))
    differs = highest.amax(1) - lowest.amin(1) > tolerance  # −∞ where nothing is counted
    if bool(differs.all()):  # what is true of nearly all data, and found in a tenth of the time
        return differs
    bins = x.new_zeros(len(x), int(time.max()) + 1)
    at = time.flatten(1)
    high, low = (
        (bins + worst).scatter_reduce(1, at, x.masked_fill(~counted, worst).flatten(1), reduce)
        for worst, reduce in ((-torch.inf, "amax"), (torch.inf, "amin"))
    )
    return (high - low).amax(1) > tolerance
