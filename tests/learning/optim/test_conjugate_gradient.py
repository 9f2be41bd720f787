import pytest
import torch

from drml.core.rng import Streams
from drml.learning.optim.conjugate_gradient import conjugate_gradient, orthogonal_to


def positive_definite(size, seed=0):
    """A matrix with eigenvalues between 1 and 2 + 4 (edge of the spectrum of a Wishart matrix)."""
    root = Streams(seed)["root"].normal((size, size)).double() / size**0.5
    return torch.eye(size, dtype=torch.float64) + root @ root.T


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_equals_the_dense_solution_after_as_many_products_as_unknowns(size):
    a, b = positive_definite(size), Streams(1)["b"].normal((size,)).double()
    x = conjugate_gradient(lambda v: a @ v, b, num_iters=size, tolerance=0.0)
    torch.testing.assert_close(x, torch.linalg.solve(a, b), rtol=1e-9, atol=1e-9)  # condition 5, twenty steps of 1e-16


def test_two_by_two_by_hand():
    # A = [[4, 1], [1, 3]], b = (1, 2): x = (3·1 − 1·2, −1·1 + 4·2)/11 = (1, 7)/11
    a = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    x = conjugate_gradient(lambda v: a @ v, torch.tensor([1.0, 2.0], dtype=torch.float64), num_iters=2)
    assert x.tolist() == pytest.approx([1 / 11, 7 / 11], abs=1e-14)


def test_one_iteration_per_distinct_eigenvalue():
    eigenvalues = torch.tensor([1.0, 1.0, 5.0, 5.0, 5.0, 9.0], dtype=torch.float64)
    asked = []
    x = conjugate_gradient(lambda v: (asked.append(1), eigenvalues * v)[1], torch.ones(6, dtype=torch.float64))
    assert len(asked) == 3
    torch.testing.assert_close(x, 1.0 / eigenvalues, rtol=1e-6, atol=1e-6)  # residual² below 1e-10 of that of b


def test_stops_at_the_number_of_iterations():
    a, b = positive_definite(30), Streams(1)["b"].normal((30,)).double()
    asked = []
    conjugate_gradient(lambda v: (asked.append(1), a @ v)[1], b, num_iters=4, tolerance=0.0)
    assert len(asked) == 4


def test_stops_at_the_tolerance():
    a, b = positive_definite(30), Streams(1)["b"].normal((30,)).double()
    x = conjugate_gradient(lambda v: a @ v, b, num_iters=30, tolerance=1e-4)
    residual = b - a @ x
    assert float(residual @ residual) <= 1.001e-4 * float(
        b @ b
    )  # the running residual drifts from the true one by 1e-15


def test_zero_needs_no_product():
    def never(v):
        raise AssertionError("no product is needed")

    assert torch.equal(conjugate_gradient(never, torch.zeros(3)), torch.zeros(3))


def test_the_right_hand_side_is_left_alone():
    b = torch.tensor([1.0, 2.0])
    conjugate_gradient(lambda v: torch.tensor([2.0, 5.0]) * v, b)
    assert b.tolist() == [1.0, 2.0]


# The KL of a policy has a few large eigenvalues over a wide bulk: half-cheetah's measured 200 over a mean of 0.2.
WIDE = torch.cat([torch.tensor([200.0, 60.0, 20.0, 8.0]), torch.logspace(0.5, -5.0, 96)]).double()


def krylov_solution(eigenvalues, b, num_iters):
    """Conjugate gradients' iterate in exact arithmetic: of span{b, A b, …, Aᵏ⁻¹ b}, what minimises ½ xᵀ A x − bᵀ x."""
    basis = torch.empty((num_iters, len(b)), dtype=torch.float64)
    v = b
    for i in range(num_iters):
        for _ in range(3):
            v = v - basis[:i].T @ (basis[:i] @ v)
        basis[i] = v / v.norm()
        v = eigenvalues * basis[i]
    return basis.T @ torch.linalg.solve(basis @ (eigenvalues[:, None] * basis.T), basis @ b)


def turned(x, y):
    """How far two directions are apart, in radians where that is little."""
    return float((x / x.norm() - y / y.norm()).norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_iters", [3, 6, 10, 15])
def test_a_wide_spectrum_gives_the_best_of_the_krylov_space(num_iters, dtype):
    b = WIDE.sqrt() * Streams(3)["b"].normal((len(WIDE),)).double()
    x = conjugate_gradient(lambda v: WIDE.to(dtype) * v, b.to(dtype), num_iters, tolerance=0.0)
    # A hundred roundings of 6e-8 or 1e-16; residuals that are left to themselves give 0.45 and 0.24 at ten iterations.
    assert turned(x.double(), krylov_solution(WIDE, b, num_iters)) < (1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_a_rounding_in_the_products_does_not_turn_the_solution(seed):
    b = (WIDE.sqrt() * Streams(3)["b"].normal((len(WIDE),)).double()).float()
    noise = Streams(seed)["noise"].normal((10, len(b)))
    asked = iter(noise)

    def noisy(v):
        product = WIDE.float() * v
        return product + 1e-7 * product.norm() * next(asked) / len(b) ** 0.5

    calm = conjugate_gradient(lambda v: WIDE.float() * v, b, 10, tolerance=0.0)
    # ten products, each amplified by the share of the solution that its eigenvalues have: some 40 times the noise seen
    assert turned(conjugate_gradient(noisy, b, 10, tolerance=0.0), calm) < 2e-5


def test_the_orthogonal_part_by_hand():
    units = [torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.6, 0.8])]
    # (2, 1, 3) · (0, 0.6, 0.8) = 3; (2, 1, 3) − 2 (1, 0, 0) − 3 (0, 0.6, 0.8) = (0, −0.8, 0.6)
    assert orthogonal_to(units, torch.tensor([2.0, 1.0, 3.0])).tolist() == pytest.approx([0.0, -0.8, 0.6], abs=1e-6)
