"""Functional SGD and Adam: a step is a function from (parameters, gradient, state) to (parameters, state)."""

from typing import NamedTuple, cast

import torch
from torch import Tensor

from drml.core.tree import Params, Tree, params_map


def sgd_step(params: Params, grads: Params, lr: float | Tensor) -> Params:
    """Return θ − α g, differentiable in all its arguments; α is a number or a tensor that fits each g."""
    return params_map(lambda p, g: p - lr * g, params, grads)


class AdamState(NamedTuple):
    """First and second moment of the gradient, and the number of steps taken."""

    first: Params
    """m, running mean of the gradient, as the parameters are shaped."""
    second: Params
    """v, running mean of its square."""
    num_steps: Tensor
    """t, scalar float64."""

    def tree(self) -> Tree:
        """Return the state as a tree of tensors."""
        return {"first": dict(self.first), "second": dict(self.second), "num_steps": self.num_steps}

    @staticmethod
    def from_tree(tree: Tree) -> "AdamState":
        """Return the state that `tree` was made from."""
        return AdamState(cast(Params, tree["first"]), cast(Params, tree["second"]), cast(Tensor, tree["num_steps"]))


def adam_init(params: Params) -> AdamState:
    """Return the state before the first step."""
    num_steps = torch.zeros((), dtype=torch.float64)  # 1 − 0.999¹ would lose 4 of 7 digits in float32
    return AdamState(params_map(torch.zeros_like, params), params_map(torch.zeros_like, params), num_steps)


def adam_step(
    params: Params,
    grads: Params,
    state: AdamState,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> tuple[Params, AdamState]:
    """Return θ − α m̂ / (√v̂ + ε) and the next state, with bias-corrected moments m̂ and v̂.

        m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,   m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ)

    Source: Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.

    Args:
        params: θ.
        grads: g, by the names and of the shapes of θ.
        state: m, v and t − 1, from `adam_init` or the step before.
        lr: α.
        betas: β₁ and β₂.
        eps: ε.
    """
    beta1, beta2 = betas
    num_steps = state.num_steps + 1
    first = params_map(lambda m, g: beta1 * m + (1.0 - beta1) * g, state.first, grads)
    second = params_map(lambda v, g: beta2 * v + (1.0 - beta2) * g.square(), state.second, grads)
    correction1, correction2 = 1.0 - beta1**num_steps, 1.0 - beta2**num_steps

    def updated(p: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return (p - lr * (m / correction1) / ((v / correction2).sqrt() + eps)).to(p.dtype)  # a scalar p is promoted

    return params_map(updated, params, first, second), AdamState(first, second, num_steps)
