"""The oracle itself: enumeration against backward induction, autograd against finite differences."""

import pytest
import torch
from numeric import central_differences
from oracle import (
    Case,
    all_paths,
    bandit,
    expected_return,
    hessian_terms,
    log_policy,
    meta_gradient,
    meta_gradient_with,
    meta_objective,
    probability,
    random_process,
    relative_error,
    return_hessian,
    rewards,
)

PROCESSES = {
    "bandit": bandit(),
    "chain of 2": random_process(num_tasks=2, num_states=2, num_actions=2, horizon=2),
    "chain of 3": random_process(num_tasks=3, num_states=2, num_actions=2, horizon=3),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_all_trajectories_are_listed_once(name):
    process = PROCESSES[name]
    paths = all_paths(process)
    log_pi = log_policy(process.theta(), process.like)
    both = torch.cat([paths.state, paths.action]).T
    assert len(both.unique(dim=0)) == len(both) == (len(process.start) * process.reward.shape[-1]) ** process.horizon
    for task in range(len(process.reward)):
        # a sum of at most 64 numbers below 1: rounding stays below 64 · 2⁻⁵³
        torch.testing.assert_close(
            probability(process, paths, task, log_pi).sum(), torch.tensor(1.0).double(), rtol=0, atol=1e-14
        )


@pytest.mark.parametrize("name", PROCESSES)
def test_expected_return_is_the_weighted_sum_over_trajectories(name):
    process = PROCESSES[name]
    theta, paths = process.theta(), all_paths(process)
    for task in range(len(process.reward)):
        chance = probability(process, paths, task, log_policy(theta, process.like))
        listed = (chance * rewards(process, paths)[task].sum(0)).sum()
        torch.testing.assert_close(listed, expected_return(process, task, theta), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_terms_of_the_hessian_add_up(name):
    process = PROCESSES[name]
    case = Case(process, (0.3,), torch.zeros(len(process.start), dtype=torch.float64))
    for task in range(len(process.reward)):
        terms = hessian_terms(case, task, process.theta())
        total = terms.curvature + terms.squares + terms.crosses
        assert relative_error(total, return_hessian(process, task, process.theta())) < 1e-12


@pytest.mark.parametrize("lrs", [(0.3,), (0.3, 0.2), (0.3, 0.2, 0.2)])
@pytest.mark.parametrize("name", PROCESSES)
def test_exact_meta_gradient(name, lrs):
    process, theta = PROCESSES[name], PROCESSES[name].theta()
    exact = meta_gradient(process, theta, lrs)
    # h = 1e-5: truncation ~ h² = 1e-10, rounding ~ 2⁻⁵³ / h = 1e-11, both times derivatives of order 1 to 10
    differences = central_differences(lambda t: meta_objective(process, t.requires_grad_(), lrs).item(), theta, 1e-5)
    assert relative_error(differences, exact) < 1e-8
    case = Case(process, lrs, torch.zeros(len(process.start), dtype=torch.float64))
    by_hessians = meta_gradient_with(case, theta, lambda task, point: return_hessian(process, task, point))
    assert relative_error(by_hessians, exact) < 1e-12
