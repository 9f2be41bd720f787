import math

import pytest
import torch
from torch import distributions

from drml.core.distribution import Categorical, Gaussian
from drml.core.rng import Streams

TIGHT = {"rtol": 1e-12, "atol": 1e-12}  # float64, sums of a handful of terms of size up to 1e2


def gaussian(seed, shape=(2, 5, 3), std_shape=None):
    rng = Streams(seed)
    return Gaussian(rng["mean"].normal(shape).double(), rng["log_std"].normal(std_shape or shape).double())


def categorical(seed, shape=(2, 5, 4)):
    return Categorical(Streams(seed)["logits"].normal(shape).double().log_softmax(-1))


def reference(ours):
    if isinstance(ours, Gaussian):
        return distributions.Independent(distributions.Normal(ours.mean, ours.log_std.exp().expand_as(ours.mean)), 1)
    return distributions.Categorical(logits=ours.logits)


def test_gaussian_by_hand():
    # x − μ = (1, −2), σ = (1, 2): log p = −½(1 + 1) − log 2 − log 2π
    p = Gaussian(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 2.0]).log())
    assert float(p.log_prob(torch.tensor([1.0, 1.0]))) == pytest.approx(-1.0 - math.log(2.0) - math.log(2 * math.pi))
    # q: μ = (2, 3), σ = (2, 2). KL = [log 2 + (1 + 4)/8 − ½] + [0]
    q = Gaussian(torch.tensor([2.0, 3.0]), torch.tensor([2.0, 2.0]).log())
    assert float(p.kl(q)) == pytest.approx(math.log(2.0) + 5.0 / 8.0 - 0.5)
    assert float(p.entropy()) == pytest.approx(math.log(2.0) + 1.0 + math.log(2 * math.pi))


@pytest.mark.parametrize("std_shape", [(2, 5, 3), (1, 1, 3), (2, 1, 3)])
def test_gaussian_equals_torchs(std_shape):
    p, q = gaussian(0, std_shape=std_shape), gaussian(1, std_shape=std_shape)
    x = Streams(2)["x"].normal((2, 5, 3)).double()
    torch.testing.assert_close(p.log_prob(x), reference(p).log_prob(x), **TIGHT)
    torch.testing.assert_close(p.kl(q), distributions.kl_divergence(reference(p), reference(q)), **TIGHT)
    torch.testing.assert_close(p.entropy(), reference(p).entropy(), **TIGHT)
    assert torch.equal(p.mode(), p.mean)
    assert torch.equal(p.kl(p), torch.zeros(2, 5, dtype=torch.float64))


def test_gaussian_samples_are_mean_plus_scaled_noise():
    p = Gaussian(torch.tensor([1.0, -1.0]), torch.tensor([2.0, 0.5]).log())
    assert p.sample(torch.tensor([3.0, -4.0])).tolist() == pytest.approx([7.0, -3.0], rel=1e-6)  # float32
    assert torch.equal(p.sample(torch.zeros(2)), p.mode())


def test_gaussian_stays_finite_at_the_narrowest_std():
    p = Gaussian(torch.zeros(2), torch.full((2,), math.log(1e-6)))
    q = Gaussian(torch.ones(2), torch.full((2,), math.log(1e-6)))
    # ½ (1/1e-6)² per action, to float32 of a log of 1e-6 (14 · 6e-8, twice)
    assert float(p.kl(q)) == pytest.approx(1e12, rel=1e-5)
    assert float(q.log_prob(torch.zeros(2))) == pytest.approx(-1e12, rel=1e-5)


def test_categorical_by_hand():
    p = Categorical(torch.tensor([0.5, 0.25, 0.25]).log())
    q = Categorical(torch.tensor([0.25, 0.25, 0.5]).log())
    assert float(p.log_prob(torch.tensor(1))) == pytest.approx(math.log(0.25))
    assert float(p.kl(q)) == pytest.approx(0.25 * math.log(2.0))  # ½ log 2 + 0 − ¼ log 2
    assert float(p.entropy()) == pytest.approx(1.5 * math.log(2.0))
    assert int(p.mode()) == 0


