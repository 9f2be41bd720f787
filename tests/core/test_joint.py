"""Joint distributions against all their joint actions, listed, and against torch's own distributions of the parts."""

import itertools
import math

import pytest
import torch
from torch import distributions

from drml.core.distribution import Gaussian
from drml.core.joint import FORBIDDEN, Joint, Masked
from drml.core.rng import Streams

TIGHT = {"rtol": 1e-12, "atol": 1e-12}  # float64, sums of a handful of terms
COUNTS = (3, 2, 4)
FORBID = {"none": [], "some": [(0, 1), (2, 0), (2, 3)], "all but one": [(0, 0), (0, 2), (1, 1)]}


def masked(seed, forbidden=(), shape=(5,)):
    """Logits `[*shape, n, W]` of choices of COUNTS options, in float64."""
    logits = Streams(seed)["logits"].normal((*shape, len(COUNTS), max(COUNTS))).double()
    for choice, count in enumerate(COUNTS):
        logits[..., choice, count:] = FORBIDDEN
    for choice, option in forbidden:
        logits[..., choice, option] = FORBIDDEN
    return Masked(logits.log_softmax(-1))


def numbers(seed, shape=(5, 2)):
    rng = Streams(seed)
    return Gaussian(rng["mean"].normal(shape).double(), rng["log_std"].normal(shape).double())


def listed(joint):
    """Log-probability of each combination `[..., Π counts]`, and the combinations."""
    combinations = torch.tensor([*itertools.product(*map(range, COUNTS))], dtype=torch.float64)
    return torch.stack([joint.log_prob(one.expand(5, -1)) for one in combinations], -1), combinations


@pytest.mark.parametrize("name", FORBID)
class TestAgainstAllCombinations:
    def test_probabilities_sum_to_one_and_forbidden_ones_are_zero(self, name):
        found, combinations = listed(Joint(masked(0, FORBID[name])))
        torch.testing.assert_close(found.exp().sum(-1), torch.ones(5, dtype=torch.float64), **TIGHT)
        for choice, option in FORBID[name]:
            assert bool((found.exp()[:, combinations[:, choice] == option] == 0.0).all())

    def test_entropy_and_kl_are_the_sums(self, name):
        p, q = (Joint(masked(seed, FORBID[name])) for seed in (0, 1))
        (of_p, _), (of_q, _) = listed(p), listed(q)
        torch.testing.assert_close(p.entropy(), -(of_p.exp() * of_p.clamp(min=-1e3)).sum(-1), **TIGHT)
        difference = torch.where(of_p < -1e3, 0.0, of_p - of_q)
        torch.testing.assert_close(p.kl(q), (of_p.exp() * difference).sum(-1), **TIGHT)
        assert torch.equal(p.kl(p), torch.zeros(5, dtype=torch.float64))

    def test_the_mode_is_the_most_likely_combination(self, name):
        joint = Joint(masked(0, FORBID[name]))
        found, combinations = listed(joint)
        assert torch.equal(joint.mode(), combinations[found.argmax(-1)])

    def test_gradients_are_finite_twice(self, name):
        logits = masked(0, FORBID[name]).logits.clone().requires_grad_()
        joint = Joint(Masked(logits.log_softmax(-1)))
        taken = joint.mode().detach()
        total = (joint.entropy() + joint.kl(Joint(masked(1, FORBID[name]))) + joint.log_prob(taken)).sum()
        (slope,) = torch.autograd.grad(total, logits, create_graph=True)
        (curve,) = torch.autograd.grad(slope.square().sum(), logits)
        assert bool(slope.isfinite().all()) and bool(curve.isfinite().all())
        forbidden = logits < 0.5 * FORBIDDEN
        assert bool((slope[forbidden] == 0.0).all()) and bool((curve[forbidden] == 0.0).all())
        assert bool((slope[~forbidden] != 0.0).any())


def test_numbers_beside_choices_add_torchs_terms():
    p, q = (Joint(masked(seed), numbers(seed)) for seed in (0, 1))
    alone, other = (
        distributions.Independent(distributions.Normal(x.mean, x.log_std.exp()), 1) for x in (p.numbers, q.numbers)
    )
    action = torch.cat([Joint(p.choices).mode(), Streams(2)["x"].normal((5, 2)).double()], -1)
    expected = Joint(p.choices).log_prob(action[..., :3]) + alone.log_prob(action[..., 3:])
    torch.testing.assert_close(p.log_prob(action), expected, **TIGHT)
    torch.testing.assert_close(p.entropy(), Joint(p.choices).entropy() + alone.entropy(), **TIGHT)
    kl = Joint(p.choices).kl(Joint(q.choices)) + distributions.kl_divergence(alone, other)
    torch.testing.assert_close(p.kl(q), kl, **TIGHT)
    assert torch.equal(p.mode()[..., 3:], p.numbers.mean)
    again = p.replace(p.tensors())
    assert torch.equal(again.log_prob(action), p.log_prob(action))


def test_draws_have_the_probabilities_that_they_say():
    """200,000 draws: a frequency lies within 5 standard errors √(p (1 − p) / n) ≤ 0.0011 of its probability."""
    n, choices = 200_000, masked(3, FORBID["some"], (1,))
    joint = Joint(Masked(choices.logits.float().expand(n, -1, -1)), Gaussian(torch.ones(n, 1), torch.zeros(n, 1)))
    drawn = joint.sample(Streams(4)["noise"].normal((n, 4)))
    for choice, count in enumerate(COUNTS):
        frequency = drawn[:, choice].long().bincount(minlength=max(COUNTS)).double() / n
        expected = choices.logits[0, choice].exp()
        assert float((frequency - expected).abs().max()) < 5 * 0.5 / math.sqrt(n)
        assert bool((frequency[count:] == 0.0).all())
    correlation = torch.corrcoef(drawn.T)[0, 1:]
    assert float(correlation.abs().max()) < 5.0 / math.sqrt(n)  # parts are independent
    assert abs(float(drawn[:, 3].mean()) - 1.0) < 5.0 / math.sqrt(n)


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0 - 2.0**-24, 1.0])
def test_a_forbidden_option_is_never_drawn_whatever_the_rounding(noise):
    for seed in range(50):
        logits = Streams(seed)["logits"].normal((30,))
        logits[[0, 7, 8, 28, 29]] = FORBIDDEN
        p = Masked(logits.log_softmax(-1))
        drawn = int(p.sample(torch.tensor(noise)))
        assert float(p.logits[drawn]) > 0.5 * FORBIDDEN


def test_masked_draws_are_those_of_a_categorical_where_nothing_is_forbidden():
    p = Masked(Streams(0)["logits"].normal((1000, 6)).log_softmax(-1))
    noise = Streams(1)["noise"].uniform((1000,))
    assert torch.equal(p.sample(noise), super(Masked, p).sample(noise))
    assert isinstance(p.replace(p.tensors()), Masked)
