"""Whole outer objectives on networks: gradients and curvature products against finite differences, in float64.

Step 1e-5: truncation ~ h² = 1e-10, rounding ~ 2⁻⁵³ / h = 1e-11, both times derivatives of order 1 to 100, so 1e-6
relative leaves a factor of 100.
"""

from dataclasses import replace

import pytest
import torch
from numeric import (
    POLICY,
    SPEC,
    central_differences,
    promp_value_and_gradient,
    random_history,
    random_params,
    relative,
    trust_region_inputs,
)

from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.core.tree import flatten, stack_shared, unflatten
from drml.learning.adapt import INNER_LOSSES, GradientAdaptation, InnerConfig
from drml.learning.advantages import estimate_advantages
from drml.learning.by_parts import value_and_gradient
from drml.learning.linear_baseline import LinearFeatureBaseline
from drml.learning.losses import clipped_surrogate_loss, likelihood_ratio, mean_kl
from drml.policies.mlp import GaussianMLP

STEP = 1e-5
NUM_TASKS = 3
PARAMS = random_params()


def inner(num_steps):
    return InnerConfig(lr=0.2, later_lr=0.1, num_steps=num_steps, gamma=0.9, gae_lambda=0.8)


def maml(num_steps, inner_loss="log_likelihood", order=2):
    config = MAMLConfig(inner(num_steps), inner_loss, order, curvature_episodes=0)
    return MAML(SPEC, POLICY, config)


def adapted_terms(num_steps, inner_loss, history):
    """(θ, slice) ↦ the adapted policies' distributions on the last rollouts, with these rollouts and advantages."""
    baseline = LinearFeatureBaseline(SPEC.horizon, 0.9)
    advantages = [estimate_advantages(rollout, baseline, 0.8) for rollout in history]
    adaptation = GradientAdaptation(POLICY, INNER_LOSSES[inner_loss], inner(num_steps), order=2)

    def terms(params, part):
        rollouts, weights = [r.select_tasks(part) for r in history], [a.select_tasks(part) for a in advantages]
        adapted = adaptation.unroll(params, rollouts[:-1], weights[:-1])
        return POLICY.unroll(adapted, rollouts[-1]), rollouts[-1], weights[-1]

    return terms


def adapted_here(terms):
    """The adapted policies' distributions at PARAMS."""
    return terms({name: value.clone().requires_grad_() for name, value in PARAMS.items()}, slice(0, NUM_TASKS))[0]


@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("inner_loss", INNER_LOSSES)
def test_maml_gradient(inner_loss, num_steps):
    seen = trust_region_inputs(maml(num_steps, inner_loss), PARAMS, random_history(num_steps))
    differences = central_differences(lambda p: seen.evaluate(p)[0], seen.params, STEP)
    assert relative(seen.gradient, differences) < 1e-6
    assert seen.loss_before == pytest.approx(seen.evaluate(seen.params)[0], rel=1e-12)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_maml_gradient_of_first_order_is_another(num_steps):
    seen = trust_region_inputs(maml(num_steps, order=1), PARAMS, random_history(num_steps))
    differences = central_differences(lambda p: seen.evaluate(p)[0], seen.params, STEP)
    assert relative(seen.gradient, differences) > 1e-2


