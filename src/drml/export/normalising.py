"""Normalisation of observations in graphs, in float32, which every runtime has.

    x̂ = ((x − mean₁) − mean₂)/std, held within ±10        mean₁ = float32(mean), mean₂ = float32(mean − mean₁)

Near the mean the first difference is exact, so that a small signal on a large constant is seen as in float64. What is
not normalised has mean 0, std 1 and no bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast, final

import torch
from torch import Tensor, nn

from drml.act.learned import Learned
from drml.algos.api import Learner
from drml.algos.normalised import NormalisedLearner
from drml.core.tree import Params
from drml.export.graph import Graph
from drml.policies.normalised import LARGEST, Moments, Normaliser, own


@final
class Normalise(nn.Module):
    """Observations `[..., n]`, pictures and symbols as numbers too, as a policy behind a normaliser sees them."""

    def __init__(self, normaliser: Normaliser, moments: Moments) -> None:
        super().__init__()
        kinds = [(part.kind, part.size) for part in normaliser.parts] or [("numbers", normaliser.size)]
        is_number = torch.cat([torch.full((size,), kind == "numbers") for kind, size in kinds])
        mean, std = torch.zeros(len(is_number)).double(), torch.ones(len(is_number)).double()
        mean[is_number], std[is_number] = moments.mean.cpu(), moments.unit().cpu()
        bound = torch.full_like(mean, torch.finfo(torch.float32).max)
        bound[is_number] = LARGEST
        parts = {"high": mean.float(), "low": (mean - mean.float()).float(), "std": std.float(), "bound": bound.float()}
        for name, value in parts.items():
            self.register_buffer(name, value)

    def forward(self, obs: Tensor) -> Tensor:
        """Return x̂."""
        high, low, std, bound = (self.get_buffer(name) for name in ("high", "low", "std", "bound"))
        return torch.minimum(torch.maximum((obs - high - low) / std, -bound), bound)


@final
class Behind(nn.Module):
    """A graph's module whose observations are normalised first."""

    def __init__(self, normalise: Normalise, module: nn.Module, name: str) -> None:
        super().__init__()
        self.normalise, self.module, self._name = normalise, module, name

    def forward(self, inputs: Mapping[str, Tensor]) -> Params:
        """Return the module's outputs by name."""
        return cast(Params, self.module({**inputs, self._name: self.normalise(inputs[self._name])}))


@final
@dataclass(frozen=True)
class Core:
    """A learner and parameters that see normalised observations, and what normalises them; none where nothing does."""

    learner: Learner
    params: Params
    normalise: Normalise | None

    def behind(self, graph: Graph) -> Graph:
        """Return the graph, fed with observations as environments show them."""
        found = [name for name in ("observation", "observations") if name in graph.examples]
        if self.normalise is None or not found:
            return graph
        return replace(graph, module=Behind(self.normalise, graph.module, found[0]).eval())


def core_of(learned: Learned) -> Core:
    """Return what lies behind the normaliser of what was learned, or all of it."""
    learner, shared = learned.learner, learned.shared
    if not isinstance(learner, NormalisedLearner):
        return Core(learner, shared, None)
    return Core(learner.learner, own(shared), Normalise(learner.normaliser, Moments.of(shared)))
