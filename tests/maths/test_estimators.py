"""Which meta-gradient estimator is exact, and how far each other one is off: expectations over all trajectories.

docs/estimators.md tells the same in words. Tolerance 1e-10: sums of at most 256 terms of size 1 to 10, in float64,
chained through at most three inner steps, leave 1e-15 to 1e-13.
"""

import pytest
import torch
from oracle import (
    Case,
    bandit,
    estimate,
    hessian_terms,
    meta_gradient,
    meta_gradient_with,
    random_process,
    relative_error,
    return_gradient,
    return_hessian,
)

EXACT = 1e-10
INNER_STEPS = {1: (0.3,), 2: (0.3, 0.2), 3: (0.3, 0.2, 0.2)}  # the first size differs from the later ones


def make_case(name, num_steps, baseline=0.7):
    process, episodes = {
        "bandit": (bandit(), 1),
        "bandit, 2 episodes": (bandit(), 2),
        "horizon 2": (random_process(num_tasks=3, num_states=2, num_actions=2, horizon=2), 1),
        "horizon 2, 2 episodes": (random_process(num_tasks=2, num_states=2, num_actions=2, horizon=2), 2),
        "horizon 3": (random_process(num_tasks=2, num_states=2, num_actions=2, horizon=3), 1),
        "bandit, 3 pulls": (random_process(num_tasks=2, num_states=1, num_actions=3, horizon=3), 1),
    }[name]
    # a wrong baseline, different in each state: no value function
    wrong = baseline * torch.arange(1, len(process.start) + 1, dtype=torch.float64)
    return Case(process, INNER_STEPS[num_steps], wrong, episodes)


BANDITS = ["bandit", "bandit, 2 episodes", "bandit, 3 pulls"]  # no action changes what a later one earns
LONGER = ["horizon 2", "horizon 2, 2 episodes", "horizon 3"]


@pytest.mark.parametrize("num_steps", INNER_STEPS)
@pytest.mark.parametrize("name", BANDITS + LONGER)
def test_dice_is_exact(name, num_steps):
    case = make_case(name, num_steps)
    theta = case.process.theta()
    exact = meta_gradient(case.process, theta, case.lrs)
    assert relative_error(estimate(case, theta, "dice", order=2), exact) < EXACT


@pytest.mark.parametrize("num_steps", INNER_STEPS)
@pytest.mark.parametrize("name", BANDITS)
def test_likelihood_ratio_is_exact_on_bandits(name, num_steps):
    case = make_case(name, num_steps)
    theta = case.process.theta()
    exact = meta_gradient(case.process, theta, case.lrs)
    assert relative_error(estimate(case, theta, "likelihood_ratio", order=2), exact) < EXACT


@pytest.mark.parametrize("num_steps", INNER_STEPS)
@pytest.mark.parametrize("name", LONGER)
def test_likelihood_ratio_drops_the_cross_terms_of_the_hessian(name, num_steps):
    case = make_case(name, num_steps)
    theta = case.process.theta()

    def without_crosses(task, point):
        return return_hessian(case.process, task, point) - hessian_terms(case, task, point).crosses

    estimated = estimate(case, theta, "likelihood_ratio", order=2)
    assert relative_error(estimated, meta_gradient_with(case, theta, without_crosses)) < EXACT
    assert relative_error(estimated, meta_gradient(case.process, theta, case.lrs)) > 5e-3


@pytest.mark.parametrize("num_steps", INNER_STEPS)
@pytest.mark.parametrize("name", BANDITS + LONGER)
def test_log_likelihood_keeps_the_policys_own_curvature_alone(name, num_steps):
    case = make_case(name, num_steps)
    theta = case.process.theta()
    biased = meta_gradient_with(case, theta, lambda task, point: hessian_terms(case, task, point).curvature)
    estimated = estimate(case, theta, "log_likelihood", order=2)
    assert relative_error(estimated, biased) < EXACT
    assert relative_error(estimated, meta_gradient(case.process, theta, case.lrs)) > 1e-2


@pytest.mark.parametrize("name", BANDITS + LONGER)
def test_a_baseline_moves_the_log_likelihood_estimate_and_no_other(name):
    theta = make_case(name, 1).process.theta()

    def moved(inner_loss):
        with_baseline = estimate(make_case(name, 1), theta, inner_loss, order=2)
        return relative_error(with_baseline, estimate(make_case(name, 1, baseline=0.0), theta, inner_loss, order=2))

    assert moved("dice") < EXACT
    assert moved("likelihood_ratio") < EXACT
    assert moved("log_likelihood") > 1e-2  # by −α E Σ b ∇² log π


@pytest.mark.parametrize("inner_loss", ["dice", "likelihood_ratio", "log_likelihood"])
@pytest.mark.parametrize("name", BANDITS + LONGER)
def test_first_order_lacks_the_hessian_term(name, inner_loss):
    case = make_case(name, 1)
    theta, (lr,) = case.process.theta(), case.lrs
    lacking = torch.zeros_like(theta)
    for task in range(len(case.process.reward)):
        adapted = theta + lr * return_gradient(case.process, task, theta)
        lacking += lr * return_hessian(case.process, task, theta) @ return_gradient(case.process, task, adapted)
    bias = estimate(case, theta, inner_loss, order=1) - meta_gradient(case.process, theta, case.lrs)
    assert relative_error(bias, -lacking) < EXACT


@pytest.mark.parametrize("num_steps", [2, 3])
@pytest.mark.parametrize("name", ["bandit", "horizon 3"])
def test_first_order_of_several_steps_is_the_gradient_where_they_end(name, num_steps):
    case = make_case(name, num_steps)
    theta = case.process.theta()
    no_hessian = meta_gradient_with(case, theta, lambda task, point: torch.zeros(len(theta), len(theta)).double())
    assert relative_error(estimate(case, theta, "dice", order=1), no_hessian) < EXACT


@pytest.mark.parametrize(
    ("inner_loss", "order", "baseline", "expected"),
    [
        ("likelihood_ratio", 2, 0.0, (0.060, 0.121, 0.076)),
        ("log_likelihood", 2, 0.0, (0.218, 0.218, 0.289)),
        ("log_likelihood", 2, 0.7, (0.569, 1.532, 2.350)),
        ("dice", 1, 0.0, (0.313, 0.194, 0.423)),
    ],
)
def test_figures_of_the_documentation(inner_loss, order, baseline, expected):
    """The relative errors that docs/estimators.md shows for horizon 3 and one to three inner steps."""
    for num_steps, figure in enumerate(expected, start=1):
        case = make_case("horizon 3", num_steps, baseline)
        theta = case.process.theta()
        error = relative_error(estimate(case, theta, inner_loss, order), meta_gradient(case.process, theta, case.lrs))
        assert error == pytest.approx(figure, abs=6e-4)
