"""Outputs of a policy's network, and the action distribution that they stand for: one place for every policy.

    continuous    μ                                 N(μ, e^(2 log_std))
    discrete      logits                            softmax
    joint         logits of each choice, then μ     their product

`log_std` is a free parameter, and there is one for each continuous number.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from drml.core.distribution import Categorical, Gaussian
from drml.core.joint import FORBIDDEN, Joint, Masked
from drml.core.types import ActionSpec, Noise

ActionDistribution = Gaussian | Categorical | Joint


@final
@dataclass(frozen=True)
class Outputs:
    """Outputs for actions of one kind."""

    action: ActionSpec

    @property
    def noise(self) -> Noise:
        """Return the noise that one action is drawn by: normal where it holds numbers, else uniform."""
        return Noise("normal" if self.action.num_numbers else "uniform", self.action.shape)

    def distribution(self, outputs: Tensor, log_std: Tensor | None) -> ActionDistribution:
        """Return the distribution `[...]`.

        Args:
            outputs: `[..., size]`.
            log_std: of the continuous numbers, broadcasts against `[..., m]`; None where there are none.
        """
        if self.action.kind == "discrete":
            return Categorical(torch.log_softmax(outputs, -1))
        if self.action.kind == "continuous":
            return Gaussian(outputs, _given(log_std))
        numbers = None
        if self.action.num_numbers:
            numbers = Gaussian(outputs[..., sum(self.action.counts) :], _given(log_std))
        return Joint(Masked(torch.log_softmax(self._by_choice(outputs), -1)), numbers)

    def embedded(self, action: Tensor) -> Tensor:
        """Return actions as numbers `[..., size]` that a network sees: options one-hot, numbers as they are."""
        if self.action.kind == "continuous":
            return action
        if self.action.kind == "discrete":
            return one_hot(action, self.action.size).to(torch.float32)
        options = action[..., : len(self.action.counts)].long()
        chosen = one_hot(options, max(self.action.counts)).to(torch.float32).flatten(-2)
        if not self._are_alike:
            chosen = chosen.index_select(-1, self._real.to(chosen.device))
        return torch.cat([chosen, action[..., len(self.action.counts) :]], -1)

    @property
    def _are_alike(self) -> bool:
        return len(set(self.action.counts)) == 1

    @cached_property
    def _places(self) -> Tensor:
        """Return the output of each option of each choice, `[n · W]`; for those that it lacks, the one behind all."""
        counts = torch.tensor(self.action.counts)
        options = torch.arange(max(self.action.counts))
        places = (counts.cumsum(0) - counts)[:, None] + options
        return torch.where(options < counts[:, None], places, int(counts.sum())).flatten()

    @cached_property
    def _real(self) -> Tensor:
        """Return where the options lie among those of n choices of W options each."""
        return (self._places < sum(self.action.counts)).nonzero().squeeze(-1)

    def _by_choice(self, outputs: Tensor) -> Tensor:
        """Return the logits by choice, `[..., n, W]`."""
        logits = outputs[..., : sum(self.action.counts)]
        shape = (len(self.action.counts), max(self.action.counts))
        if self._are_alike:
            return logits.unflatten(-1, shape)
        padded = pad(logits, (0, 1), value=FORBIDDEN)
        return padded.index_select(-1, self._places.to(logits.device)).unflatten(-1, shape)


def _given(log_std: Tensor | None) -> Tensor:
    assert log_std is not None, "numbers have a standard deviation"
    return log_std
