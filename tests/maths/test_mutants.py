"""The tests of this folder are tried on wrong code: each mutant below must make its named test fail.

A mutant is one change of one source file. The package is imported afresh with that file's text changed, the tests
are imported on top of it, and the named one is called. So a row that no test catches is a gap in the tests, and a row
whose text is gone from the source has to be brought up to date.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import pytest

import drml

PACKAGE = Path(drml.__file__).parent
SHELF = {"oracle", "numeric"} | {path.stem for path in Path(__file__).parent.glob("test_*.py")}


class Mutant(NamedTuple):
    """Replace `old`, present exactly once in `file`, by `new`; then `test(*args)` must fail."""

    file: str
    old: str
    new: str
    test: str
    args: tuple[Any, ...] = ()


MUTANTS = {
    # the inner step and how it is differentiated
    "inner gradient taken as a constant": Mutant(
        "learning/adapt.py",
        "create_graph=self.order == 2",
        "create_graph=False",
        "test_estimators.test_dice_is_exact",
        ("bandit", 1),
    ),
    "inner gradient detached": Mutant(
        "learning/optim/first_order.py",
        "p - lr * g, params",
        "p - lr * g.detach(), params",
        "test_estimators.test_dice_is_exact",
        ("bandit", 1),
    ),
    "orders swapped": Mutant(
        "algos/gradient/maml.py",
        "config.inner_loss, config.order,",
        "config.inner_loss, 3 - config.order,",
        "test_finite_differences.test_maml_gradient",
        ("log_likelihood", 1),
    ),
    "inner step goes uphill": Mutant(
        "learning/optim/first_order.py",
        "p - lr * g, params",
        "p + lr * g, params",
        "test_estimators.test_dice_is_exact",
        ("bandit", 1),
    ),
    "step sizes swapped": Mutant(
        "learning/adapt.py",
        "self.lr if adapt_step == 0 else self.later_lr",
        "self.later_lr if adapt_step == 0 else self.lr",
        "test_estimators.test_dice_is_exact",
        ("bandit", 2),
    ),
    "later inner steps reuse the first rollout": Mutant(
        "learning/adapt.py",
        "self.step(adapted, rollout, advantage, j)",
        "self.step(adapted, rollouts[0], advantages[0], j)",
        "test_batching.test_adapting_equals_gradient_steps_written_out",
        ("log_likelihood",),
    ),
    "adaptation carried from task to task": Mutant(
        "learning/optim/first_order.py",
        "p - lr * g, params",
        "p - lr * g.cumsum(0), params",
        "test_batching.test_adapting_all_tasks_equals_one_at_a_time",
        ("log_likelihood",),
    ),
    # the losses
    "episodes not told apart in dice": Mutant(
        "learning/losses.py",
        "torch.where(starts, time, 0)",
        "torch.zeros_like(log_ratio, dtype=torch.int64)",
        "test_batching.test_dice_of_episodes_in_a_row_equals_dice_of_episodes_side_by_side",
    ),
    "dice without the product up to the action": Mutant(
        "learning/losses.py",
        "((total - since_start).exp() - (before - since_start).exp())",
        "(total - since_start).exp()",
        "test_estimators.test_dice_is_exact",
        ("horizon 2", 1),
    ),
    "ratio detached": Mutant(
        "learning/losses.py",
        "return log_likelihood_ratio(new, rollout).exp()",
        "return log_likelihood_ratio(new, rollout).exp().detach() + 0.0 * new.log_prob(rollout.action)",
        "test_estimators.test_likelihood_ratio_is_exact_on_bandits",
        ("bandit", 1),
    ),
    "ratio upside down": Mutant(
        "learning/losses.py",
        "(new.log_prob(rollout.action) - rollout.log_prob)",
        "(rollout.log_prob - new.log_prob(rollout.action))",
        "test_estimators.test_likelihood_ratio_is_exact_on_bandits",
        ("bandit", 1),
    ),
    "log likelihood goes uphill": Mutant(
        "learning/losses.py",
        "-expectation(new.log_prob",
        "expectation(new.log_prob",
        "test_estimators.test_first_order_lacks_the_hessian_term",
        ("bandit", "log_likelihood"),
    ),
    "the greater of clipped and not": Mutant(
        "learning/losses.py",
        "torch.minimum(",
        "torch.maximum(",
        "test_finite_differences.test_clipped_surrogate_by_hand",
    ),
    "clipped on one side": Mutant(
        "learning/losses.py",
        "clamp(1.0 - clip_eps, 1.0 + clip_eps)",
        "clamp(max=1.0 + clip_eps)",
        "test_finite_differences.test_clipped_surrogate_by_hand",
    ),
    "KL the other way": Mutant(
        "learning/losses.py",
        "rollout.acting.kl(new)",
        "new.kl(rollout.acting)",
        "test_finite_differences.test_promp_loss_by_hand",
    ),
    # the distributions and the policy
    "log density without the standard deviation": Mutant(
        "core/distribution.py",
        "self.log_std.sum(-1) + 0.5 * LOG_2PI",
        "0.0 * self.log_std.sum(-1) + 0.5 * LOG_2PI",
        "test_finite_differences.test_gaussian_mlp_is_the_network_it_says",
    ),
    "KL without the standard deviations": Mutant(
        "core/distribution.py",
        " + other.log_std - self.log_std).sum(-1)",
        ").sum(-1)",
        "test_finite_differences.test_gaussian_mlp_is_the_network_it_says",
    ),
    "mean over the action's dimensions": Mutant(
        "core/distribution.py",
        "scaled.square().sum(-1)",
        "scaled.square().mean(-1)",
        "test_finite_differences.test_gaussian_mlp_is_the_network_it_says",
    ),
    "second derivative of tanh cut": Mutant(
        "policies/stacked.py",
        "tanh_backward(grads[0], y)",
        "tanh_backward(grads[0], y.detach())",
        "test_estimators.test_dice_is_exact",
        ("bandit", 1),
    ),
    # returns, baseline, advantages
    "gamma on the reward": Mutant(
        "learning/returns.py",
        "reward + gamma * next_value - value",
        "gamma * reward + next_value - value",
        "test_advantages.test_gae_by_hand",
    ),
    "gamma missing from the sum": Mutant(
        "learning/returns.py",
        "gamma * gae_lambda * (~ended)",
        "gae_lambda * (~ended)",
        "test_advantages.test_gae_by_hand",
    ),
    "sums run on over the end of an episode": Mutant(
        "learning/returns.py",
        "gae_lambda * (~ended).to(delta.dtype)",
        "gae_lambda * torch.ones_like(delta)",
        "test_advantages.test_gae_by_hand",
    ),
    "bootstrapped over a termination": Mutant(
        "learning/returns.py",
        "following.masked_fill(terminated, 0.0)",
        "following",
        "test_advantages.test_gae_by_hand",
    ),
    "not bootstrapped where looking ended": Mutant(
        "learning/returns.py",
        "torch.where(truncated, final_value, following)",
        "following.masked_fill(truncated, 0.0)",
        "test_advantages.test_gae_by_hand",
    ),
    "advantages centred across tasks": Mutant(
        "learning/returns.py",
        "gain - (share * gain).sum(axes, keepdim=True)",
        "gain - (share * gain).sum((0, *axes), keepdim=True) / len(gain)",
        "test_batching.test_adapting_all_tasks_equals_one_at_a_time",
        ("log_likelihood",),
    ),
    "advantages scaled across tasks": Mutant(
        "learning/returns.py",
        "(share * centred.square()).sum(axes, keepdim=True)",
        "(share * centred.square()).sum((0, *axes), keepdim=True)",
        "test_batching.test_adapting_all_tasks_equals_one_at_a_time",
        ("log_likelihood",),
    ),
    "steps that are not valid counted": Mutant(
        "learning/advantages.py",
        "rollout.valid.double(), (1, 2)",
        "torch.ones_like(advantage), (1, 2)",
        "test_batching.test_what_is_not_valid_does_not_matter",
        ("log_likelihood",),
    ),
    "baseline fitted across tasks": Mutant(
        "learning/linear_baseline.py",
        "weights = self._solve(features, returns, fitted)",
        "weights = self._solve(*(x.flatten(0, 1)[None] for x in (features, returns, fitted)))[[0] * len(returns)]",
        "test_batching.test_adapting_all_tasks_equals_one_at_a_time",
        ("log_likelihood",),
    ),
    "baseline fitted to episodes that were cut": Mutant(
        "learning/linear_baseline.py",
        "rollout.valid & ~is_cut",
        "rollout.valid",
        "test_advantages.test_advantages_equal_loops_over_one_copy_at_a_time",
    ),
    "rounding normalised like any advantage": Mutant(
        "learning/returns.py",
        "torch.where(std > smallest, centred / std, 0.0)",
        "centred / (std + 1e-8)",
        "test_normalisation.test_where_no_action_made_a_difference_advantages_are_zero",
        ("constant", 1.0, 0.99),
    ),
    "returns compared at all times at once": Mutant(
        "learning/returns.py",
        "at = time.flatten(1)",
        "at = 0 * time.flatten(1)",
        "test_normalisation.test_where_no_action_made_a_difference_advantages_are_zero",
        ("a function of the time", 1.0, 0.99),
    ),
    # the outer objectives
    "MAML's gradient not divided by K": Mutant(
        "algos/gradient/maml.py",
        "torch.stack(gradients).sum(0) / num_tasks",
        "torch.stack(gradients).sum(0)",
        "test_finite_differences.test_maml_gradient",
        ("log_likelihood", 1),
    ),
    "ProMP's gradient not divided by K": Mutant(
        "algos/gradient/promp.py",
        "g / num_tasks",
        "g",
        "test_finite_differences.test_promp_gradient",
        ("likelihood_ratio", 1),
    ),
    "ProMP's KL taken on the first step alone": Mutant(
        "algos/gradient/promp.py",
        "kl = kl + mean_kl(",
        "kl = kl if j else mean_kl(",
        "test_finite_differences.test_promp_loss_by_hand",
    ),
    "ProMP's KL summed instead of averaged over steps": Mutant(
        "algos/gradient/promp.py",
        "kl / (len(rollouts) - 1)",
        "kl",
        "test_finite_differences.test_promp_loss_by_hand",
    ),
    "curvature without the inner steps' derivative": Mutant(
        "algos/gradient/maml.py",
        "for step in (*steps, fisher, *reversed(steps)):",
        "for step in (fisher,):",
        "test_finite_differences.test_maml_curvature_is_the_hessian_of_the_mean_kl_where_the_adapted_policies_acted",
        (1,),
    ),
    "inner steps' derivatives multiplied in the wrong order": Mutant(
        "algos/gradient/maml.py",
        "for step in (*steps, fisher, *reversed(steps)):",
        "for step in (*reversed(steps), fisher, *steps):",
        "test_finite_differences.test_maml_curvature_is_the_hessian_of_the_mean_kl_where_the_adapted_policies_acted",
        (2,),
    ),
    "chain rule through the inner steps in the wrong order": Mutant(
        "algos/gradient/maml.py",
        "for step in reversed(steps):\n            gradient",
        "for step in steps:\n            gradient",
        "test_finite_differences.test_maml_gradient",
        ("log_likelihood", 2),
    ),
    "derivative of the inner step with the wrong sign": Mutant(
        "learning/adapt.py",
        "lambda v: v - lr * hessian(v)",
        "lambda v: v + lr * hessian(v)",
        "test_finite_differences.test_maml_gradient",
        ("log_likelihood", 1),
    ),
    "gradient of the first chunk alone": Mutant(
        "algos/gradient/maml.py",
        "torch.stack(gradients).sum(0) / num_tasks",
        "gradients[0] / num_tasks",
        "test_batching.test_maml_gradient_and_curvature_are_means_over_tasks",
        (1, 1),
    ),
    "ProMP's gradient of the first chunk alone": Mutant(
        "learning/by_parts.py",
        "torch.stack(gradients).sum(0)",
        "gradients[0]",
        "test_batching.test_promp_gradient_is_the_mean_over_tasks",
        (1,),
    ),
    # the optimisers
    "Adam without bias correction": Mutant(
        "learning/optim/first_order.py",
        "= 1.0 - beta1**num_steps, 1.0 - beta2**num_steps",
        "= 1.0, 1.0",
        "test_batching.test_adam_equals_its_formula_number_by_number",
    ),
    "sign of the residual": Mutant(
        "learning/optim/conjugate_gradient.py",
        "residual - step * curved",
        "residual + step * curved",
        "test_trust_region.test_conjugate_gradient_equals_the_dense_solution",
    ),
    "step uphill": Mutant(
        "learning/optim/trust_region.py",
        "direction = -conjugate_gradient(",
        "direction = conjugate_gradient(",
        "test_trust_region.test_step_goes_to_the_edge_of_the_region_along_the_natural_gradient",
    ),
    "step out of the region": Mutant(
        "learning/optim/trust_region.py",
        "torch.sqrt(2.0 * config.max_kl",
        "torch.sqrt(4.0 * config.max_kl",
        "test_trust_region.test_step_goes_to_the_edge_of_the_region_along_the_natural_gradient",
    ),
    "line search blind to the KL": Mutant(
        "learning/optim/trust_region.py",
        " and kl <= config.max_kl",
        "",
        "test_trust_region.test_line_search_takes_the_first_point_that_lowers_the_loss_within_the_region",
    ),
    "line search blind to the loss": Mutant(
        "learning/optim/trust_region.py",
        "< loss < loss_before",
        "< loss",
        "test_trust_region.test_line_search_takes_the_first_point_that_lowers_the_loss_within_the_region",
    ),
}


class ChangedSource(SourceFileLoader):
    """Loads one module of the package from text in place of its file."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        super().__init__(name, str(path))
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._text.encode(), self.path)

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)


