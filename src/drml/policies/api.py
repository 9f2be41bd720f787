"""The policy seam: functions from parameters and observations to action distributions."""

from typing import Protocol

from torch import Tensor

from drml.core.distribution import Distribution
from drml.core.rng import Streams
from drml.core.tree import Bounds, Params, Tree
from drml.core.types import Noise, Rollout


class Policy(Protocol):
    """A policy is a pair of pure functions of its parameters: one step, and a whole rollout at once.

    Parameters are shared (shapes as `init` made them) or stacked `[K, ...]`, one set per task; every method takes
    both and tells them apart by their rank.
    """

    @property
    def noise(self) -> Noise:
        """Return the noise that turns one distribution into one action."""
        ...

    @property
    def bounds(self) -> Bounds:
        """Return the bounds of the parameters that have any; learners hold them within after every step."""
        ...

    def init(self, rng: Streams) -> Params:
        """Return initial shared parameters."""
        ...

    def initial_carry(self, num_tasks: int, copies: int) -> Tree:
        """Return the memory at the start, leaves `[K, B, ...]`; empty for a policy without memory."""
        ...

    def step(self, params: Params, obs: Tensor, carry: Tree) -> tuple[Distribution, Tree]:
        """Return the action distribution `[K, B]` at `obs` `[K, B, O]` and the next carry."""
        ...

    def remember(self, carry: Tree, action: Tensor, reward: Tensor, ended: Tensor) -> Tree:
        """Return the carry with what came of an action, `[K, B]` each; unchanged for a policy without memory.

        Args:
            carry: from `step`.
            action: `[K, B, A]` or `[K, B]`.
            reward: what it earned.
            ended: bool, whether the episode ended with it.
        """
        ...

    def unroll(self, params: Params, rollout: Rollout) -> Distribution:
        """Return the action distributions `[K, T, B]` at each step of a rollout; differentiable in `params`."""
        ...
