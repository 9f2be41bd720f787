"""Policies without a memory: the carry is empty, and all steps of a rollout are looked at at once."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor

from drml.core.tree import Params, Tree
from drml.core.types import Rollout

D = TypeVar("D")
"""A kind of action distribution."""


class Memoryless(ABC, Generic[D]):
    """A policy whose distribution is a function of parameters and observation alone."""

    @abstractmethod
    def distribution(self, params: Params, obs: Tensor) -> D:
        """Return the action distributions `[K, ...]` at observations `[K, ..., O]`."""

    def initial_carry(self, num_tasks: int, copies: int) -> Tree:
        """Return the empty memory."""
        return {}

    def step(self, params: Params, obs: Tensor, carry: Tree) -> tuple[D, Tree]:
        """Return the action distribution `[K, B]` and the empty memory."""
        return self.distribution(params, obs), carry

    def remember(self, carry: Tree, action: Tensor, reward: Tensor, ended: Tensor) -> Tree:
        """Return the empty memory."""
        return carry

    def unroll(self, params: Params, rollout: Rollout) -> D:
        """Return the action distributions `[K, T, B]` of a rollout."""
        return self.distribution(params, rollout.obs)
