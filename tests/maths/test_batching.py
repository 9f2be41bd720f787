"""Many tasks at once, in chunks of any size, equal one task at a time; what is not valid does not exist.

Tolerance 1e-12 in float64: the same sums in another order.
"""

from dataclasses import replace
from functools import partial

import pytest
import torch
from numeric import (
    POLICY,
    SPEC,
    STEPS,
    promp_value_and_gradient,
    random_history,
    random_params,
    relative,
    trust_region_inputs,
)

from drml.algos.api import LearnerState
from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.core.rng import Streams
from drml.core.tree import flatten
from drml.core.types import Advantages, Agent, MetaEpisode
from drml.learning.adapt import INNER_LOSSES, GradientAdaptation, InnerConfig
from drml.learning.advantages import estimate_advantages
from drml.learning.linear_baseline import LinearFeatureBaseline
from drml.learning.losses import dice_loss
from drml.learning.optim.first_order import adam_init, adam_step
from drml.learning.optim.trust_region import TrustRegionConfig

of = partial(MetaEpisode, (), ())  # of no tasks and agents: the history is all that these learners look at
RNG = Streams(0)


NUM_TASKS, NUM_STEPS = 4, 2
PARAMS = random_params()
HISTORY = random_history(NUM_STEPS, NUM_TASKS, seed=7)
INNER = InnerConfig(lr=0.2, later_lr=0.1, num_steps=NUM_STEPS, gamma=0.9, gae_lambda=0.8)
SAME = 1e-12


def maml(inner_loss="log_likelihood", order=2, tasks_per_chunk=NUM_TASKS, curvature_episodes=0):
    region = TrustRegionConfig(max_kl=1.0)  # the rollouts' policies lie further apart than a step usually goes
    config = MAMLConfig(INNER, inner_loss, order, region, curvature_episodes, tasks_per_chunk)
    return MAML(SPEC, POLICY, config)


def promp(tasks_per_chunk=NUM_TASKS, outer_steps=3):
    return ProMP(SPEC, POLICY, ProMPConfig(INNER, tasks_per_chunk=tasks_per_chunk, outer_steps=outer_steps))


def one_task(history, k):
    return [rollout.select_tasks(slice(k, k + 1)) for rollout in history]


def adapt_all(learner, history):
    agent = Agent(PARAMS, carry={})
    for j, rollout in enumerate(history[:-1]):
        agent = learner.adapt(agent, rollout, j, RNG)
    return agent.params


@pytest.mark.parametrize("inner_loss", INNER_LOSSES)
def test_adapting_all_tasks_equals_one_at_a_time(inner_loss):
    together = adapt_all(maml(inner_loss), HISTORY)
    for k in range(NUM_TASKS):
        alone = adapt_all(maml(inner_loss), one_task(HISTORY, k))
        for name, value in alone.items():
            assert relative(together[name][k], value[0]) < SAME


@pytest.mark.parametrize("inner_loss", INNER_LOSSES)
def test_adapting_equals_gradient_steps_written_out(inner_loss):
    """θ ← θ − αⱼ ∇L(τⱼ; θ) for one task, each step on its own rollout, with its own step size."""
    advantages = [estimate_advantages(r, LinearFeatureBaseline(SPEC.horizon, 0.9), 0.8) for r in HISTORY]
    for k in range(NUM_TASKS):
        params = PARAMS
        for j, lr in enumerate((0.2, 0.1)):
            rollout, gains = HISTORY[j].select_tasks(slice(k, k + 1)), advantages[j].select_tasks(slice(k, k + 1))
            leaves = {name: value.detach().clone().requires_grad_() for name, value in params.items()}
            loss = INNER_LOSSES[inner_loss](POLICY.unroll(leaves, rollout), rollout, gains)
            grads = torch.autograd.grad(loss.sum(), list(leaves.values()))
            params = {name: p - lr * g for (name, p), g in zip(params.items(), grads, strict=True)}
        together = adapt_all(maml(inner_loss), HISTORY)
        adaptation = GradientAdaptation(POLICY, INNER_LOSSES[inner_loss], INNER, order=2)
        leaves = {name: value.clone().requires_grad_() for name, value in PARAMS.items()}
        unrolled = adaptation.unroll(leaves, HISTORY[:-1], advantages[:-1])
        for name, value in params.items():
            assert relative(together[name][k], value) < SAME
            assert relative(unrolled[name][k], value) < SAME


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("tasks_per_chunk", [1, 3, NUM_TASKS])
def test_maml_gradient_and_curvature_are_means_over_tasks(tasks_per_chunk, order):
    seen = trust_region_inputs(maml(order=order, tasks_per_chunk=tasks_per_chunk), PARAMS, HISTORY)
    alone = [trust_region_inputs(maml(order=order), PARAMS, one_task(HISTORY, k)) for k in range(NUM_TASKS)]
    assert relative(seen.gradient, sum(a.gradient for a in alone) / NUM_TASKS) < SAME
    direction = torch.linspace(-1.0, 1.0, len(seen.params), dtype=torch.float64)
    products = [a.curvature(direction) for a in alone]
    assert relative(seen.curvature(direction), sum(products) / NUM_TASKS) < SAME
    shifted = seen.params + 0.01 * direction
    loss, kl = zip(*(a.evaluate(shifted) for a in alone), strict=True)
    assert seen.evaluate(shifted) == pytest.approx((sum(loss) / NUM_TASKS, sum(kl) / NUM_TASKS), rel=SAME)


