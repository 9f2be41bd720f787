"""Action distributions: frozen values with one `log_prob`, one `kl` and `sample(noise)`.

Shapes: leading axes are free (`[K, B]` while acting, `[K, T, B]` while learning); the action axis A, where there is
one, is last and is summed over here and nowhere else. Noise comes from outside, so that sampling is a function.
"""

import math
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

LOG_2PI = math.log(2.0 * math.pi)


class Distribution(Protocol):
    """A batch of action distributions."""

    def sample(self, noise: Tensor) -> Tensor:
        """Return actions; `noise` is what the policy's `noise` spec declares."""
        ...

    def mode(self) -> Tensor:
        """Return the most likely actions."""
        ...

    def log_prob(self, action: Tensor) -> Tensor:
        """Return log-probabilities (or log-densities), one per action."""
        ...

    def kl(self, other: Self) -> Tensor:
        """Return KL(self || other), one per element."""
        ...

    def entropy(self) -> Tensor:
        """Return the entropies in nats."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return the defining tensors by field name."""
        ...

    def replace(self, tensors: dict[str, Tensor]) -> Self:
        """Return the same kind of distribution with other defining tensors."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussian: `mean [..., A]` and `log_std [..., A]`, which broadcast against each other."""

    mean: Tensor
    log_std: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return mean + std * noise, for standard normal `noise [..., A]`."""
        return torch.addcmul(self.mean, self.log_std.exp(), noise)

    def mode(self) -> Tensor:
        """Return the mean."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """Return Σ_a −½((a − μ)/σ)² − log σ − ½ log 2π, `[...]`."""
        scaled = (action - self.mean) * (-self.log_std).exp()
        constant = self.log_std.sum(-1) + 0.5 * LOG_2PI * action.shape[-1]
        return -0.5 * scaled.square().sum(-1) - constant

    def kl(self, other: Self) -> Tensor:
        """Return Σ_a log(σ₂/σ₁) + (σ₁² + (μ₁ − μ₂)²)/(2σ₂²) − ½, `[...]`."""
        ratio = (2.0 * (self.log_std - other.log_std)).exp()
        shift = ((self.mean - other.mean) * (-other.log_std).exp()).square()
        return (0.5 * (ratio + shift - 1.0) + other.log_std - self.log_std).sum(-1)

    def entropy(self) -> Tensor:
        """Return Σ_a log σ + ½(1 + log 2π), `[...]`."""
        per_action = self.log_std + 0.5 * (1.0 + LOG_2PI)
        return per_action.expand_as(self.mean).sum(-1)

    def tensors(self) -> dict[str, Tensor]:
        """Return mean and log_std."""
        return {"mean": self.mean, "log_std": self.log_std}

    def replace(self, tensors: dict[str, Tensor]) -> "Gaussian":
        """Return a Gaussian of other tensors."""
        return Gaussian(**tensors)


@dataclass(frozen=True)
class Categorical:
    """Categorical over A actions: `logits [..., A]`, normalised (a log-softmax) by construction; −∞ is never taken."""

    logits: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Return the action whose cumulative-probability interval holds `noise [...]`, uniform on [0, 1); int64."""
        cumulative = self.logits.exp().cumsum(-1)
        below = (noise.unsqueeze(-1) >= cumulative).sum(-1)
        return below.clamp_max(self.logits.shape[-1] - 1)  # rounding can leave the last sum just below 1

    def mode(self) -> Tensor:
        """Return the most likely action."""
        return self.logits.argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Return log p(action), `action [...]` int64."""
        return self.logits.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def kl(self, other: Self) -> Tensor:
        """Return Σ_a p(a) (log p(a) − log q(a)), `[...]`, with 0 log 0 = 0; infinite where q(a) = 0 < p(a)."""
        difference = (self.logits - other.logits).masked_fill(self._impossible, 0.0)
        return (self.logits.exp() * difference).sum(-1)

    def entropy(self) -> Tensor:
        """Return −Σ_a p(a) log p(a), `[...]`, with 0 log 0 = 0."""
        return -(self.logits.exp() * self.logits.masked_fill(self._impossible, 0.0)).sum(-1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the logits."""
        return {"logits": self.logits}

    def replace(self, tensors: dict[str, Tensor]) -> "Categorical":
        """Return a Categorical of other logits."""
        return Categorical(**tensors)

    @property
    def _impossible(self) -> Tensor:
        return self.logits == -math.inf