def test_categorical_equals_torchs():
    p, q = categorical(0), categorical(1)
    action = (Streams(2)["a"].uniform((2, 5)) * 4).long()
    torch.testing.assert_close(p.log_prob(action), reference(p).log_prob(action), **TIGHT)
    torch.testing.assert_close(p.kl(q), distributions.kl_divergence(reference(p), reference(q)), **TIGHT)
    torch.testing.assert_close(p.entropy(), reference(p).entropy(), **TIGHT)
    assert torch.equal(p.mode(), reference(p).mode)


def test_categorical_samples_by_the_interval_that_holds_the_noise():
    p = Categorical(torch.tensor([0.25, 0.5, 0.25]).log().expand(7, 3))
    noise = torch.tensor([0.0, 0.2, 0.26, 0.5, 0.74, 0.76, 1.0 - 2.0**-24])
    sampled = p.sample(noise)
    assert sampled.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert sampled.dtype == torch.int64


def test_categorical_frequencies_are_exact_on_a_grid():
    """n midpoints of [0, 1) fall into an interval of length p as often as n p, up to one at each of its two ends."""
    n = 1000
    p = categorical(3, (1, 6))
    noise = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    counts = p.sample(noise).bincount(minlength=6)
    assert float((counts - n * p.logits[0].exp()).abs().max()) <= 2.0


def test_categorical_sampling_survives_rounding_and_impossible_actions():
    just_below_one = torch.tensor([1.0 - 2.0**-24])
    for seed in range(50):
        logits = Streams(seed)["logits"].normal((1, 30)).log_softmax(-1)  # the float32 sum can stay below 1
        assert 0 <= int(Categorical(logits).sample(just_below_one)) < 30
    impossible = Categorical(torch.tensor([[-math.inf, 0.0]]))
    assert impossible.sample(torch.zeros(1)).tolist() == [1]


class TestAnImpossibleAction:
    """A masked action has a logit of minus infinity; 0 log 0 is 0."""

    p = Categorical(torch.tensor([0.5, 0.5, 0.0]).log())
    q = Categorical(torch.tensor([0.25, 0.75, 0.0]).log())

    def test_adds_nothing_to_entropy_and_kl(self):
        assert float(self.p.entropy()) == pytest.approx(math.log(2.0))
        assert float(self.p.kl(self.q)) == pytest.approx(0.5 * math.log(4.0 / 3.0))  # ½ log 2 + ½ log ⅔
        assert float(self.p.kl(self.p)) == 0.0

    def test_is_infinitely_far_from_a_possible_one_in_one_direction(self):
        wide = Categorical(torch.tensor([0.25, 0.25, 0.5]).log())
        assert float(wide.kl(self.p)) == math.inf
        assert float(self.p.kl(wide)) == pytest.approx(math.log(2.0))

    @pytest.mark.parametrize("number", ["entropy", "kl"])
    def test_leaves_the_derivatives_those_of_the_others(self, number):
        def of(scores):
            p = Categorical(torch.log_softmax(scores, -1))
            return p.entropy() if number == "entropy" else p.kl(Categorical(torch.tensor([0.25, 0.75]).log().double()))

        def masked(scores):
            p = Categorical(torch.log_softmax(torch.cat([scores, torch.tensor([-math.inf]).double()]), -1))
            return p.entropy() if number == "entropy" else p.kl(Categorical(self.q.logits.double()))

        at = torch.tensor([0.3, -0.4], dtype=torch.float64)
        for derivative in (torch.autograd.functional.jacobian, torch.autograd.functional.hessian):
            torch.testing.assert_close(
                derivative(masked, at), derivative(of, at), rtol=0, atol=1e-7
            )  # log ¼ is float32


@pytest.mark.parametrize("make", [gaussian, categorical])
def test_tensors_and_replace_are_inverse(make):
    p, q = make(0), make(1)
    again = p.replace(q.tensors())
    assert type(again) is type(p)
    assert all(again.tensors()[name] is value for name, value in q.tensors().items())


@pytest.mark.parametrize("make", [gaussian, categorical])
def test_derivatives_of_the_kl_vanish_where_the_two_are_equal(make):
    p = make(0)
    free = {name: value.clone().requires_grad_() for name, value in p.tensors().items()}
    q = p.replace(free)
    if isinstance(q, Categorical):
        q = Categorical(q.logits.log_softmax(-1))
    grads = torch.autograd.grad(p.kl(q).sum(), list(free.values()))
    assert all(float(grad.abs().max()) < 1e-14 for grad in grads)  # differences of numbers of size 1
