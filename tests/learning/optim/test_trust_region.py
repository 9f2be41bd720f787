import math

import pytest
import torch

from drml.core.rng import Streams
from drml.learning.optim.trust_region import TrustRegionConfig, line_search, trust_region_step

EXACT = TrustRegionConfig(max_kl=0.01, cg_iters=10, cg_damping=0.0)
THETA = torch.tensor([1.0, -2.0], dtype=torch.float64)


def linear_problem(gradient, curvature):
    """A linear loss and a quadratic KL around THETA, for which the full step ends on the region's edge.

    The KL is 1e-12 of itself too small, so that rounding does not decide on which side of the edge.
    """

    def evaluate(theta):
        moved = theta - THETA
        return float(gradient @ moved), float(0.5 * moved @ curvature @ moved) * (1.0 - 1e-12)

    return evaluate, lambda v: curvature @ v


def never(_):
    raise AssertionError("nothing is to be evaluated")


def test_closed_form_step():
    # A = diag(1, 4), g = (1, 2): A⁻¹ g = (1, ½), gᵀ A⁻¹ g = 2, step = −√(2 · 0.01/2) (1, ½) = −(0.1, 0.05)
    g, a = torch.tensor([1.0, 2.0], dtype=torch.float64), torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64))
    step = trust_region_step(*linear_problem(g, a), THETA, g, 0.0, EXACT)
    assert step.accepted
    assert step.num_tries == 1
    assert (step.params - THETA).tolist() == pytest.approx([-0.1, -0.05], abs=1e-12)
    assert step.loss_after == pytest.approx(-0.2, abs=1e-12)
    assert step.kl == pytest.approx(0.01, abs=1e-12)


def test_damping_shortens_the_step():
    # A + λ I = diag(2, 5): d = −(½, 2/5), dᵀ (A + λ I) d = ½ + 4/5 = 1.3, s = √(0.02/1.3) d
    # KL = ½ (¼ + 4 · 4/25) 0.02/1.3
    g, a = torch.tensor([1.0, 2.0], dtype=torch.float64), torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64))
    step = trust_region_step(*linear_problem(g, a), THETA, g, 0.0, TrustRegionConfig(max_kl=0.01, cg_damping=1.0))
    scale = math.sqrt(0.02 / 1.3)
    assert (step.params - THETA).tolist() == pytest.approx([-0.5 * scale, -0.4 * scale], abs=1e-12)
    assert step.kl == pytest.approx(0.5 * (0.25 + 4 * 0.16) * 0.02 / 1.3, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_region_is_kept_where_the_kl_is_not_quadratic(seed):
    rng = Streams(seed)
    root = rng["root"].normal((6, 6)).double()
    a, g = root @ root.T + torch.eye(6, dtype=torch.float64), rng["g"].normal((6,)).double()
    theta = rng["theta"].normal((6,)).double()

    def evaluate(candidate):
        moved = candidate - theta
        quadratic = float(0.5 * moved @ a @ moved)
        return float(g @ moved), quadratic + 100.0 * quadratic**1.5  # twice the quadratic at its edge and more

    step = trust_region_step(evaluate, lambda v: a @ v, theta, g, 0.0, EXACT)
    assert step.accepted
    assert step.num_tries > 1
    assert step.kl <= EXACT.max_kl
    assert step.loss_after < 0.0
    assert evaluate(step.params) == (step.loss_after, step.kl)


def search(values):
    """Search along a unit step through given answers (loss, KL); the loss before is 1."""
    asked = []

    def evaluate(theta):
        asked.append(float(theta))
        return values[min(len(asked), len(values)) - 1]

    return line_search(evaluate, torch.zeros(1), torch.ones(1), 1.0, TrustRegionConfig()), asked


def test_the_first_step_that_fits_is_taken():
    step, asked = search([(0.5, 0.02), (1.5, 0.005), (0.9, 0.005), (0.0, 0.0)])
    assert asked == pytest.approx([1.0, 0.8, 0.64])
    assert (step.accepted, step.num_tries, step.loss_after, step.kl) == (True, 3, 0.9, 0.005)
    assert float(step.params) == asked[-1]


NAN, INF = math.nan, math.inf
REFUSED = [(NAN, 0.0), (0.5, NAN), (NAN, NAN), (INF, 0.0), (-INF, 0.0), (0.5, INF), (1.0, 0.0), (0.5, 0.011)]


@pytest.mark.parametrize("answer", REFUSED)
def test_refused_steps_return_the_parameters_themselves(answer):
    theta = torch.tensor([1.0, 2.0])
    step = line_search(lambda _: answer, theta, torch.ones(2), 1.0, TrustRegionConfig(max_backtracks=4))
    assert step.params is theta
    assert theta.tolist() == [1.0, 2.0]
    assert (step.accepted, step.num_tries, step.loss_before, step.loss_after, step.kl) == (False, 4, 1.0, 1.0, 0.0)


def test_a_loss_that_was_nan_before_is_never_improved_on():
    theta = torch.zeros(1)
    assert line_search(lambda _: (0.0, 0.0), theta, torch.ones(1), NAN, TrustRegionConfig()).params is theta


@pytest.mark.parametrize("gradient", [[0.0, 0.0], [NAN, 1.0]])
def test_no_direction_no_step(gradient):
    g = torch.tensor(gradient, dtype=torch.float64)
    step = trust_region_step(never, lambda v: 2.0 * v, THETA, g, 3.0, EXACT)
    assert step.params is THETA
    assert (step.accepted, step.num_tries, step.loss_after) == (False, 0, 3.0)


def test_negative_curvature_is_no_direction():
    step = trust_region_step(never, lambda v: -2.0 * v, THETA, torch.ones(2, dtype=torch.float64), 3.0, EXACT)
    assert step.params is THETA
    assert not step.accepted


def test_an_infinite_gradient_is_refused():
    g = torch.tensor([INF, 1.0], dtype=torch.float64)
    step = trust_region_step(lambda t: (float(t.sum()), 0.0), lambda v: 2.0 * v, THETA, g, 3.0, EXACT)
    assert step.params is THETA
    assert not step.accepted
