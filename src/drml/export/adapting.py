"""The inner step of a gradient learner as a graph, and the parameters that it starts from.

    θ′ = θ − α ∇ L(τ; θ),  held within the policy's bounds                     one call: one inner step of one agent

τ is a list of steps: all episodes of the agent, one after the other. The graph is the learner's own code, traced
through its backward pass, for any number of steps.
"""

from collections.abc import Mapping, Sequence
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import conv2d, conv_transpose2d

from drml.core.distribution import Categorical
from drml.core.tree import Params, held_within, params_map
from drml.core.types import Advantages, FinalObs, Rollout
from drml.export.graph import Graph, Weights, given_parameters, parameter_inputs
from drml.export.quiet import quietly
from drml.learning.adapt import GradientAdaptation
from drml.learning.losses import dice_loss, log_likelihood_loss
from drml.learning.optim.first_order import sgd_step

ADAPTED = "adapted."
"""Prefix of an output that is an adapted parameter."""
ADAPT_STEP = "adapt_step"
STEPS = "steps"
EXAMPLE_STEPS = 7
DOUBLINGS = 24
"""A running maximum sees 2²⁴ steps back, more than an agent takes before it adapts."""
MEANING = {
    "observations": "observations of all steps, episode after episode, each laid out as for acting",
    "actions": "the policy_action taken at each step",
    "advantages": "how much better each action was than expected, with mean 0 and standard deviation 1",
    "weights": "weight of each step, of sum 1; 0 at steps that must not be learned from",
    "log_probs": "log-probability (or log-density) of each action under the parameters that acted",
    "elapsed": "steps of the episode before this one, 0 at its first",
    ADAPT_STEP: "inner steps that the agent has taken before this one: the step size may differ at the first",
}


@final
class Adaptation(nn.Module):
    """One inner step of one agent."""

    def __init__(self, adaptation: GradientAdaptation) -> None:
        super().__init__()
        self._adaptation = adaptation

    def forward(self, inputs: Mapping[str, Tensor]) -> Params:
        """Return the adapted parameters by name, of one agent that acted in one long row."""
        adaptation, config = self._adaptation, self._adaptation.config
        rollout = _rollout(inputs)
        advantages = Advantages(_row(inputs["advantages"]), _row(inputs["weights"]))
        with torch.enable_grad():
            leaves = params_map(lambda value: value.detach().requires_grad_(), given_parameters(inputs))
            new = adaptation.policy.unroll(leaves, rollout)
            grads = adaptation.gradient(leaves, new, rollout, advantages)
        with torch.no_grad():
            lr = torch.where(inputs[ADAPT_STEP] == 0, config.lr, config.later_lr)
            adapted = held_within(sgd_step(params_map(torch.detach, leaves), grads, lr), adaptation.policy.bounds)
        return {ADAPTED + name: value for name, value in adapted.items()}


@final
class Traced(nn.Module):
    """A function of named tensors as the elementary operations that it consists of, its backward pass among them."""

    def __init__(self, module: nn.Module, examples: Params) -> None:
        super().__init__()
        self._inputs = tuple(examples)
        with torch.no_grad():
            self._outputs = tuple(module(dict(examples)))

        def in_a_row(*values: Tensor) -> tuple[Tensor, ...]:
            return tuple(module(dict(zip(self._inputs, values, strict=True))).values())

        table = {
            torch.ops.aten.cummax.default: running_maximum,
            torch.ops.aten.convolution_backward.default: convolution_slopes,
        }
        apart = [value.clone() for value in examples.values()]  # one tensor given twice would be traced as one input
        with quietly():
            self.traced = make_fx(in_a_row, decomposition_table=table, tracing_mode="symbolic")(*apart)

    def forward(self, inputs: Mapping[str, Tensor]) -> Params:
        """Return the outputs by name."""
        values: tuple[Tensor, ...] = self.traced(*(inputs[name] for name in self._inputs))
        return dict(zip(self._outputs, values, strict=True))


