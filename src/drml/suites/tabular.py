"""Tabular Markov decision processes, drawn at random.

    s₀ = 0        s' ~ P(· | s, a)        r = R(s, a) + σ ε, ε ~ N(0, 1)

The observation is the state, one-hot.
"""

from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import BlockNoise, Streams
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import BatchEnv, EnvOptions, Suite
from drml.envs.native import ROWS_PER_BLOCK, NativeEnv, Outcome, native_suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Dirichlet, Normal

SUM_TOLERANCE = 1e-4  # of float32 probabilities that should sum to 1


@final
@dataclass(frozen=True)
class Mdp:
    """The physics of finite MDPs; the state is an index `[K, B]` int64. Tables are flat: row (k S + s) A + a."""

    reward_mean: Tensor
    """`[K * S * A]`."""
    cumulative: Tensor
    """`[K * S * A, S]` cumulative transition probabilities; the last is 1."""
    first_row: Tensor
    """`[K, 1]` int64, k S."""
    num_actions: int
    """A."""
    reward_std: float
    """σ, standard deviation of a reward around its mean."""
    reward_noise: BlockNoise
    """Rows `[K, B]`, standard normal."""
    transition_noise: BlockNoise
    """Rows `[K, B]`, uniform."""
    one_hot: Tensor
    """`[S, S]` identity."""
    zero: Tensor
    """`[K, B]` int64: the first state, everywhere."""
    never: Tensor
    """`[K, B]` bool, False."""

    def start(self, t: int) -> Tensor:
        """Return state 0."""
        return self.zero

    def observe(self, state: Tensor) -> Tensor:
        """Return the one-hot state, `[K, B, S]`."""
        return torch.nn.functional.embedding(state, self.one_hot)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Draw the reward and the next state by inverting the cumulative probabilities."""
        row = (self.first_row + state) * self.num_actions + action  # [K, B]
        unit = self.transition_noise.row(t).to(row.device).contiguous()  # searchsorted warns of strided input
        cumulative = torch.nn.functional.embedding(row, self.cumulative)  # [K, B, S]
        following = torch.searchsorted(cumulative, unit.unsqueeze(-1), right=True).squeeze(-1)
        reward = self.reward_mean.take(row)
        if self.reward_std > 0.0:
            reward = reward + self.reward_std * self.reward_noise.row(t).to(row.device)
        return Outcome(following, reward, self.never)


def _begin(reward_std: float, tasks: Tasks, copies: int, rng: Streams) -> Mdp:
    reward_mean, transition = tasks.params["reward_mean"], tasks.params["transition"]
    num_tasks, num_states, num_actions = reward_mean.shape
    total = transition.sum(-1)
    if bool((transition < 0.0).any()) or bool(((total - 1.0).abs() > SUM_TOLERANCE).any()):
        raise InputError("task parameter 'transition' must hold probabilities that sum to 1 over its last axis")
    cumulative = transition.double().cumsum(-1)
    cumulative = (cumulative / cumulative[..., -1:]).float()  # ends in exactly 1: no state of probability 0 is drawn
    zero = torch.zeros((num_tasks, copies), dtype=torch.int64, device=transition.device)
    return Mdp(
        reward_mean=reward_mean.flatten(),
        cumulative=cumulative.flatten(0, 2),
        first_row=torch.arange(num_tasks, device=transition.device).unsqueeze(1) * num_states,
        num_actions=num_actions,
        reward_std=reward_std,
        reward_noise=BlockNoise(rng["reward"], tasks.ids, copies, "normal", (), ROWS_PER_BLOCK),
        transition_noise=BlockNoise(rng["transition"], tasks.ids, copies, "uniform", (), ROWS_PER_BLOCK),
        one_hot=torch.eye(num_states, device=transition.device),
        zero=zero,
        never=zero.bool(),
    )


def _spec(num_states: int, num_actions: int, horizon: int) -> EnvSpec:
    return EnvSpec(num_states, ActionSpec("discrete", num_actions), horizon, flags=tuple(range(num_states)))


def tabular_env(
    num_states: int, num_actions: int, horizon: int, options: EnvOptions, reward_std: float = 1.0
) -> BatchEnv:
    """Return an environment of MDPs given by hand, as task parameters.

    Tasks hold `reward_mean [K, S, A]` and `transition [K, S, A, S]`, whose last axis sums to 1. Episodes start in state
    0 and are truncated after `horizon` steps; rewards are normal with standard deviation `reward_std`.
    """
    shapes = {"reward_mean": (num_states, num_actions), "transition": (num_states, num_actions, num_states)}
    return NativeEnv(_spec(num_states, num_actions, horizon), shapes, partial(_begin, reward_std), options)


SUITES: tuple[Suite, ...] = (
    native_suite(
        "tabular-mdp-rl2-v1",
        "Random MDPs with 10 states and 5 actions; one episode is 10 steps from state 0.",
        "Duan et al. 2016 (RL²), section 3.2: mean rewards N(1, 1), reward noise N(0, 1), transitions Dirichlet(1).",
        TaskDistribution({"reward_mean": Normal(1.0, 1.0, (10, 5)), "transition": Dirichlet(1.0, (10, 5, 10))}),
        _spec(num_states=10, num_actions=5, horizon=10),
        partial(_begin, 1.0),
    ),
)
"""The published random MDPs."""
