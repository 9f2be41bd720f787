import math
from dataclasses import replace

import pytest
import torch

from drml.core.distribution import Categorical, Gaussian
from drml.core.rng import Streams
from drml.core.types import Advantages, FinalObs, Rollout
from drml.learning.losses import (
    clipped_surrogate_loss,
    dice_loss,
    expectation,
    likelihood_ratio,
    likelihood_ratio_loss,
    log_likelihood_loss,
    mean_kl,
)

K, T, B, A = 3, 5, 2, 2
LOSSES = {
    "likelihood ratio": likelihood_ratio_loss,
    "log likelihood": log_likelihood_loss,
    "dice": dice_loss,
    "clipped": lambda new, rollout, advantages: clipped_surrogate_loss(new, rollout, advantages, 0.2),
    "kl": mean_kl,
}


def recorded(acting, action, elapsed, valid=None):
    """A rollout of what a loss reads."""
    shape = elapsed.shape
    never = torch.zeros(shape, dtype=torch.bool)
    return Rollout(
        obs=torch.zeros(*shape, 1),
        action=action,
        reward=torch.zeros(shape),
        terminated=never,
        truncated=never,
        valid=~never if valid is None else valid,
        final=FinalObs.dense(torch.zeros(*shape, 1)),
        elapsed=elapsed,
        log_prob=acting.log_prob(action),
        acting=acting,
        first_carry={},
        last_carry={},
    )


def with_ratios(*ratios, elapsed):
    """One copy, in which a coin shows heads at each step: with probability 1/8 when acting, with `ratio`/8 now."""
    p_acting = torch.full((len(ratios),), 0.125, dtype=torch.float64)
    p_new = p_acting * torch.tensor(ratios, dtype=torch.float64)
    acting, new = (Categorical(torch.stack([p, 1 - p], -1).log()[:, None]) for p in (p_acting, p_new))
    heads = torch.zeros(len(ratios), 1, dtype=torch.int64)
    return new, recorded(acting, heads, torch.tensor(elapsed)[:, None])


def advantages(*values):
    advantage = torch.tensor(values, dtype=torch.float64)[:, None]
    return Advantages(advantage, torch.full_like(advantage, 1 / len(values)))


def random_case(seed=0, shape=(K, T, B)):
    rng = Streams(seed)
    acting = Gaussian(rng["mean"].normal((*shape, A)).double(), 0.2 * rng["std"].normal((*shape, A)).double())
    new = Gaussian(acting.mean + 0.1 * rng["shift"].normal((*shape, A)), acting.log_std + 0.1)
    elapsed = torch.tensor([0, 1, 2, 0, 1]).view(T, 1).expand(shape).clone()
    rollout = recorded(acting, acting.sample(rng["noise"].normal((*shape, A)).double()), elapsed)
    weight = rng["weight"].uniform(shape).double()
    weight = weight / weight.sum((-2, -1), keepdim=True)
    return new, rollout, Advantages(rng["advantage"].normal(shape).double(), weight)


def test_an_expectation_is_a_weighted_sum():
    x, weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.5, 0.0], [0.25, 0.25]])
    assert float(expectation(x, weight)) == 2.25  # 1/2 + 3/4 + 4/4
    assert expectation(x.expand(7, 2, 2), weight.expand(7, 2, 2)).tolist() == [2.25] * 7


def test_likelihood_ratio_by_hand():
    new, rollout = with_ratios(2.0, 0.5, 3.0, elapsed=[0, 1, 2])
    assert likelihood_ratio(new, rollout).flatten().tolist() == pytest.approx([2.0, 0.5, 3.0], abs=1e-14)
    # −(2·1 + 0.5·4 − 3·1)/3
    assert float(likelihood_ratio_loss(new, rollout, advantages(1.0, 4.0, -1.0))) == pytest.approx(-1 / 3, abs=1e-14)