def is_ours(name: str) -> bool:
    return name == "drml" or name.startswith("drml.") or name in SHELF


@contextmanager
def fresh_modules() -> Iterator[None]:
    """Forget the package and the tests on top of it, so that they are imported anew; afterwards put them back."""
    before = {name: module for name, module in sys.modules.items() if is_ours(name)}
    for name in before:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)


@contextmanager
def changed(file: str, text: str) -> Iterator[None]:
    """The package with the text of one of its files changed."""
    name = ".".join(["drml", *Path(file).with_suffix("").parts])
    finder = ChangedSource(name, PACKAGE / file, text)
    with fresh_modules():
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)


def named_test(path: str) -> Callable[..., None]:
    module, function = path.split(".")
    return getattr(importlib.import_module(module), function)


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    mutant = MUTANTS[name]
    text = (PACKAGE / mutant.file).read_text()
    assert text.count(mutant.old) == 1, f"{mutant.file} holds {mutant.old!r} {text.count(mutant.old)} times, not once"
    with changed(mutant.file, text.replace(mutant.old, mutant.new)):
        test = named_test(mutant.test)
        with pytest.raises(AssertionError):
            test(*mutant.args)


def test_every_named_test_passes_on_the_code_as_it_is():
    """So a mutant is caught for what it changes, not for how it is loaded."""
    file = "learning/losses.py"
    with changed(file, (PACKAGE / file).read_text()):
        for path, args in {(mutant.test, mutant.args) for mutant in MUTANTS.values()}:
            named_test(path)(*args)