@final
class Parameters(nn.Module):
    """The parameters that an agent starts from."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.weights = Weights(params)

    def forward(self, inputs: Mapping[str, Tensor]) -> Params:
        """Return the parameters under the names that they have as inputs."""
        return {name: value.clone() for name, value in parameter_inputs(cast(Params, self.weights())).items()}


def adaptation_graph(adaptation: GradientAdaptation, num_seen: int, params: Params) -> Graph:
    """Return the graph of an inner step, with the inputs that its loss reads.

    Args:
        adaptation: the learner's.
        num_seen: numbers of an observation.
        params: shared parameters, for names and shapes.
    """
    with torch.no_grad():
        distribution, _ = adaptation.policy.step(params, torch.zeros(1, 1, num_seen), {})
    row = torch.zeros(EXAMPLE_STEPS)
    action = distribution.mode()
    actions = action[0].expand(EXAMPLE_STEPS, *action.shape[2:]).clone()
    inputs = {
        "observations": torch.zeros(EXAMPLE_STEPS, num_seen),
        "actions": actions,
        "advantages": row,
        "weights": row + 1.0 / EXAMPLE_STEPS,
    }
    inputs |= {} if adaptation.loss is log_likelihood_loss else {"log_probs": row}
    inputs |= {"elapsed": torch.arange(EXAMPLE_STEPS)} if adaptation.loss is dice_loss else {}
    rows = dict.fromkeys(inputs, STEPS)
    inputs |= {ADAPT_STEP: torch.tensor(0)} | parameter_inputs(params)
    about = "One inner step: the parameters adapted to all steps that the agent took since the last one."
    return Graph("adapt", about, Traced(Adaptation(adaptation), inputs).eval(), inputs, rows, MEANING)


def parameters_graph(params: Params) -> Graph:
    """Return the graph without inputs that gives the parameters that an agent starts from."""
    return Graph("parameters", "The parameters to start from.", Parameters(params).eval(), {}, {}, {})


def running_maximum(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the maximum of each entry and those before it along an axis, twice; few formats know that operation.

    The second value stands where torch gives positions, which nothing here reads.
    """
    at = torch.arange(x.shape[dim], device=x.device)
    for doubling in range(DOUBLINGS):
        x = torch.maximum(x, x.index_select(dim, (at - 2**doubling).clamp(min=0)))
    return x, x


def convolution_slopes(
    grad: Tensor,
    inputs: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    *rest: object,
) -> tuple[Tensor | None, Tensor | None, None]:
    """Return the gradients of a convolution of one group, `rest` ending in which are wanted, as convolutions.

    That of the weights is the convolution of the inputs with what arrives, each row of steps a channel.
    """
    to_inputs, to_weight, _ = cast("list[bool]", rest[-1])
    slopes: list[Tensor | None] = [None, None]
    if to_inputs:
        sides = zip(inputs.shape[2:], grad.shape[2:], weight.shape[2:], stride, padding, strict=True)
        left = [side + 2 * p - k - (made - 1) * s for side, made, k, s, p in sides]
        slopes[0] = conv_transpose2d(grad, weight, None, list(stride), list(padding), left)
    if to_weight:
        turned = conv2d(inputs.transpose(0, 1), grad.transpose(0, 1), None, 1, list(padding), list(stride))
        slopes[1] = turned[:, :, : weight.shape[2], : weight.shape[3]].transpose(0, 1)
    return slopes[0], slopes[1], None


def _rollout(inputs: Mapping[str, Tensor]) -> Rollout:
    """Return the steps as a rollout `[1, S, 1]`, with blanks for what no loss reads."""
    valid = _row(inputs["weights"]) > 0.0
    blank = torch.zeros_like(_row(inputs["weights"]))
    never = torch.zeros_like(valid)
    obs = _row(inputs["observations"])
    log_prob, elapsed = (_row(inputs[name]) if name in inputs else blank for name in ("log_probs", "elapsed"))
    return Rollout(
        obs=obs,
        action=_row(inputs["actions"]),
        reward=blank,
        terminated=never,
        truncated=never,
        valid=valid,
        final=FinalObs(torch.zeros_like(obs[0, :1, 0]), never.long()),
        elapsed=elapsed,
        log_prob=log_prob,
        acting=Categorical(blank),  # a placeholder: inner losses compare with log_prob
        first_carry={},
        last_carry={},
        taken=valid,
    )


def _row(x: Tensor) -> Tensor:
    """Return `[S, ...]` as `[1, S, 1, ...]`."""
    return x.unsqueeze(0).unsqueeze(2)
