import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.learning.returns import (
    differs_at_equal_times,
    discounted_sum,
    first_episode_returns,
    gae,
    next_values,
    standardised,
)
from drml.learning.running_scale import RunningScale


def batch(*copies):
    """Tensor `[1, T, B]` from the time series of each copy."""
    return torch.tensor(copies).T[None]


# Two copies whose episodes end at different times; all numbers are exact in binary.
#   copy 0: task ends at t = 1, looking ends at t = 3        copy 1: looking ends at t = 2 and at t = 3
REWARD = batch([1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 2.0])
VALUE = batch([1.0, 1.0, 2.0, 2.0], [2.0, 4.0, 2.0, 8.0])
FINAL_VALUE = batch([9.0, 9.0, 9.0, 6.0], [9.0, 9.0, 8.0, 4.0])  # 9 is never to be read
TERMINATED = batch([False, True, False, False], [False, False, False, False])
TRUNCATED = batch([False, False, False, True], [False, False, True, True])
ENDED = TERMINATED | TRUNCATED
NEXT_VALUE = batch([1.0, 0.0, 2.0, 6.0], [4.0, 2.0, 8.0, 4.0])


def random_series(seed=0, shape=(2, 9, 3)):
    rng = Streams(seed)
    reward, value, final_value = (rng[name].normal(shape).double() for name in ("reward", "value", "final"))
    terminated, truncated = rng["terminated"].uniform(shape) < 0.2, rng["truncated"].uniform(shape) < 0.2
    truncated[:, -1] = ~terminated[:, -1]
    return reward, value, final_value, terminated, truncated & ~terminated


def test_next_values_by_hand():
    assert torch.equal(next_values(VALUE, FINAL_VALUE, TERMINATED, TRUNCATED), NEXT_VALUE)


def test_termination_outweighs_truncation():
    both = torch.ones(1, 1, 1, dtype=torch.bool)
    assert next_values(batch([1.0]), batch([5.0]), both, both).item() == 0.0


def test_values_that_are_not_to_be_read_may_be_anything():
    final = torch.where(TRUNCATED, FINAL_VALUE, torch.nan)
    assert torch.equal(next_values(VALUE, final, TERMINATED, TRUNCATED), NEXT_VALUE)
    ended_by_task = next_values(VALUE, final.masked_fill(TERMINATED, torch.inf), TERMINATED, TRUNCATED)
    assert torch.equal(ended_by_task, NEXT_VALUE)


def test_gae_by_hand():
    # γ = λ = ½, so δ = r + ½ v′ − v and Âₜ = δₜ + ¼ Âₜ₊₁ unless the episode ended at t
    # copy 0: δ = 1 + ½ − 1, 2 + 0 − 1, 3 + 1 − 2, 4 + 3 − 2 = ½, 1, 2, 5
    #         Â₃ = 5,  Â₂ = 2 + 5/4 = 3.25,  Â₁ = 1,  Â₀ = ½ + ¼ = 0.75
    # copy 1: δ = 0 + 2 − 2, 1 + 1 − 4, 0 + 4 − 2, 2 + 2 − 8 = 0, −2, 2, −4
    #         Â₃ = −4,  Â₂ = 2,  Â₁ = −2 + 2/4 = −1.5,  Â₀ = −1.5/4 = −0.375
    advantage = gae(REWARD, VALUE, NEXT_VALUE, ENDED, gamma=0.5, gae_lambda=0.5)
    assert torch.equal(advantage, batch([0.75, 1.0, 3.25, 5.0], [-0.375, -1.5, 2.0, -4.0]))


def test_lambda_zero_is_the_one_step_difference():
    advantage = gae(REWARD, VALUE, NEXT_VALUE, ENDED, gamma=0.5, gae_lambda=0.0)
    assert torch.equal(advantage, REWARD + 0.5 * NEXT_VALUE - VALUE)


def test_lambda_one_is_the_return_minus_the_value():
    # copy 0: R₁ = 2, R₀ = 1 + ½ 2 = 2; R₃ = 4 + ½ 6 = 7, R₂ = 3 + 7/2 = 6.5
    # copy 1: R₂ = 0 + ½ 8 = 4, R₁ = 1 + 2 = 3, R₀ = 1.5; R₃ = 2 + ½ 4 = 4
    returns = batch([2.0, 2.0, 6.5, 7.0], [1.5, 3.0, 4.0, 4.0])
    assert torch.equal(gae(REWARD, VALUE, NEXT_VALUE, ENDED, gamma=0.5, gae_lambda=1.0), returns - VALUE)


def test_gae_equals_the_sum_of_its_definition():
    reward, value, final_value, terminated, truncated = random_series()
    gamma, gae_lambda = 0.9, 0.8
    follows = next_values(value, final_value, terminated, truncated)
    advantage = gae(reward, value, follows, terminated | truncated, gamma, gae_lambda)
    for k in range(2):
        for b in range(3):
            for t in range(9):
                total, weight = 0.0, 1.0
                for u in range(t, 9):  # Σ (γλ)ᵘ⁻ᵗ δᵤ up to the end of the episode
                    bootstrap = 0.0 if terminated[k, u, b] else final_value[k, u, b] if truncated[k, u, b] else None
                    bootstrap = value[k, u + 1, b] if bootstrap is None else bootstrap
                    total += weight * float(reward[k, u, b] + gamma * bootstrap - value[k, u, b])
                    weight *= gamma * gae_lambda
                    if terminated[k, u, b] or truncated[k, u, b]:
                        break
                assert float(advantage[k, t, b]) == pytest.approx(total, abs=1e-13)  # nine terms of size 1