def acted_by_the_adapted(num_steps, history):
    """The history with its last rollouts' distributions replaced by the adapted policies' own, as in training."""
    new, last = adapted_here(adapted_terms(num_steps, "log_likelihood", history)), history[-1]
    acting = type(new)(new.mean.detach(), new.log_std.expand(new.mean.shape).detach())
    return [*history[:-1], replace(last, acting=acting, log_prob=acting.log_prob(last.action))]


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_maml_curvature_is_the_hessian_of_the_mean_kl_where_the_adapted_policies_acted(num_steps):
    history = acted_by_the_adapted(num_steps, random_history(num_steps))
    seen = trust_region_inputs(maml(num_steps), PARAMS, history)
    terms, whole = adapted_terms(num_steps, "log_likelihood", history), [slice(0, NUM_TASKS)]

    def kl_gradient(point):
        objective = lambda p, part: mean_kl(*terms(p, part)).sum() / NUM_TASKS  # noqa: E731 — the objective, inline
        return flatten(value_and_gradient(objective, unflatten(point, PARAMS), whole)[1])

    direction = torch.randn(len(seen.params), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    elsewhere = seen.params + 0.1 * direction  # the gradient is zero where the KL is
    differences = central_differences(lambda p: seen.evaluate(p)[1], elsewhere, STEP)
    assert relative(kl_gradient(elsewhere), differences) < 1e-6
    change = kl_gradient(seen.params + STEP * direction) - kl_gradient(seen.params - STEP * direction)
    assert relative(seen.curvature(direction), change / (2.0 * STEP)) < 1e-6


def test_maml_curvature_of_first_order_leaves_the_inner_step_out():
    history = acted_by_the_adapted(1, random_history(1))
    direction = torch.randn(len(flatten(PARAMS)), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    first, second = (trust_region_inputs(maml(1, order=n), PARAMS, history).curvature(direction) for n in (1, 2))
    assert relative(first, second) > 1e-2


@pytest.mark.parametrize("copies", [1, 2, 0])
def test_maml_curvature_is_positive_semidefinite_whatever_data_it_is_estimated_from(copies):
    learner = MAML(SPEC, POLICY, MAMLConfig(inner(2), curvature_episodes=copies))
    product = trust_region_inputs(learner, PARAMS, random_history(2)).curvature
    hessian = torch.stack([product(e) for e in torch.eye(len(flatten(PARAMS)), dtype=torch.float64)])
    assert relative(hessian, hessian.T) < 1e-12
    eigenvalues = torch.linalg.eigvalsh(hessian)
    assert float(eigenvalues[0]) > -1e-12 * float(eigenvalues[-1])
    # a Fisher matrix of 3 tasks is far from zero in several directions
    assert float(eigenvalues[-8]) > 1e-6 * float(eigenvalues[-1])


@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("inner_loss", INNER_LOSSES)
def test_promp_gradient(inner_loss, num_steps):
    # a KL weight of 1 lets the KL term count as much as the surrogate
    config = ProMPConfig(inner(num_steps), inner_loss, outer_steps=1, clip_eps=0.2, inner_kl_coef=1.0)
    learner, history = ProMP(SPEC, POLICY, config), random_history(num_steps, spread=0.2, seed=1)
    away_from_the_corner(adapted_terms(num_steps, inner_loss, history), history[-1], clip_eps=0.2)

    def loss(point):
        return promp_value_and_gradient(learner, unflatten(point, PARAMS), history)[0]

    differences = central_differences(loss, flatten(PARAMS), STEP)
    assert relative(promp_value_and_gradient(learner, PARAMS, history)[1], differences) < 1e-6


def away_from_the_corner(terms, rollout, clip_eps):
    """Some ratios are clipped, some are not, and none is so near 1 ± ε that a finite difference crosses it."""
    distance = (likelihood_ratio(adapted_here(terms), rollout).detach() - 1.0).abs() - clip_eps
    assert bool((distance > 0.0).any()) and bool((distance < 0.0).any())
    assert float(distance.abs().min()) > 10 * STEP


def test_promp_loss_by_hand():
    """The outer loss as its formula reads, one task and one step at a time."""
    num_steps, eta, clip_eps = 2, 0.7, 0.2
    config = ProMPConfig(inner(num_steps), outer_steps=1, clip_eps=clip_eps, inner_kl_coef=eta)
    history = random_history(num_steps, spread=0.2)
    advantages = [estimate_advantages(r, LinearFeatureBaseline(SPEC.horizon, 0.9), 0.8) for r in history]
    adaptation = GradientAdaptation(POLICY, INNER_LOSSES["likelihood_ratio"], inner(num_steps), order=1)
    total = 0.0
    for k in range(NUM_TASKS):
        rollouts = [r.select_tasks(slice(k, k + 1)) for r in history]
        gains = [a.select_tasks(slice(k, k + 1)) for a in advantages]
        params = PARAMS
        for j in range(num_steps):
            new = POLICY.unroll(params, rollouts[j])
            total += eta / num_steps * gaussian_kl(rollouts[j].acting, new).mean().item()
            params = adaptation.apply(params if j else stack_shared(params, 1), rollouts[j], gains[j], j)
        new = POLICY.unroll(params, rollouts[-1])
        log_ratios = new.log_prob(rollouts[-1].action) - rollouts[-1].log_prob
        for log_ratio, gain in zip(log_ratios.flatten(), gains[-1].advantage.flatten(), strict=True):
            ratio = float(log_ratio.exp())
            limit = min(max(ratio, 1.0 - clip_eps), 1.0 + clip_eps)
            total -= min(ratio * float(gain), limit * float(gain)) / log_ratios.numel()
    assert promp_value_and_gradient(ProMP(SPEC, POLICY, config), PARAMS, history)[0] == pytest.approx(
        total / NUM_TASKS, rel=1e-12
    )


def gaussian_kl(first, second):
    """KL(first ‖ second) by torch, summed over the action's dimensions."""
    p = torch.distributions.Normal(first.mean, first.log_std.exp())
    q = torch.distributions.Normal(second.mean, second.log_std.exp())
    return torch.distributions.kl_divergence(p, q).sum(-1)


def test_gaussian_mlp_is_the_network_it_says():
    assert isinstance(POLICY, GaussianMLP)
    rollout = random_history(1)[0]
    new = POLICY.unroll(PARAMS, rollout)
    hidden = torch.tanh(rollout.obs @ PARAMS["layer0.weight"] + PARAMS["layer0.bias"])
    mean = hidden @ PARAMS["layer1.weight"] + PARAMS["layer1.bias"]
    torch.testing.assert_close(new.mean, mean, rtol=1e-14, atol=1e-14)
    expected = torch.distributions.Normal(mean, PARAMS["log_std"].exp()).log_prob(rollout.action).sum(-1)
    torch.testing.assert_close(new.log_prob(rollout.action), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(rollout.acting.kl(new), gaussian_kl(rollout.acting, new), rtol=1e-12, atol=1e-14)


def test_clipped_surrogate_by_hand():
    """ρ = e^(log 2) = 2 and ½ against gains of both signs, ε = 0.3: min(ρ Â, clip(ρ) Â)."""
    rollout = random_history(1, num_tasks=1)[0]
    new = rollout.acting
    shift = torch.full_like(rollout.log_prob, 0.6931471805599453)  # log 2
    shift[:, :, ::2] *= -1.0  # copies 0, 2: ρ = ½; copies 1, 3: ρ = 2
    rollout = type(rollout)(**{**vars(rollout), "log_prob": rollout.log_prob - shift})
    advantages = estimate_advantages(rollout, LinearFeatureBaseline(SPEC.horizon, 0.9), 0.8)
    gain = torch.ones_like(advantages.advantage)
    gain[:, 2:] = -1.0
    advantages = type(advantages)(gain, advantages.weight)
    # gain 1: ½ → 0.5, 2 → 1.3; gain −1: ½ → −0.7, 2 → −2; each a quarter of the steps
    expected = -(0.5 + 1.3 - 0.7 - 2.0) / 4.0
    assert clipped_surrogate_loss(new, rollout, advantages, 0.3).item() == pytest.approx(expected, rel=1e-12)
