"""The unit of a critic: running mean and standard deviation of returns."""

from typing import NamedTuple

import torch
from torch import Tensor

from drml.core.tree import Tree
from drml.learning.returns import RESOLUTION

DECAY = 0.9  # of the running moments, per observation


class RunningScale(NamedTuple):
    """Mean and standard deviation of returns over the last ten or so meta-iterations, for a critic of unit scale.

        w ← 0.9 w + 0.1,  m ← 0.9 m + 0.1 E[R],  q ← 0.9 q + 0.1 E[R²],   mean = m/w,  std = √(q/w − mean²)

    Moments decay by 0.9 with each observation and are divided by the weight that they have gathered, so that the first
    observation counts in full.
    """

    weight: Tensor
    """w, scalar float64: 1 − 0.9ⁿ after n observations."""
    mean: Tensor
    """m, scalar float64: weighted sum of the observed means."""
    square: Tensor
    """q, scalar float64: weighted sum of the observed mean squares."""

    @staticmethod
    def initial() -> "RunningScale":
        """Return the scale before any observation: mean 0, standard deviation 1."""
        return RunningScale(*torch.zeros(3, dtype=torch.float64).unbind())

    def tree(self) -> Tree:
        """Return the scale as a tree of tensors, named as the fields are."""
        return dict(self._asdict())

    def observe(self, returns: Tensor, counted: Tensor) -> "RunningScale":
        """Return the scale after `returns` `[...]`, each counted as often as `counted` `[...]` says."""
        share = counted.double() / counted.sum().clamp_min(1.0)
        mean, square = (share * returns).sum(), (share * returns.double().square()).sum()
        seen = (torch.ones_like(mean), mean, square)
        return RunningScale(*(DECAY * old + (1.0 - DECAY) * new for old, new in zip(self, seen, strict=True)))

    def normalise(self, returns: Tensor) -> Tensor:
        """Return R̂ = (R − mean)/std of returns R `[...]`, of mean 0 and standard deviation 1."""
        mean, std = self._moments()
        return (returns - mean) / std

    def restore(self, normalised: Tensor) -> Tensor:
        """Return mean + std · R̂ `[...]`, the inverse; before any observation there is no unit, and all values are 0."""
        if not bool(self.weight > 0.0):
            return torch.zeros_like(normalised)
        mean, std = self._moments()
        return mean + std * normalised

    def _moments(self) -> tuple[float, float]:
        if not bool(self.weight > 0.0):
            return 0.0, 1.0
        mean, square = float(self.mean / self.weight), float(self.square / self.weight)
        variance = square - mean**2
        is_constant = variance <= RESOLUTION**2 * square  # these normalise to zeros, in whatever unit
        return mean, (abs(mean) or 1.0) if is_constant else variance**0.5