def test_episodes_do_not_touch_each_other():
    reward, value, final_value, terminated, truncated = random_series(1)
    ended = terminated | truncated
    follows = next_values(value, final_value, terminated, truncated)
    before = gae(reward, value, follows, ended, 0.9, 0.8)
    k, b = 0, 1
    end = int(ended[k, :, b].nonzero()[0])
    assert end < 8
    changed = reward.clone()
    changed[k, end + 1 :, b] += 100.0
    after = gae(changed, value, follows, ended, 0.9, 0.8)
    assert torch.equal(after[k, : end + 1, b], before[k, : end + 1, b])
    assert not torch.equal(after[k, end + 1 :, b], before[k, end + 1 :, b])
    after[k, :, b] = before[k, :, b]
    assert torch.equal(after, before)


def test_discounted_sum_by_hand():
    x, discount = batch([1.0, 2.0, 4.0], [1.0, 1.0, 1.0]), batch([0.5, 0.25, 9.0], [1.0, 0.0, 9.0])
    # y₂ = 4, y₁ = 2 + ¼ 4 = 3, y₀ = 1 + ½ 3 = 2.5; and 1, 1, 1 + 1: the last discount has nothing to weigh
    assert torch.equal(discounted_sum(x, discount), batch([2.5, 3.0, 4.0], [2.0, 1.0, 1.0]))


def test_returns_of_the_first_episodes():
    reward = batch([1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, 2.0, 4.0])
    ended = batch([False, False, True], [True, False, True], [False, True, True])
    assert first_episode_returns(reward, ended).tolist() == [[7.0, 1.0, 3.0]]


def test_what_follows_a_first_episode_may_be_anything():
    reward, ended = batch([1.0, torch.nan]), batch([True, True])
    assert first_episode_returns(reward, ended).tolist() == [[1.0]]


def test_shapes_are_checked():
    with pytest.raises(InputError, match="final_value has shape"):
        next_values(VALUE, FINAL_VALUE[:, :2], TERMINATED, TRUNCATED)
    with pytest.raises(InputError, match="next_value has shape"):
        gae(REWARD, VALUE, NEXT_VALUE[0], ENDED, 0.9, 0.9)


def test_the_running_scale_by_hand():
    start = RunningScale.initial()
    returns = torch.tensor([1.0, 3.0, 100.0])
    assert torch.equal(start.restore(returns), torch.zeros(3))  # no unit yet
    once = start.observe(returns, torch.tensor([1.0, 1.0, 0.0]))  # mean 2, deviation 1: the third does not count
    torch.testing.assert_close(once.normalise(returns), torch.tensor([-1.0, 1.0, 98.0]))
    twice = once.observe(torch.tensor([4.0, 4.0, 4.0]), torch.ones(3))
    # weights 0.9 and 1: mean (0.9·2 + 4)/1.9, mean square (0.9·5 + 16)/1.9
    mean = 5.8 / 1.9
    std = (20.5 / 1.9 - mean**2) ** 0.5
    torch.testing.assert_close(twice.normalise(returns), (returns - mean) / std)
    torch.testing.assert_close(twice.restore(twice.normalise(returns)), returns)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e9, 1e-9])
def test_constant_returns_normalise_to_zeros_and_back(value):
    returns = torch.full((4,), value)
    scale = RunningScale.initial().observe(returns, torch.ones(4))
    scale = scale.observe(returns, torch.ones(4))  # the moments of 0.1 are rounded
    assert float(scale.normalise(returns).abs().max()) < 1e-6
    torch.testing.assert_close(scale.restore(scale.normalise(returns)), returns)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_running_scale_takes_its_unit_from_the_returns(unit):
    returns = torch.tensor([1.0, 3.0, 4.0], dtype=torch.float64)
    one, other = (RunningScale.initial().observe(c * returns, torch.ones(3)) for c in (1.0, unit))
    torch.testing.assert_close(other.normalise(unit * returns), one.normalise(returns))


def test_standardised_by_hand():
    gain = torch.tensor([[1.0, 3.0, 100.0], [5.0, 5.0, 5.0]], dtype=torch.float64).unsqueeze(-1)
    counted = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64).unsqueeze(-1)
    found = standardised(gain, counted, (1, 2), torch.zeros(2, 1, 1))
    assert found.flatten().tolist() == [-1.0, 1.0, 98.0, 0.0, 0.0, 0.0]
    assert standardised(gain, counted, (1, 2), torch.tensor([1.0, 0.0]).view(-1, 1, 1)).any().item() is False


def test_numbers_differ_at_equal_times_or_not():
    x = torch.tensor([[[1.0, 2.0], [2.0, 1.0]], [[1.0, 2.0], [2.0, 1.5]]])  # [K, T, B]
    time = torch.tensor([[0, 1], [1, 0]]).expand(2, 2, 2)
    counted = torch.ones_like(x, dtype=torch.bool)
    tolerance = torch.tensor([0.1, 0.1])
    assert differs_at_equal_times(x, time, counted, tolerance).tolist() == [False, True]
    assert differs_at_equal_times(x, time, counted, torch.tensor([0.1, 0.6])).tolist() == [False, False]
    counted[1, 1, 1] = False
    assert differs_at_equal_times(x, time, counted, tolerance).tolist() == [False, False]
    assert differs_at_equal_times(x, 0 * time, counted, tolerance).tolist() == [True, True]
    assert differs_at_equal_times(x, time, counted & False, tolerance).tolist() == [False, False]
