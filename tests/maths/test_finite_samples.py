"""What is lost when the inner step sees N pulls and the outer gradient forgets that θ chose which pulls it sees.

A bandit with one pull per episode, N pulls per inner batch: all Aᴺ batches D are listed, each one a row of the K axis.

    J(θ) = Σ_D P_θ(D) R(θ′_D),   θ′_D = θ + α/N Σₙ ∇ log π(aₙ) rₙ

    ∇J   = Σ_D P_θ(D) ( (∂θ′_D/∂θ)ᵀ ∇R(θ′_D)  +  R(θ′_D) Σₙ ∇ log π(aₙ) )

The last term is the score. MAML and ProMP leave it out, the paper of E-MAML (Stadie et al. 2018) puts it back.
"""

import itertools

import pytest
import torch
from oracle import LOSSES, relative_error
from torch import Tensor

from drml.core.distribution import Categorical
from drml.core.tree import stack_shared
from drml.core.types import Advantages, FinalObs, Rollout
from drml.learning.adapt import GradientAdaptation, InnerConfig
from drml.learning.losses import likelihood_ratio_loss
from drml.policies.mlp import CategoricalMLP

ARM_REWARDS = torch.tensor([1.0, 0.3, -0.4], dtype=torch.float64)
LOGITS = torch.tensor([0.2, -0.1, 0.5], dtype=torch.float64)
PULLS = 3
ALPHA = 0.7
POLICY = CategoricalMLP(obs_size=1, num_actions=3, hidden=())
BATCHES = torch.tensor(list(itertools.product(range(3), repeat=PULLS)))  # [Aᴺ, N]
SCORES_OUT = torch.eye(3, dtype=torch.float64)


def scores(logits: Tensor, arms: Tensor) -> Tensor:
    """∇ log π(a) = onehot(a) − π, `[..., A]`."""
    return SCORES_OUT[arms] - logits.softmax(-1)


def batch_probability(logits: Tensor) -> Tensor:
    """P(D), `[Aᴺ]`."""
    return logits.softmax(-1)[BATCHES].prod(-1)


def adapted_return(logits: Tensor, alpha: float) -> Tensor:
    """R(θ′_D) `[Aᴺ]`, from the closed form of the score."""
    step = (scores(logits, BATCHES) * ARM_REWARDS[BATCHES].unsqueeze(-1)).mean(1)
    return (logits + alpha * step).softmax(-1) @ ARM_REWARDS


def exact_gradient(alpha: float) -> Tensor:
    """∇J by autograd through the enumeration."""
    logits = LOGITS.clone().requires_grad_()
    objective = batch_probability(logits) @ adapted_return(logits, alpha)
    return torch.autograd.grad(objective, logits)[0]


def score_term(alpha: float) -> Tensor:
    """Σ_D P(D) R(θ′_D) Σₙ ∇ log π(aₙ)."""
    return (batch_probability(LOGITS) * adapted_return(LOGITS, alpha)) @ scores(LOGITS, BATCHES).sum(1)


def pulls_rollout(arms: Tensor, acting_logits: Tensor) -> Rollout:
    """One pull per copy, `arms` `[K, B]`, acted with `acting_logits` `[K, A]`."""
    shape = (len(arms), 1, arms.shape[1])
    action, off = arms.unsqueeze(1), torch.zeros(shape, dtype=torch.bool)
    acting = Categorical(torch.log_softmax(acting_logits, -1)[:, None, None].expand(*shape, 3))
    obs = torch.zeros((*shape, 1), dtype=torch.float64)  # zero: only the biases, which are the logits, matter
    reward, elapsed = ARM_REWARDS[action], torch.zeros(shape, dtype=torch.int64)
    return Rollout(
        obs, action, reward, ~off, off, ~off, FinalObs.dense(obs), elapsed, acting.log_prob(action), acting, {}, {}
    )


def library_gradient(alpha: float, inner_loss: str, order: int) -> Tensor:
    """What the library computes, averaged over all inner batches: no term for the choice of the batch."""
    config = InnerConfig(lr=alpha)
    adaptation = GradientAdaptation(POLICY, LOSSES[inner_loss], config, order)
    bias = LOGITS.clone().requires_grad_()
    shared = {"layer0.weight": torch.zeros((1, 3), dtype=torch.float64, requires_grad=True), "layer0.bias": bias}
    inner = pulls_rollout(BATCHES, LOGITS.expand(len(BATCHES), 3))
    weight = torch.full(inner.reward.shape, 1.0 / PULLS, dtype=torch.float64)
    adapted = adaptation.step(stack_shared(shared, len(BATCHES)), inner, Advantages(inner.reward, weight), 0)
    acting = adapted["layer0.bias"].detach()
    outer = pulls_rollout(torch.arange(3).expand(len(BATCHES), 3), acting)  # each arm once, weighted by π_θ′
    outer_advantages = Advantages(outer.reward, acting.softmax(-1).unsqueeze(1))
    losses = likelihood_ratio_loss(POLICY.unroll(adapted, outer), outer, outer_advantages)
    return -torch.autograd.grad(batch_probability(LOGITS) @ losses, bias)[0]


def test_log_likelihood_with_the_score_term_is_exact():
    total = library_gradient(ALPHA, "log_likelihood", order=2) + score_term(ALPHA)
    assert relative_error(total, exact_gradient(ALPHA)) < 1e-14  # sums of 27 terms below 1


@pytest.mark.parametrize("inner_loss", ["likelihood_ratio", "dice"])
def test_squares_of_scores_stand_in_for_the_score_term(inner_loss):
    """ρ adds α/N Σₙ r sₙ sₙᵀ ∇R(θ′) to the estimate, which is the score term to first order in α."""
    scored = scores(LOGITS, BATCHES)
    squares = torch.einsum("dn,dnp,dnq->dpq", ARM_REWARDS[BATCHES], scored, scored) / PULLS
    step = (scored * ARM_REWARDS[BATCHES].unsqueeze(-1)).mean(1)
    pi = (LOGITS + ALPHA * step).softmax(-1)
    outer = pi * (ARM_REWARDS - (pi @ ARM_REWARDS).unsqueeze(-1))  # ∇R(θ′_D)
    stand_in = ALPHA * torch.einsum("d,dpq,dq->p", batch_probability(LOGITS), squares, outer)
    bias = library_gradient(ALPHA, inner_loss, order=2) - exact_gradient(ALPHA)
    assert relative_error(bias, stand_in - score_term(ALPHA)) < 1e-12  # a difference of numbers 100 times as large


@pytest.mark.parametrize(
    ("inner_loss", "order", "expected"),
    [
        ("log_likelihood", 2, 0.1144),
        ("likelihood_ratio", 2, 0.002376),
        ("dice", 2, 0.002376),
        ("log_likelihood", 1, 0.07843),
    ],
)
def test_relative_bias_without_the_score_term(inner_loss, order, expected):
    """The figures of docs/estimators.md."""
    error = relative_error(library_gradient(ALPHA, inner_loss, order), exact_gradient(ALPHA))
    assert error == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("inner_loss", "order", "power"),
    [("log_likelihood", 2, 1), ("log_likelihood", 1, 1), ("likelihood_ratio", 2, 2), ("dice", 2, 2)],
)
def test_bias_shrinks_with_the_step_size(inner_loss, order, power):
    errors = [(library_gradient(alpha, inner_loss, order) - exact_gradient(alpha)).norm() for alpha in (2e-3, 1e-3)]
    # the next order in α changes the ratio by a share of about α times derivatives of order 1
    assert float(errors[0] / errors[1]) == pytest.approx(2.0**power, rel=1e-2)
