"""Prediction in the manner of Stable-Baselines3: an action for an observation, and a state that the caller keeps.

    action, state = agent.predict(observation, state, episode_start, deterministic)

Its callers never hand over a reward, so a memory acts here without learning from any: it sees 0 in their place.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from drml.act.learned import Learned
from drml.act.translation import observed
from drml.core.errors import InputError
from drml.core.parallel import one_torch_thread
from drml.core.tree import Params, Tree, tree_leaves
from drml.run.leaves import arranged

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
        generator: np.random.Generator | None,
    ) -> tuple[np.ndarray, State | None]:
        """Return the actions and the next state; the most likely actions where there is no generator.

        Raises:
            InputError: if the observation is not of the space, or the state not of so many environments.
        """
        interface, policy = self.learned.interface, self.learned.policy
        rows, lead = observed("predict", interface, observation)
        if len(lead) > 1:
            raise InputError(f"predict: the observation has the leading axes {list(lead)}, expected one or none")
        rows = rows.reshape(-1, rows.shape[-1])
        num = len(rows)
        carry = self._carry(state, num, episode_start)
        distribution, carry = policy.step(self.params, torch.from_numpy(rows[None]), carry)
        if generator is None:
            action = distribution.mode()
        else:
            shape = (1, num, *policy.noise.shape)
            normal = policy.noise.kind == "normal"
            drawn = generator.standard_normal(shape, np.float32) if normal else generator.random(shape, np.float32)
            action = distribution.sample(torch.from_numpy(drawn))
        acted = interface.actions.decode(action.numpy())
        after = tuple(leaf[0].numpy() for _, leaf in tree_leaves({**carry, "~acted": action})) if carry else None
        return np.asarray(acted.reshape((*lead, *acted.shape[2:]))), after

    def _carry(self, state: State | None, num: int, episode_start: Any) -> Tree:  # noqa: ANN401
        """Return the memory of so many environments, with what the last call has done in it."""
        policy = self.learned.policy
        blank = policy.initial_carry(1, num)
        if state is None or not blank:
            return self._first(blank, num)
        *leaves, acted = state
        like = [(path, leaf) for path, leaf in tree_leaves(blank)]
        if len(leaves) != len(like) or any(x.shape != y.shape[1:] for x, (_, y) in zip(leaves, like, strict=True)):
            raise InputError(f"predict: the state is not of {num} environments of this agent; pass what it returned")
        named = {path: torch.from_numpy(np.array(x))[None] for (path, _), x in zip(like, leaves, strict=True)}
        carry = arranged(blank, named)
        ended = np.broadcast_to(np.asarray(False if episode_start is None else episode_start, np.bool_), (num,))
        return policy.remember(
            carry, torch.from_numpy(np.array(acted))[None], torch.zeros(1, num), torch.from_numpy(ended.copy())[None]
        )

    def _first(self, blank: Tree, num: int) -> Tree:
        """Return the memory to begin with: the session's own, of as many copies or of one for all."""
        if not self.carry or not blank:
            return blank
        copies = {leaf.shape[1] for _, leaf in tree_leaves(self.carry)}
        if copies - {1, num}:
            raise InputError(f"predict: the memory is of {max(copies)} copies, the observations are of {num}")
        named = {path: leaf.expand(1, num, *leaf.shape[2:]) for path, leaf in tree_leaves(self.carry)}
        return arranged(blank, named)
