"""Prediction in the manner of Stable-Baselines3: an action for an observation, and a state that the caller keeps.

    action, state = agent.predict(observation, state, episode_start, deterministic)

Its callers never hand over a reward, so a memory acts here without learning from any: it sees 0 in their place.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from drml.act.learned import Learned
from drml.act.translation import observed
from drml.core.errors import InputError
from drml.core.parallel import one_torch_thread
from drml.core.printable import in_short
from drml.core.rng import Streams
from drml.core.tree import Params, Tree, tree_leaves
from drml.run.leaves import arranged
from drml.spaces.joint_actions import mapped

State = tuple[np.ndarray, ...]
"""Memory of N environments: its numbers, `[N, …]` each, the last one the actions that nothing is known of yet."""


@final
@dataclass(frozen=True)
class Predictor:
    """Prediction by one session's agent."""

    learned: Learned
    params: Params
    """Shared, or stacked `[1, …]`."""
    carry: Tree
    """Memory at the start, `[1, B, …]`; empty where there is none or it is blank."""

    @torch.no_grad()
    @one_torch_thread()
    def __call__(
        self,
        observation: Any,  # noqa: ANN401 — of the user's space
        state: State | None,
        episode_start: Any,  # noqa: ANN401 — anything like an array of truth values
        rng: Streams | None,
    ) -> tuple[np.ndarray, State | None]:
        """Return the actions and the next state; the most likely actions where there is no stream to draw from.

        Raises:
            InputError: if the observation is not of the space, or the state not of so many environments.
        """
        interface, policy = self.learned.interface, self.learned.policy
        rows, lead = observed("predict", interface, observation)
        if len(lead) > 1:
            raise InputError(f"predict: the observation has the leading axes {list(lead)}, expected one or none")
        rows = rows.reshape(-1, rows.shape[-1])
        num = len(rows)
        if num == 0:
            raise InputError("predict: there is no observation, expected at least one")
        carry = self._carry(state, num, _starts(episode_start, num))
        distribution, carry = policy.step(self.params, torch.from_numpy(rows[None]), carry)
        if rng is None:
            action = distribution.mode()
        else:
            action = distribution.sample(rng.noise(policy.noise.kind, (1, num, *policy.noise.shape)))
        acted = interface.actions.decode(action.numpy())
        after = tuple(leaf[0].numpy() for _, leaf in tree_leaves({**carry, "~acted": action})) if carry else None
        return mapped(lambda x: np.asarray(x.reshape((*lead, *x.shape[2:]))), acted), after

    def _carry(self, state: State | None, num: int, starts: Tensor) -> Tree:
        """Return the memory of so many environments, with what the last call has done in it."""
        policy = self.learned.policy
        blank = policy.initial_carry(1, num)
        if state is None or not blank:
            return self._first(blank, num)
        spec = self.learned.interface.spec.action
        acted = torch.zeros(1, num, *spec.shape, dtype=spec.dtype)
        like = {path: leaf[0].numpy() for path, leaf in tree_leaves({**blank, "~acted": acted})}
        given = [np.asarray(x) for x in state] if isinstance(state, tuple | list) else []  # pyright: ignore[reportUnnecessaryIsInstance] — the caller's
        fits = [(x.shape, x.dtype) for x in given] == [(x.shape, x.dtype) for x in like.values()]
        if not fits or not all(np.isfinite(x).all() for x in given):
            raise InputError(f"predict: the state is not of {num} environments of this agent; pass what it returned")
        *leaves, last = (torch.from_numpy(x.copy())[None] for x in given)
        carry = arranged(blank, dict(zip(like, leaves, strict=False)))
        return policy.remember(carry, last, torch.zeros(1, num), starts)

    def _first(self, blank: Tree, num: int) -> Tree:
        """Return the memory to begin with: the session's own, of as many copies or of one for all."""
        if not self.carry or not blank:
            return blank
        copies = {leaf.shape[1] for _, leaf in tree_leaves(self.carry)}
        if copies - {1, num}:
            raise InputError(f"predict: the memory is of {max(copies)} copies, the observations are of {num}")
        named = {path: leaf.expand(1, num, *leaf.shape[2:]) for path, leaf in tree_leaves(self.carry)}
        return arranged(blank, named)


def _starts(given: Any, num: int) -> Tensor:  # noqa: ANN401 — anything like an array of truth values
    """Return which observations begin an episode, `[1, N]`; one truth value stands for all, None for none."""
    try:
        values = np.asarray(False if given is None else given)
    except ValueError as error:
        raise InputError(f"predict: episode_start is {in_short(given)}, expected {num} truth values") from error
    if values.shape not in ((), (num,)) or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise InputError(f"predict: episode_start is {in_short(given)}, expected {num} truth values")
    return torch.from_numpy(np.broadcast_to(values.astype(np.bool_), (1, num)).copy())
