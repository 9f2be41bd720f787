"""Rounds: more copies than an environment has, played one round after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from drml.collect.api import Collect
from drml.core.fault import Fault
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import Tree, tree_map
from drml.core.types import Agent, Rollout, Tasks
from drml.policies.api import Policy


@final
@dataclass(frozen=True)
class Rounds:
    """Collecting in R rounds of b copies, which to all others looks like R · b copies at once.

    One round alone is what `collect` does, to the bit. Each of several draws from a stream of its own.
    """

    collect: Collect
    """Plays one round."""
    rounds: int
    """R."""

    @property
    def copies(self) -> int:
        """Return R · b, the copies of each task."""
        return self.rounds * self.collect.copies

    @property
    def phases(self) -> Phases:
        """Return what is told where the time goes."""
        return self.collect.phases

    def with_faults(
        self, policy: Policy, agent: Agent, tasks: Tasks, rng: Streams
    ) -> tuple[Rollout, tuple[Fault, ...]]:
        """Return what was observed in all rounds side by side, and the faults; a call that failed ends them.

        Raises:
            NumericError: if the policy's actions are not finite where the observations are.
        """
        if self.rounds == 1:
            return self.collect.with_faults(policy, agent, tasks, rng)
        copies = self.collect.copies
        played: list[Rollout] = []
        faults: list[Fault] = []
        for r in range(self.rounds):
            own = replace(agent, carry=_part(agent.carry, r * copies, copies))
            rollout, found = self.collect.with_faults(policy, own, tasks, rng["round", r])
            played.append(rollout)
            faults += [replace(f, copy=f.copy + r * copies if f.copy >= 0 else f.copy) for f in found]
            if not all(fault.is_of_numbers for fault in found):
                break
        return side_by_side(played), tuple(faults)

    def heeding(self, heed: Callable[[], None]) -> "Rounds":
        """Return the same rounds, with `heed` called before each step."""
        return Rounds(self.collect.heeding(heed), self.rounds)

    def deterministic(self) -> "Rounds":
        """Return the same rounds, with the most likely actions."""
        return Rounds(self.collect.deterministic(), self.rounds)

    def close(self) -> None:
        """Let the environments go of what they hold beyond memory."""
        self.collect.close()


def side_by_side(rollouts: Sequence[Rollout]) -> Rollout:
    """Return rollouts of one agent as one with the copies of all; shorter ones end in steps that were not taken."""
    steps = max(rollout.reward.shape[1] for rollout in rollouts)

    def joined(*parts: Tensor) -> Tensor:
        whole = [torch.cat([x, x.new_zeros(len(x), steps - x.shape[1], *x.shape[2:])], 1) for x in parts]
        return torch.cat(whole, 2)

    first, last = (
        tree_map(lambda *parts: torch.cat(parts, 1), *trees)
        for trees in ([r.first_carry for r in rollouts], [r.last_carry for r in rollouts])
    )
    return replace(rollouts[0].map(joined, *rollouts[1:]), first_carry=first, last_carry=last)


def _part(carry: Tree, first: int, copies: int) -> Tree:
    return tree_map(lambda leaf: leaf[:, first : first + copies], carry)
