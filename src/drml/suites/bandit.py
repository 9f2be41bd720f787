"""Multi-armed bandits: each action pulls one of k arms, and one episode is n pulls.

    Bernoulli  r = 1 with probability p_a, else 0        Gaussian  r = μ_a + ε, ε ~ N(0, 1)

The observation is the constant 1: all that can be learned about a task is in the actions and rewards.
"""

from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from drml.core.rng import BlockNoise, Streams
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import Suite
from drml.envs.native import ROWS_PER_BLOCK, Outcome, native_suite
from drml.tasks.distribution import FINE_CELLS, TaskDistribution
from drml.tasks.parameter import Uniform

PUBLISHED_SETTINGS = ((5, 10), (5, 20), (5, 100), (2, 100), (10, 100), (50, 100))  # (k arms, n pulls)


@final
@dataclass(frozen=True)
class Bandit:
    """The physics of bandits; the state is the constant observation `[K, B, 1]`."""

    mean: Tensor
    """`[K, A]` the arms' mean rewards."""
    noise: BlockNoise
    """Rows `[K, B]`: uniform for Bernoulli rewards, standard normal for Gaussian ones."""
    gaussian: bool
    """True where rewards are Gaussian with standard deviation 1, not Bernoulli."""
    constant: Tensor
    """`[K, B, 1]` ones."""
    never: Tensor
    """`[K, B]` bool, False."""

    def start(self, t: int) -> Tensor:
        """Return the constant."""
        return self.constant

    def observe(self, state: Tensor) -> Tensor:
        """Return the constant."""
        return state

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Pull the arms `action [K, B]`."""
        mean = self.mean.gather(1, action)
        noise = self.noise.row(t).to(mean.device)
        return Outcome(state, mean + noise if self.gaussian else (noise < mean).float(), self.never)


def _begin(gaussian: bool, tasks: Tasks, copies: int, rng: Streams) -> Bandit:
    mean = tasks.params["mean"]
    noise = BlockNoise(rng["reward"], tasks.ids, copies, "normal" if gaussian else "uniform", (), ROWS_PER_BLOCK)
    constant = mean.new_ones(len(tasks), copies, 1)
    return Bandit(mean, noise, gaussian, constant, torch.zeros_like(constant[..., 0], dtype=torch.bool))


def bandit_suite(num_arms: int, num_pulls: int, *, gaussian: bool = False) -> Suite:
    """Return the suite of k-armed bandits with n pulls per episode and arm means uniform on [0, 1)."""
    kind = "gaussian" if gaussian else "bernoulli"
    source = (
        "tristandeleu/pytorch-maml-rl envs/bandit.py: Gaussian arms, means U[0, 1], standard deviation 1"
        if gaussian
        else "Duan et al. 2016 (RL²), section 3.1: Bernoulli arms, success probabilities U[0, 1]"
    )
    return native_suite(
        f"bandit-{kind}-k{num_arms}-n{num_pulls}-v1",
        f"{kind.capitalize()} bandit with {num_arms} arms; one episode is {num_pulls} pulls.",
        f"{source}. One episode holds all pulls and is truncated after the last.",
        TaskDistribution({"mean": Uniform(0.0, 1.0, (num_arms,))}, min_cells=FINE_CELLS),
        EnvSpec(obs_size=1, action=ActionSpec("discrete", num_arms), horizon=num_pulls),
        partial(_begin, gaussian),
    )


SUITES: tuple[Suite, ...] = (
    *(bandit_suite(num_arms, num_pulls) for num_arms, num_pulls in PUBLISHED_SETTINGS),
    bandit_suite(5, 100, gaussian=True),
)
"""The published bandits."""
