"""Conjugate gradients and the line search on quadratics whose solution is known."""

import pytest
import torch

from drml.learning.optim.conjugate_gradient import conjugate_gradient
from drml.learning.optim.trust_region import TrustRegionConfig, line_search, trust_region_step

SIZE = 6


def curvature_matrix():
    rng = torch.Generator().manual_seed(0)
    root = torch.randn((SIZE, SIZE), generator=rng, dtype=torch.float64)
    return root @ root.T + torch.eye(SIZE, dtype=torch.float64)


GRADIENT = torch.linspace(-1.0, 2.0, SIZE, dtype=torch.float64)


def test_conjugate_gradient_equals_the_dense_solution():
    matrix = curvature_matrix()
    solved = conjugate_gradient(lambda v: matrix @ v, GRADIENT, num_iters=SIZE, tolerance=0.0)
    # exact after SIZE iterations but for rounding, times a condition number below 100
    torch.testing.assert_close(solved, torch.linalg.solve(matrix, GRADIENT), rtol=1e-9, atol=1e-10)


def test_step_goes_to_the_edge_of_the_region_along_the_natural_gradient():
    matrix, config = curvature_matrix(), TrustRegionConfig(max_kl=0.02, cg_iters=2 * SIZE, cg_damping=0.0)
    start = torch.ones(SIZE, dtype=torch.float64)

    def evaluate(point):  # a linear loss, a KL within a hair of the quadratic's edge
        step = point - start
        return float(GRADIENT @ step), (1.0 - 1e-9) * float(0.5 * step @ matrix @ step)

    result = trust_region_step(evaluate, lambda v: matrix @ v, start, GRADIENT, 0.0, config)
    natural = torch.linalg.solve(matrix, GRADIENT)
    expected = start - (2.0 * 0.02 / (natural @ matrix @ natural)).sqrt() * natural
    torch.testing.assert_close(result.params, expected, rtol=1e-6, atol=1e-7)
    assert result.accepted and result.num_tries == 1
    assert result.kl == pytest.approx(0.02, rel=1e-6)


def test_line_search_takes_the_first_point_that_lowers_the_loss_within_the_region():
    config = TrustRegionConfig(max_kl=0.1, backtrack_ratio=0.5, max_backtracks=6)
    start, full_step = torch.zeros(1), torch.ones(1)
    # loss falls everywhere; KL(x) = x² is 1, 0.25, 0.0625: the third try is the first within 0.1
    result = line_search(lambda x: (-x.item(), x.item() ** 2), start, full_step, 0.0, config)
    assert (result.num_tries, result.params.item(), result.accepted) == (3, 0.25, True)
    # KL is small everywhere; the loss x(x − 0.3) is first below zero at x = 0.25
    result = line_search(lambda x: (x.item() * (x.item() - 0.3), 0.0), start, full_step, 0.0, config)
    assert (result.num_tries, result.params.item(), result.accepted) == (3, 0.25, True)
    refused = line_search(lambda x: (1.0, 0.0), start, full_step, 0.0, config)
    assert (refused.params.item(), refused.loss_after, refused.accepted) == (0.0, 0.0, False)