@pytest.mark.parametrize("tasks_per_chunk", [1, 3, NUM_TASKS])
def test_promp_gradient_is_the_mean_over_tasks(tasks_per_chunk):
    loss, gradient = promp_value_and_gradient(promp(tasks_per_chunk, outer_steps=1), PARAMS, HISTORY)
    alone = [promp_value_and_gradient(promp(outer_steps=1), PARAMS, one_task(HISTORY, k)) for k in range(NUM_TASKS)]
    assert loss == pytest.approx(sum(value for value, _ in alone) / NUM_TASKS, rel=SAME)
    assert relative(gradient, sum(g for _, g in alone) / NUM_TASKS) < SAME


@pytest.mark.parametrize("tasks_per_chunk", [1, 3])
def test_updates_do_not_depend_on_the_chunks(tasks_per_chunk):
    before = LearnerState(PARAMS, adam_init(PARAMS).tree())
    for learner in (maml, promp):
        whole, _ = learner().update(before, of(HISTORY), RNG)
        chunked, _ = learner(tasks_per_chunk=tasks_per_chunk).update(before, of(HISTORY), RNG)
        assert relative(flatten(whole.shared), flatten(PARAMS)) > 1e-4  # it moved
        # conjugate gradients on a curvature with damping 1e-5 amplify rounding by up to 1e5; Adam divides by |g|
        assert relative(flatten(chunked.shared), flatten(whole.shared)) < 1e-9


@pytest.mark.parametrize("learner", ["maml", "promp"])
def test_updates_do_not_depend_on_the_number_of_threads(learner):
    made, before = {"maml": maml, "promp": promp}[learner](tasks_per_chunk=1), torch.get_num_threads()
    updated = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            updated.append(made.update(LearnerState(PARAMS, adam_init(PARAMS).tree()), of(HISTORY), RNG)[0])
        finally:
            torch.set_num_threads(before)
    assert torch.equal(flatten(updated[0].shared), flatten(updated[1].shared))  # to the last bit


def test_dice_of_episodes_in_a_row_equals_dice_of_episodes_side_by_side():
    """Two episodes of two steps in each copy, against twice as many copies of one: no product crosses the border."""
    elapsed = (torch.arange(STEPS) % 2).view(1, -1, 1)
    in_a_row = replace(HISTORY[0], elapsed=elapsed.expand_as(HISTORY[0].elapsed))

    def side_by_side(x):  # [K, 2·2, B, ...] -> [K, 2, 2·B, ...]
        return x.unflatten(1, (2, 2)).transpose(1, 2).flatten(2, 3)

    gains = estimate_advantages(in_a_row, LinearFeatureBaseline(SPEC.horizon, 0.9), 0.8)
    other, other_gains = in_a_row.map(side_by_side), Advantages(*map(side_by_side, vars(gains).values()))
    losses = dice_loss(POLICY.unroll(PARAMS, in_a_row), in_a_row, gains)
    others = dice_loss(POLICY.unroll(PARAMS, other), other, other_gains)
    assert losses.tolist() == pytest.approx(others.tolist(), rel=1e-10)  # the losses are small differences


