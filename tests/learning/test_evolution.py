"""Evolution strategies against functions whose gradient is known."""

import pytest
import torch

from drml.core.distribution import Gaussian
from drml.core.rng import Streams
from drml.core.types import FinalObs, Rollout
from drml.learning.evolution import antithetic, better, es_gradient, fitness, neighbours

STD = 0.1


def rollout(reward, ended, valid):
    """Return a rollout of which rewards, ends and soundness are known, `[K, T, B]`."""
    reward, ended, valid = torch.tensor(reward), torch.tensor(ended), torch.tensor(valid)
    blank = torch.zeros(*reward.shape, 1)
    acting = Gaussian(blank, blank)
    return Rollout(
        obs=blank,
        action=blank,
        reward=reward,
        terminated=ended,
        truncated=torch.zeros_like(ended),
        valid=valid,
        final=FinalObs.dense(blank),
        elapsed=torch.zeros_like(ended, dtype=torch.int64),
        log_prob=torch.zeros_like(reward),
        acting=acting,
        first_carry={},
        last_carry={},
    )


def test_perturbations_come_in_pairs_of_the_asked_size():
    drawn = antithetic((4001, 6), STD, Streams(1))
    assert drawn.shape == (4001, 6)
    assert torch.equal(drawn[0:4000:2], -drawn[1:4001:2])
    # The variance of n normal numbers, estimated, has standard deviation √(2/n) σ²; n = 2001 · 6, and 5 of them.
    assert drawn[::2].square().mean().item() == pytest.approx(STD**2, rel=5.0 * (2.0 / (2001 * 6)) ** 0.5)


def test_the_estimate_is_exact_on_an_affine_function():
    """Rows ±σ√P eᵢ have 1/(nσ²) Σ p pᵀ = I, so that Σ fᵢ pᵢ/(nσ²) is the slope, here in units of the values' spread."""
    slope = torch.tensor([3.0, -1.0, 0.5])
    half = STD * 3**0.5 * torch.eye(3)
    rows = torch.cat([half, -half])
    values = (7.0 + rows @ slope).double()
    torch.testing.assert_close(es_gradient(rows, values, STD), slope / values.std(correction=0).float())


def test_the_estimate_comes_near_the_gradient_of_a_quadratic():
    """f(θ + p) = −|θ + p|²/2 grows along −θ, smoothed or not."""
    theta, num = torch.tensor([1.0, -2.0]), 40_000
    rows = antithetic((num, 2), STD, Streams(2))
    values = -0.5 * (theta + rows).square().sum(1).double()
    found = es_gradient(rows, values, STD) * values.std(correction=0)
    # Of a pair the squares cancel, and (p · θ) p/σ² has per entry a variance of at most 2 |θ|² = 10; n/2 pairs.
    torch.testing.assert_close(found.float(), -theta, atol=5.0 * (10.0 / (num / 2)) ** 0.5, rtol=0.0)


def test_what_all_perturbations_have_in_common_says_nothing():
    rows, values = antithetic((10, 3), STD, Streams(3)), torch.arange(10.0).double().square()
    found = es_gradient(rows, values, STD)
    torch.testing.assert_close(es_gradient(rows, 3.0 * values - 100.0, STD), found)
    assert not es_gradient(rows, torch.full((10,), -400.0).double(), STD).any()


def test_a_tasks_neighbour_does_not_depend_on_the_tasks_beside_it():
    params, ids = torch.zeros(4, 3), torch.tensor([5, 1, 8, 2])
    drawn = neighbours(params, ids, STD, Streams(4))
    assert torch.equal(neighbours(params[[3, 1]], ids[[3, 1]], STD, Streams(4)), drawn[[3, 1]])
    assert len(drawn.flatten().unique()) == 12
    many = neighbours(torch.ones(5000, 2), torch.arange(5000), STD, Streams(5))
    assert many.mean().item() == pytest.approx(1.0, abs=5.0 * STD / 100.0)  # 10,000 numbers
    assert many.std().item() == pytest.approx(STD, rel=0.04)  # 1/√20,000 each; 5 of them


def test_better_is_more_and_no_number_is_not_better():
    values, best = torch.tensor([1.0, 2.0, torch.nan, 3.0]), torch.tensor([2.0, 1.0, 0.0, 3.0])
    new, old = torch.ones(4, 2), torch.zeros(4, 2)
    found, params = better(values, new, best, old)
    assert found.tolist() == [2.0, 2.0, 0.0, 3.0]
    assert params[:, 0].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_fitness_is_the_mean_of_first_sound_episodes():
    reward = [[[1.0, 5.0], [2.0, 6.0], [4.0, 7.0]], [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]]
    ended = [[[False, False], [True, False], [False, True]], [[False, False]] * 3]
    valid = [[[True, True]] * 3, [[True, False]] * 3]
    assert fitness(rollout(reward, ended, valid)).tolist() == [(3.0 + 18.0) / 2.0, 3.0]
