"""Observations in units of what training has seen: x̂ = (x − mean)/std, held within ±10, in front of any policy.

    n = nₐ + n_b,  δ = mean_b − meanₐ,  mean = meanₐ + δ n_b/n,  M2 = M2ₐ + M2_b + δ² nₐ n_b/n,  std = √(M2/n)

Sums are kept in float64 and means are taken away before anything is rounded, so that a small signal on a large constant
is seen. Numbers alone are changed: pictures, symbols, flags and one-hot entries stay as they are, in a row of bytes by
their kind, and in a row of numbers because their moments are those of zeros: mean 0, std 1.

Source: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1 (of two samples).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, final

import torch
from torch import Tensor

from drml.core.distribution import Distribution
from drml.core.observation import Parts, split
from drml.core.rng import Streams
from drml.core.tree import Bounds, Params, Tree
from drml.core.types import FinalObs, Noise, Rollout
from drml.policies.api import Policy

PREFIX = "normaliser."
CHUNK = 2**18  # numbers that are normalised at a time, in float64: they pass, what is seen stays
LARGEST = 10.0  # standard deviations: what is farther away is seen as being there
ROUNDING = 2.0**-24  # of a float32 number, relative


class Moments(NamedTuple):
    """Count, means and sums of squared deviations of n numbers, float64."""

    total: Tensor
    """Scalar: how many observations."""
    mean: Tensor
    """`[n]`."""
    m2: Tensor
    """`[n]`, Σ (x − mean)²."""

    @staticmethod
    def none(size: int) -> "Moments":
        """Return the moments of no observations."""
        return Moments(*(torch.zeros(shape, dtype=torch.float64) for shape in ((), size, size)))

    @staticmethod
    def of(params: Params) -> "Moments":
        """Return those among parameters, shared or stacked `[K, ...]`: then they are the same for each task."""
        found = [params[PREFIX + name] for name in Moments._fields]
        return Moments(*(value[0] for value in found) if found[0].dim() else found)

    def params(self) -> Params:
        """Return them by the names that they have among parameters."""
        return {PREFIX + name: value for name, value in self._asdict().items()}

    def merged(self, values: Tensor) -> "Moments":
        """Return the moments of what was seen and of `values` `[N, n]` together."""
        if not len(values):
            return self
        apart = values.to(torch.float64, copy=True)
        mean = apart.mean(0)
        count, delta = self.total + len(values), mean - self.mean
        m2 = self.m2 + apart.sub_(mean).square_().sum(0) + delta.square() * (self.total * len(values) / count)
        return Moments(count, self.mean + delta * (len(values) / count), m2)

    def unit(self) -> Tensor:
        """Return std `[n]`, or 1 for what has never changed, and for all before anything is seen."""
        std = (self.m2 / self.total.clamp_min(1.0)).sqrt()
        return torch.where(std > ROUNDING * self.mean.abs(), std, torch.ones_like(std))

    def normalise(self, values: Tensor) -> Tensor:
        """Return x̂ `[..., n]`, a few rows at a time."""
        seen, unit = torch.empty(values.shape, dtype=values.dtype, device=values.device), self.unit()
        rows = max(1, CHUNK // max(1, values.shape[-1]))
        parts = (x.view(-1, x.shape[-1]).split(rows) for x in (values.contiguous(), seen))
        for part, out in zip(*parts, strict=True):
            out.copy_(((part.double() - self.mean) / unit).clamp_(-LARGEST, LARGEST))
        return seen


def own(params: Params) -> Params:
    """Return the parameters without the moments."""
    return {name: value for name, value in params.items() if not name.startswith(PREFIX)}


@final
@dataclass(frozen=True)
class Normaliser:
    """Place of the numbers in an observation."""

    parts: Parts
    obs_size: int

    @property
    def size(self) -> int:
        """Return n, how many numbers are normalised."""
        return sum(part.size for part in self.parts if part.kind == "numbers") if self.parts else self.obs_size

    def numbers(self, obs: Tensor) -> Tensor:
        """Return the numbers `[..., n]` of observations `[..., O]`."""
        if not self.parts:
            return obs
        pieces = zip(self.parts, split(self.parts, obs), strict=True)
        return torch.cat([obs[..., :0].float(), *(values for part, values in pieces if part.kind == "numbers")], -1)

    def see(self, moments: Moments, obs: Tensor) -> Tensor:
        """Return the observations `[..., O]` with their numbers normalised, in the bytes that they had."""
        if not self.size:
            return obs
        seen = moments.normalise(self.numbers(obs))
        if not self.parts:
            return seen
        pieces: list[Tensor] = []
        for part, values in zip(self.parts, split(self.parts, obs), strict=True):
            if part.kind == "numbers":
                mine, seen = seen[..., : part.size], seen[..., part.size :]
                pieces.append(mine.contiguous().view(obs.dtype))
            else:
                pieces.append(values)
        return torch.cat(pieces, -1)

    def see_rollout(self, moments: Moments, rollout: Rollout) -> Rollout:
        """Return the rollout as a policy sees it; where no episode ends its last observation stays zero."""
        first, rows = rollout.final.rows[:1], rollout.final.rows[1:]
        final = FinalObs(torch.cat([first, self.see(moments, rows)]), rollout.final.at)
        return replace(rollout, obs=self.see(moments, rollout.obs), final=final)


@final
@dataclass(frozen=True)
class NormalisedPolicy:
    """A policy behind a normaliser, whose moments are among its parameters; implements `Policy`."""

    policy: Policy
    normaliser: Normaliser

    @property
    def noise(self) -> Noise:
        """Return the policy's noise."""
        return self.policy.noise

    @property
    def bounds(self) -> Bounds:
        """Return the policy's bounds."""
        return self.policy.bounds

    def init(self, rng: Streams) -> Params:
        """Return the policy's initial parameters, and the moments of nothing."""
        return self.policy.init(rng) | Moments.none(self.normaliser.size).params()

    def initial_carry(self, num_tasks: int, copies: int) -> Tree:
        """Return the policy's memory at the start."""
        return self.policy.initial_carry(num_tasks, copies)

    def step(self, params: Params, obs: Tensor, carry: Tree) -> tuple[Distribution, Tree]:
        """Return the action distribution `[K, B]` at `obs` `[K, B, O]` and the next carry."""
        return self.policy.step(own(params), self.normaliser.see(Moments.of(params), obs), carry)

    def remember(self, carry: Tree, action: Tensor, reward: Tensor, ended: Tensor) -> Tree:
        """Return the carry with what came of an action."""
        return self.policy.remember(carry, action, reward, ended)

    def unroll(self, params: Params, rollout: Rollout) -> Distribution:
        """Return the action distributions `[K, T, B]` of a rollout, whose observations are as they were shown."""
        return self.policy.unroll(own(params), self.normaliser.see_rollout(Moments.of(params), rollout))