def test_log_likelihood_by_hand():
    new, rollout = with_ratios(2.0, 4.0, elapsed=[0, 1])
    expected = -(3.0 * math.log(0.25) - 1.0 * math.log(0.5)) / 2
    assert float(log_likelihood_loss(new, rollout, advantages(3.0, -1.0))) == pytest.approx(expected, abs=1e-14)


def test_clipped_surrogate_by_hand():
    # gain  ratio Â         clipped Â       min
    #       1.5 · 1         1.2 · 1         1.2
    #       1.5 · −1        1.2 · −1       −1.5
    #       0.5 · 1         0.8 · 1         0.5
    #       0.5 · −1        0.8 · −1       −0.8
    #       1.1 · 2         1.1 · 2         2.2
    new, rollout = with_ratios(1.5, 1.5, 0.5, 0.5, 1.1, elapsed=[0, 1, 2, 3, 4])
    loss = clipped_surrogate_loss(new, rollout, advantages(1.0, -1.0, 1.0, -1.0, 2.0), clip_eps=0.2)
    assert float(loss) == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8 + 2.2) / 5, abs=1e-14)


def test_clipped_actions_have_no_gradient():
    acting = Gaussian(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))
    rollout = recorded(acting, torch.ones(2, 1, 1), torch.tensor([[0], [1]]))
    mean = torch.tensor([[[0.5]], [[0.1]]], requires_grad=True)  # ratios exp(½ − ⅛) = 1.45 and exp(½ − 0.405) = 1.0997
    loss = clipped_surrogate_loss(Gaussian(mean, acting.log_std), rollout, advantages(1.0, 1.0), clip_eps=0.2)
    (grad,) = torch.autograd.grad(loss, mean)
    # −½ ρ (a − μ) where the ratio is inside
    assert grad.flatten().tolist() == pytest.approx([0.0, -0.5 * math.exp(0.5 - 0.405) * 0.9], rel=1e-6)


def test_dice_by_hand():
    # episodes [2, 3] and [5], Â = 1, 2, 3: gains (2 − 1)·1 + (2·3 − 2)·2 + (5 − 1)·3 = 21
    new, rollout = with_ratios(2.0, 3.0, 5.0, elapsed=[0, 1, 0])
    assert float(dice_loss(new, rollout, advantages(1.0, 2.0, 3.0))) == pytest.approx(-7.0, abs=1e-13)


def test_dice_episodes_do_not_touch_each_other():
    new, rollout = with_ratios(2.0, 3.0, 5.0, 4.0, elapsed=[0, 1, 0, 1])
    alone, second = with_ratios(5.0, 4.0, elapsed=[0, 1])
    both = dice_loss(new, rollout, advantages(0.0, 0.0, 1.0, 3.0))
    # half the weight per step
    assert float(both) == pytest.approx(0.5 * float(dice_loss(alone, second, advantages(1.0, 3.0))), abs=1e-13)