def soiled(rollout, seed):
    """The rollout with the second episode of copy 0 and all of copy 2 not valid, and with garbage in them."""
    garbage = torch.zeros_like(rollout.valid)
    garbage[:, STEPS - 1, 0] = True
    garbage[:, :, 2] = True
    rng = torch.Generator().manual_seed(seed)

    def soil(x):
        if x.dtype in (torch.bool, torch.int64):
            return x
        spots = garbage.view(*garbage.shape, *(1,) * (x.dim() - 3))
        return torch.where(spots, torch.randn(x.shape, generator=rng, dtype=x.dtype), x)

    return replace(rollout.map(soil), valid=~garbage)


@pytest.mark.parametrize("inner_loss", INNER_LOSSES)
def test_what_is_not_valid_does_not_matter(inner_loss):
    first, second = ([soiled(rollout, seed) for rollout in HISTORY] for seed in (1, 2))
    assert not torch.equal(first[0].obs, second[0].obs)
    one, two = adapt_all(maml(inner_loss), first), adapt_all(maml(inner_loss), second)
    for name in one:
        assert relative(one[name], two[name]) < SAME
    for copies in (0, 3):
        learner = maml(inner_loss, curvature_episodes=copies)
        seen = [trust_region_inputs(learner, PARAMS, history) for history in (first, second)]
        assert relative(seen[0].gradient, seen[1].gradient) < SAME
        direction = torch.linspace(-1.0, 1.0, len(seen[0].params), dtype=torch.float64)
        assert relative(seen[0].curvature(direction), seen[1].curvature(direction)) < SAME
        assert seen[0].evaluate(seen[0].params) == pytest.approx(seen[1].evaluate(seen[1].params), rel=SAME)
    gradients = [promp_value_and_gradient(promp(outer_steps=1), PARAMS, history)[1] for history in (first, second)]
    assert relative(gradients[0], gradients[1]) < SAME


def test_valid_steps_do_matter():
    """Without this the test above would pass on a learner that ignores its data."""
    changed = [replace(r, reward=r.reward + torch.arange(STEPS).double().view(1, -1, 1)) for r in HISTORY]
    assert relative(adapt_all(maml(), changed)["layer1.bias"], adapt_all(maml(), HISTORY)["layer1.bias"]) > 1e-3


def test_adam_equals_its_formula_number_by_number():
    rng = torch.Generator().manual_seed(0)
    params = {"a": torch.randn((2, 3), generator=rng).double(), "b": torch.randn(3, generator=rng).double()}
    state = adam_init(params)
    numbers = flatten(params).tolist()
    first, second = [0.0] * len(numbers), [0.0] * len(numbers)
    for step in range(1, 6):
        grads = {name: torch.randn(value.shape, generator=rng).double() for name, value in params.items()}
        params, state = adam_step(params, grads, state, lr=0.01)
        for i, g in enumerate(flatten(grads).tolist()):
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.999 * second[i] + 0.001 * g * g
            corrected = first[i] / (1.0 - 0.9**step), second[i] / (1.0 - 0.999**step)
            numbers[i] -= 0.01 * corrected[0] / (corrected[1] ** 0.5 + 1e-8)
    assert flatten(params).tolist() == pytest.approx(numbers, rel=SAME)


def test_promp_takes_adam_steps_on_its_gradient():
    """Three outer steps on the same rollouts, each from the gradient at the parameters so far."""
    history = random_history(NUM_STEPS, NUM_TASKS, seed=8)
    params, adam = PARAMS, adam_init(PARAMS)
    for _ in range(3):
        _, gradient = promp_value_and_gradient(promp(outer_steps=1), params, history)
        parts = gradient.split([value.numel() for value in params.values()])
        grads = {name: part.view(params[name].shape) for name, part in zip(params, parts, strict=True)}
        params, adam = adam_step(params, grads, adam, lr=ProMPConfig().meta_lr)
    state, _ = promp().update(LearnerState(PARAMS, adam_init(PARAMS).tree()), of(history), RNG)
    # the first step divides g by |g| + 1e-8: rounding of g counts for as much as itself
    assert relative(flatten(state.shared), flatten(params)) < 1e-9
