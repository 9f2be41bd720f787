"""Joint actions: choices and numbers of one action, independent of each other given the observation.

    log p(a) = Σᵢ log pᵢ(aᵢ) + log N(x; μ, σ²)        so are entropy and KL sums over the parts, exactly

A product of n choices has Σ logits, where one choice among all combinations would have Π. An action is a row of
float32 `[..., n + m]`: the number of the option of each choice, then the m continuous ones.
"""

import math
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from drml.core.distribution import Categorical, Gaussian

FORBIDDEN = -1e30
"""Logit of what is never taken: its probability is exactly 0, and every product and difference with it is finite."""


@dataclass(frozen=True)
class Masked(Categorical):
    """Categorical of which some options are never taken: their logits are `FORBIDDEN`."""

    def sample(self, noise: Tensor) -> Tensor:
        """Return the option whose cumulative-probability interval holds `noise [...]`, and never a forbidden one."""
        allowed = self.logits > 0.5 * FORBIDDEN
        cumulative = self.logits.exp().cumsum(-1)
        options = torch.arange(self.logits.shape[-1], device=self.logits.device)
        last = torch.where(allowed, options, 0).amax(-1)
        beyond = torch.where(allowed & (cumulative > noise.unsqueeze(-1)), options, len(options)).amin(-1)
        return torch.minimum(beyond, last)  # rounding can leave the last sum just below 1

    def replace(self, tensors: dict[str, Tensor]) -> "Masked":
        """Return one of other logits."""
        return Masked(**tensors)


@final
@dataclass(frozen=True)
class Joint:
    """Choices `[..., n]` of W options at most, those that one of them lacks forbidden, and numbers `[..., m]`."""

    choices: Masked
    numbers: Gaussian | None = None

    def sample(self, noise: Tensor) -> Tensor:
        """Return actions for `noise [..., n + m]`: standard normal, or uniform on [0, 1) where there are no numbers."""
        if self.numbers is None:
            return self.choices.sample(noise).to(noise.dtype)
        own, rest = noise[..., : self._num_choices], noise[..., self._num_choices :]
        uniform = 0.5 * (1.0 + torch.erf(own * math.sqrt(0.5)))  # P(x ≤ z) of a standard normal x
        return torch.cat([self.choices.sample(uniform).to(noise.dtype), self.numbers.sample(rest)], -1)

    def mode(self) -> Tensor:
        """Return the most likely option of each choice, and the means."""
        options = self.choices.mode().to(self.choices.logits.dtype)
        return options if self.numbers is None else torch.cat([options, self.numbers.mode()], -1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Return Σᵢ log pᵢ(aᵢ) and the log-density of the numbers, `[...]`."""
        found = self.choices.log_prob(action[..., : self._num_choices].long()).sum(-1)
        return found if self.numbers is None else found + self.numbers.log_prob(action[..., self._num_choices :])

    def kl(self, other: Self) -> Tensor:
        """Return the sum of the parts' KL, `[...]`."""
        found = self.choices.kl(other.choices).sum(-1)
        return found if self.numbers is None or other.numbers is None else found + self.numbers.kl(other.numbers)

    def entropy(self) -> Tensor:
        """Return the sum of the parts' entropies, `[...]`."""
        found = self.choices.entropy().sum(-1)
        return found if self.numbers is None else found + self.numbers.entropy()

    def tensors(self) -> dict[str, Tensor]:
        """Return the logits `[..., n, W]`, and mean and log_std `[..., m]` where there are numbers."""
        return self.choices.tensors() | ({} if self.numbers is None else self.numbers.tensors())

    @staticmethod
    def of(logits: Tensor, mean: Tensor | None = None, log_std: Tensor | None = None) -> "Joint":
        """Return that of these tensors."""
        return Joint(Masked(logits), None if mean is None or log_std is None else Gaussian(mean, log_std))

    def replace(self, tensors: dict[str, Tensor]) -> "Joint":
        """Return a joint distribution of other tensors."""
        return Joint.of(**tensors)

    @property
    def _num_choices(self) -> int:
        return self.choices.logits.shape[-2]
