"""Translation between what an environment shows and takes, and what a policy sees and does.

Observations and actions are those of the user's Gymnasium spaces, alone or with leading axes:

    one session, one copy       *shape, or [1, *shape]
    one session of B copies     [B, *shape]
    K sessions of B copies      [K, B, *shape]; with one copy each [K, *shape] as well

A dictionary or a tuple has the leading axes in each of its parts, as Gymnasium's vector environments lay them out.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from drml.core.errors import InputError
from drml.core.observation import Parts, are_finite
from drml.core.printable import in_short
from drml.spaces.interface import Interface
from drml.spaces.joint_actions import mapped
from drml.spaces.observations import AnySpace

Lead = tuple[int, ...]
"""Leading axes of what was given: none, copies, sessions, or both."""
# Infinities that cancel in a sum are told as a number that is not finite; NumPy's own line would stand beside that.
warnings.filterwarnings("ignore", "invalid value encountered in reduce", RuntimeWarning, r"drml\.act\.")

LARGEST = float(np.finfo(np.float32).max)
EXPECTED = (LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""Failures of what was given, where it is nothing that the space holds."""


@final
@dataclass(frozen=True)
class Translation:
    """Translation for K sessions of B copies each."""

    interface: Interface
    sessions: int
    copies: int

    def rows(self, caller: str, observation: Any) -> tuple[Tensor, Lead]:  # noqa: ANN401 — of the user's space
        """Return observations as `[K, B, O]`, and the leading axes that they had.

        Raises:
            InputError: if they are not of the space, not as many as there are copies, or not finite.
        """
        rows, lead = observed(caller, self.interface, observation)
        if lead not in self._leads:
            expected = " or ".join(map(str, map(list, sorted(self._leads, key=len))))
            raise InputError(
                f"{caller}: the observation has the leading axes {list(lead)} before those of "
                f"{self.interface.observation_space}, expected {expected} for {self._many}"
            )
        return torch.from_numpy(rows.reshape(self.sessions, self.copies, -1)), lead

    def final(self, caller: str, given: Any, lead: Lead, instead: Tensor) -> Tensor:  # noqa: ANN401
        """Return the observations after a step, `[K, B, O]`; those `instead` where there are none.

        Args:
            caller: named in complaints.
            given: observations, or an array of objects that holds one where an episode ended and None elsewhere.
            lead: leading axes of the observations before the step.
            instead: `[K, B, O]`.
        """
        if isinstance(given, np.ndarray) and given.dtype == object:
            self._check_lead("final_obs", given.shape, lead)
            rows = instead.clone().flatten(0, 1)
            for row, one in zip(rows, given.reshape(-1), strict=True):
                if one is not None:
                    row.copy_(torch.from_numpy(observed(caller, self.interface, one)[0].reshape(-1)))
            return rows.view(instead.shape)
        rows, found = self.rows(caller, given)
        if found != lead:
            raise InputError(
                f"{caller}: final_obs has the leading axes {list(found)}, the observation had {list(lead)}"
            )
        return rows

    def actions(self, action: Tensor, lead: Lead) -> Any:  # noqa: ANN401 — of the user's space
        """Return a policy's actions `[K, B, …]` as those of the environment, with the leading axes of observations."""
        return mapped(lambda x: x.reshape((*lead, *x.shape[2:]))[()], self.interface.actions.decode(action.numpy()))

    def numbers(self, name: str, given: Any, lead: Lead) -> np.ndarray:  # noqa: ANN401 — anything like an array
        """Return finite numbers as `[K, B]` float64.

        Raises:
            InputError: if they are none, or have other leading axes.
        """
        values = self._of_lead(name, given, lead, "a number")
        if values.dtype.kind not in "fiub" or not (np.abs(values) <= LARGEST).all():  # learning sees it as float32
            raise InputError(f"observe: {name} is {in_short(given)}, expected a finite number; nothing was taken in")
        return values.astype(np.float64).reshape(self.sessions, self.copies)

    def flags(self, name: str, given: Any, lead: Lead) -> np.ndarray:  # noqa: ANN401
        """Return truth values as `[K, B]`.

        Raises:
            InputError: if they are none, or have other leading axes.
        """
        values = self._of_lead(name, given, lead, "True or False")
        if values.dtype != np.bool_ and not (values.dtype.kind in "iu" and np.isin(values, (0, 1)).all()):
            raise InputError(f"observe: {name} is {in_short(given)}, expected True or False; nothing was taken in")
        return values.astype(np.bool_).reshape(self.sessions, self.copies)

    def _of_lead(self, name: str, given: Any, lead: Lead, expected: str) -> np.ndarray:  # noqa: ANN401
        try:
            values = np.asarray(given)
        except EXPECTED as error:
            raise InputError(f"observe: {name} is {in_short(given)}, expected {expected}") from error
        self._check_lead(name, values.shape, lead)
        return values

    def _check_lead(self, name: str, found: Lead, lead: Lead) -> None:
        if found != lead:
            shapes = f"{list(found)}, expected {list(lead)} as the observation had"
            raise InputError(f"observe: {name} has shape {shapes}; nothing was taken in")

    @cached_property
    def _leads(self) -> set[Lead]:
        k, b = self.sessions, self.copies
        leads: set[Lead] = {(k, b)}
        leads |= {(b,)} if k == 1 else set()
        leads |= {(k,)} if b == 1 else set()
        return leads | ({()} if k == b == 1 else set())

    @property
    def _many(self) -> str:
        """Return how many observations are wanted, in words."""
        copies = f"{self.copies} {'copies' if self.copies > 1 else 'copy'}"
        return f"{copies} in each of {self.sessions} sessions" if self.sessions > 1 else copies


def observed(caller: str, interface: Interface, observation: Any) -> tuple[np.ndarray, Lead]:  # noqa: ANN401
    """Return observations as rows `[*lead, O]`, and their leading axes.

    Raises:
        InputError: if they are not of the space, or not finite.
    """
    space = interface.observation_space
    try:
        lead = lead_of(space, observation)
        rows = np.empty((*lead, interface.observations.size), interface.observations.dtype)
        interface.observations.write(observation, rows)
    except EXPECTED as error:
        raise InputError(f"{caller}: no observation of {space}: {in_short(error)}") from error
    if not _is_finite(rows, interface.observations.parts):
        raise InputError(f"{caller}: the observation is not finite, {in_short(observation)}; nothing was done with it")
    return rows, lead


def _is_finite(rows: np.ndarray, parts: Parts) -> bool:
    if parts:
        return bool(are_finite(parts, torch.from_numpy(rows)).all())
    return math.isfinite(np.add.reduce(rows, None, np.float64))


def lead_of(space: AnySpace, observation: Any) -> Lead:  # noqa: ANN401
    """Return the axes that an observation has beyond those of its space.

    Raises:
        ValueError: if it is none of the space, as far as shapes say.
    """
    while isinstance(space, spaces.Dict | spaces.Tuple):
        if isinstance(space, spaces.Dict) != isinstance(observation, Mapping):
            raise ValueError(f"it is of type {type(observation).__name__}")
        name: Any = next(iter(space.spaces)) if isinstance(space, spaces.Dict) else 0
        space, observation = space[name], observation[name]
    shape, own = np.shape(observation), space.shape or ()
    if shape == own:
        return ()
    lead = shape[: max(len(shape) - len(own), 0)]
    if (*lead, *own) != shape:
        raise ValueError(f"its shape is {list(shape)}, expected {list(own)}")
    return lead
