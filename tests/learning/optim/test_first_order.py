import pytest
import torch

from drml.core.rng import Streams
from drml.core.tree import params_map
from drml.learning.optim.first_order import AdamState, adam_init, adam_step, sgd_step


def start(dtype=torch.float64):
    rng = Streams(0)
    return {
        "w": rng["w"].normal((3, 2)).to(dtype),
        "b": rng["b"].normal((4,)).to(dtype),
        "s": rng["s"].normal(()).to(dtype),
    }


def gradient(params, t):
    """A gradient that depends on the parameters and on time, over six decades of size."""
    return {n: (p.sin() + 0.1 * (t % 3)) * 10.0 ** (i * 3 - 5) for i, (n, p) in enumerate(params.items())}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.9), "eps": 1e-3}])
def test_adam_equals_torchs(dtype, tolerance, options):
    # 50 steps of size 0.1 whose roundings (1e-16, 6e-8 in float32) are fed back through the gradient
    params = start(dtype)
    state = adam_init(params)
    theirs = {name: value.clone().requires_grad_() for name, value in params.items()}
    optimiser = torch.optim.Adam(theirs.values(), lr=0.1, **options)
    for t in range(50):
        params, state = adam_step(params, gradient(params, t), state, 0.1, **options)
        for name, grad in gradient({n: p.detach() for n, p in theirs.items()}, t).items():
            theirs[name].grad = grad
        optimiser.step()
    assert int(state.num_steps) == 50
    for name, value in params.items():
        assert value.dtype == dtype
        torch.testing.assert_close(value, theirs[name].detach(), rtol=tolerance, atol=tolerance)


def test_the_first_adam_step_by_hand():
    # m̂ = g, v̂ = g²: θ − α g/(|g| + ε) = 1 − 0.1 · 2/(2 + 0.5)
    params = {"x": torch.tensor([1.0], dtype=torch.float64)}
    grads = {"x": torch.tensor([2.0], dtype=torch.float64)}
    after, state = adam_step(params, grads, adam_init(params), 0.1, eps=0.5)
    assert float(after["x"]) == pytest.approx(0.92, abs=1e-15)
    assert float(state.first["x"]) == pytest.approx(0.2, abs=1e-15)  # 0.1 · 2
    assert float(state.second["x"]) == pytest.approx(0.004, abs=1e-15)  # 0.001 · 4


def test_the_first_adam_step_of_float32_is_as_exact_as_float32():
    # 1 − 0.999 in float32 is wrong by 2e-5; the step would be wrong by half of that
    params = {"x": torch.zeros(1)}
    after, _ = adam_step(params, {"x": torch.full((1,), 3.0)}, adam_init(params), 0.1)
    assert float(after["x"]) == pytest.approx(-0.1, rel=3e-7)


def test_adam_changes_no_argument():
    params, grads = start(), gradient(start(), 0)
    state = adam_init(params)
    before = [value.clone() for tree in (params, grads, state.first, state.second) for value in tree.values()]
    adam_step(params, grads, state, 0.1)
    after = [value for tree in (params, grads, state.first, state.second) for value in tree.values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert int(state.num_steps) == 0


def test_adam_goes_on_from_a_state_that_was_stored():
    params = start()
    state = adam_init(params)
    for t in range(3):
        params, state = adam_step(params, gradient(params, t), state, 0.1)
    restored = AdamState.from_tree(state.tree())
    one, _ = adam_step(params, gradient(params, 3), state, 0.1)
    other, _ = adam_step(params, gradient(params, 3), restored, 0.1)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_sgd_by_hand():
    params = {"x": torch.tensor([1.0, 2.0])}
    assert sgd_step(params, {"x": torch.tensor([10.0, -10.0])}, 0.5)["x"].tolist() == [-4.0, 7.0]


def test_sgd_is_differentiable_in_parameters_gradients_and_step_size():
    # θ′ = θ − α θ², so ∂θ′/∂θ = 1 − 2 α θ = 1 − 2 · 0.5 · 3 and ∂θ′/∂α = −θ²
    theta, lr = torch.tensor(3.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    after = sgd_step({"x": theta}, {"x": theta.square()}, lr)["x"]
    assert [float(grad) for grad in torch.autograd.grad(after, (theta, lr))] == [-2.0, -9.0]


def test_stacked_steps_equal_one_by_one():
    stacked = {"w": Streams(1)["w"].normal((3, 2, 2)), "b": Streams(1)["b"].normal((3, 4))}
    grads = params_map(torch.cos, stacked)
    together, _ = adam_step(stacked, grads, adam_init(stacked), 0.1)
    for k in range(3):
        one = params_map(lambda value, k=k: value[k], stacked)
        alone, _ = adam_step(one, params_map(torch.cos, one), adam_init(one), 0.1)
        for name, value in alone.items():
            torch.testing.assert_close(value, together[name][k], rtol=1e-6, atol=0)  # vectorised cos rounds differently