@pytest.mark.parametrize("loss", ["likelihood ratio", "log likelihood", "dice", "clipped"])
def test_at_the_acting_policy_all_gradients_are_the_policy_gradient(loss):
    _, rollout, advantages = random_case()
    mean = rollout.acting.mean.clone().requires_grad_()
    log_std = rollout.acting.log_std.clone().requires_grad_()
    value = LOSSES[loss](Gaussian(mean, log_std), rollout, advantages).sum()
    to_mean, to_log_std = torch.autograd.grad(value, (mean, log_std))
    # ∂ log p/∂μ = (a − μ)/σ² and ∂ log p/∂ log σ = ((a − μ)/σ)² − 1; in DiCE each step keeps its own term only, as
    # the others' appear in the step's product and in the one that is subtracted
    scaled = (rollout.action - mean) / log_std.exp()
    gain = -(advantages.weight * advantages.advantage)[..., None]
    torch.testing.assert_close(to_mean, gain * scaled / log_std.exp(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(to_log_std, gain * (scaled.square() - 1.0), rtol=1e-12, atol=1e-14)


def test_likelihood_ratio_loss_at_the_acting_policy_is_minus_the_mean_advantage():
    _, rollout, advantages = random_case()
    loss = likelihood_ratio_loss(rollout.acting, rollout, advantages)
    torch.testing.assert_close(loss, -(advantages.weight * advantages.advantage).sum((1, 2)), rtol=1e-13, atol=1e-15)


def test_the_second_derivative_of_the_likelihood_ratio_has_both_terms():
    # one action, π = N(θ, 1) at θ = 0: ∇²(π/π_acting) = ∇² log π + (∇ log π)² = −1 + a²; of log π alone −1
    acting = Gaussian(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    rollout = recorded(acting, torch.full((1, 1, 1), 3.0), torch.zeros(1, 1, dtype=torch.int64))
    for loss, expected in ((likelihood_ratio_loss, -8.0), (log_likelihood_loss, 1.0), (dice_loss, -8.0)):
        theta = torch.zeros(1, 1, 1, requires_grad=True)
        (first,) = torch.autograd.grad(
            loss(Gaussian(theta, acting.log_std), rollout, advantages(1.0)), theta, create_graph=True
        )
        assert float(torch.autograd.grad(first.sum(), theta)[0]) == pytest.approx(expected, abs=1e-6)


def test_mean_kl_by_hand():
    # KL(N(0, 1) ‖ N(1, 1)) = ½ and KL(N(0, 1) ‖ N(0, 2)) = log 2 + ⅛ − ½, weights ¼ and ¾
    acting = Gaussian(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))
    new = Gaussian(torch.tensor([[[1.0]], [[0.0]]]), torch.tensor([[[0.0]], [[math.log(2.0)]]]))
    rollout = recorded(acting, torch.zeros(2, 1, 1), torch.tensor([[0], [1]]))
    weighted = Advantages(torch.zeros(2, 1), torch.tensor([[0.25], [0.75]]))
    expected = 0.25 * 0.5 + 0.75 * (math.log(2.0) + 0.125 - 0.5)
    assert float(mean_kl(new, rollout, weighted)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_tasks_at_once_equal_one_by_one(loss):
    new, rollout, advantages = random_case()
    together = LOSSES[loss](new, rollout, advantages)
    assert together.shape == (K,)
    for k in range(K):
        one = replace(rollout.map(lambda value, k=k: value[k]), first_carry={}, last_carry={})
        new_one = Gaussian(new.mean[k], new.log_std[k])
        alone = LOSSES[loss](new_one, one, Advantages(advantages.advantage[k], advantages.weight[k]))
        assert alone.shape == ()
        torch.testing.assert_close(alone, together[k], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_unsound_steps_do_not_exist_for_a_loss(loss):
    # An unsound step is blank, as collecting leaves it. Under a policy of eight actions with std 1e-6 its likelihood
    # (e¹¹⁰ and more, or e^(−∞)) is beyond float32, and zero times infinity is no number.
    mean = torch.zeros(3, 1, 8)
    log_std = torch.full((8,), math.log(1e-6))
    valid = torch.tensor([[True], [False], [False]])
    acting = Gaussian(mean, log_std.expand(3, 1, 8))
    rollout = recorded(acting, torch.zeros(3, 1, 8), torch.zeros(3, 1, dtype=torch.int64), valid)
    rollout = replace(rollout, log_prob=rollout.log_prob.masked_fill(~valid, 0.0))
    weighted = Advantages(torch.ones(3, 1), torch.tensor([[1.0], [0.0], [0.0]]))
    new_mean = torch.zeros(3, 1, 8)
    new_mean[2] = 1e3
    new_mean.requires_grad_()
    free = log_std.clone().requires_grad_()
    value = LOSSES[loss](Gaussian(new_mean, free), rollout, weighted)
    sound = LOSSES[loss](
        Gaussian(mean[:1], free), rollout.map(lambda x: x[:1]), Advantages(torch.ones(1, 1), torch.ones(1, 1))
    )
    assert torch.equal(value.detach(), sound.detach())
    first, second = (torch.autograd.grad(x, free)[0] for x in (value, sound))
    assert torch.equal(first, second)
    assert bool(first.isfinite().all())
