"""The interface between an agent and its environments: all that acting has to know of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces

from drml.core.errors import DrmlError, InputError
from drml.core.fields import Fields
from drml.core.observation import Part, split
from drml.core.types import ActionSpec, EnvSpec
from drml.spaces.actions import Actions, actions
from drml.spaces.described import describe, described
from drml.spaces.observations import AnySpace, Observations, observations

PRODUCT = "product"
"""Fact of an interface whose action is a product of choices; before, it was one choice among all combinations."""


@final
@dataclass(frozen=True)
class Interface:
    """The spaces of a family's environments, how a policy acts in them, and how long an episode is."""

    observation_space: AnySpace
    """Space of one environment's observations."""
    action_space: AnySpace
    """Space of one environment's actions."""
    action_scale: float
    """Factor on a continuous policy's output, before [−1, 1] is mapped to the bounds of the action."""
    horizon: int
    """Steps after which an episode is truncated."""

    @staticmethod
    def of_spec(spec: EnvSpec) -> "Interface":
        """Return the interface of an engine of ours: vectors as they are, and actions up to where they saturate."""
        bound = spec.action.bound
        scale = 1.0 / bound if math.isfinite(bound) else 1.0
        return Interface(engine_space(spec), native_action_space(spec.action), scale, spec.horizon)

    @cached_property
    def observations(self) -> Observations:
        """Return how observations become vectors."""
        return observations(self.observation_space)

    @cached_property
    def actions(self) -> Actions:
        """Return how a policy's actions become those of the space."""
        return actions(self.action_space, self.action_scale)

    @cached_property
    def spec(self) -> EnvSpec:
        """Return the shapes that a policy meets."""
        seen = self.observations
        return EnvSpec(seen.size, self.actions.spec, self.horizon, seen.parts, seen.flags)

    def facts(self) -> dict[str, Any]:
        """Return the interface as JSON values."""
        joint = {PRODUCT: True} if self.actions.spec.kind == "joint" else {}
        return {
            "observation_space": describe(self.observation_space),
            "action_space": describe(self.action_space),
            "action_scale": self.action_scale,
            "horizon": self.horizon,
            **joint,
        }

    @staticmethod
    def from_facts(facts: Mapping[str, Any], where: str, failure: type[DrmlError] = InputError) -> "Interface":
        """Return the interface that `facts` turned into JSON values, which `where` names in complaints.

        Raises:
            InputError: or another `failure`, if they are none.
        """
        fields = Fields(where, facts, failure)
        seen, acted = (
            described(fields.mapping(name), fields.path(name), failure)
            for name in ("observation_space", "action_space")
        )
        scale, horizon = fields.finite("action_scale"), fields.count("horizon")
        if not (scale > 0.0 and horizon > 0):
            raise fields.wrong("a scale and a horizon above 0", [scale, horizon])
        interface = Interface(seen, acted, scale, horizon)
        try:
            spec = interface.spec
        except InputError as error:
            raise failure(f"{where}: {error}") from error
        if spec.action.kind == "joint" and facts.get(PRODUCT) is not True:
            raise failure(
                f"{where}: an earlier version saved it, to which {acted} was one choice among all combinations; now "
                "each entry is a choice of its own, so train it anew"
            )
        return interface


def engine_space(spec: EnvSpec) -> AnySpace:
    """Return the space of an engine's observations: vectors without known bounds, or the parts that it declares."""
    if not spec.parts:
        return spaces.Box(-np.inf, np.inf, (spec.obs_size,), np.float32)
    found = [_space_of(part) for part in spec.parts]
    return found[0] if len(found) == 1 else spaces.Tuple(found)


def as_shown(spec: EnvSpec, rows: np.ndarray) -> Any:  # noqa: ANN401 — of that space
    """Return an engine's rows `[..., O]` as observations of its `engine_space` with these leading axes, copied."""
    if not spec.parts:
        return rows.copy()
    values = zip(spec.parts, split(spec.parts, torch.from_numpy(rows)), strict=True)
    found = [value.numpy().reshape(*rows.shape[:-1], *part.shape).astype(_dtype_of(part)) for part, value in values]
    return found[0] if len(found) == 1 else tuple(found)


def _dtype_of(part: Part) -> type[np.generic]:
    return {"bits": np.int8, "numbers": np.float32}.get(part.kind, np.uint8)


def _space_of(part: Part) -> AnySpace:
    if part.kind == "bits":
        return spaces.MultiBinary(part.shape)
    if part.kind == "numbers":
        return spaces.Box(-np.inf, np.inf, part.shape, np.float32)
    return spaces.Box(part.low, part.high, part.shape, np.uint8)


def native_action_space(spec: ActionSpec) -> AnySpace:
    """Return the space of actions: indices, or vectors up to where they saturate."""
    if spec.kind == "discrete":
        return spaces.Discrete(spec.size)
    return spaces.Box(-spec.bound, spec.bound, (spec.size,), np.float32)
