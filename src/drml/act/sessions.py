"""Sessions as they stand: all that an adaptive agent changes, apart from what it began with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from drml.act.experience import Experience
from drml.act.learned import Learned
from drml.act.noise import StepNoise
from drml.act.tally import Tally
from drml.act.translation import Lead
from drml.core.distribution import Distribution
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.tree import Tree, stack_shared
from drml.core.types import Agent, Rollout, Tasks, join_agents
from drml.policies.api import Policy

ROOT = ("test", "test")  # the streams of `drml test` on test tasks
Autoreset = Literal["same_step", "next_step"]


@dataclass(frozen=True)
class Acted:
    """An action of which nothing came yet."""

    obs: Tensor
    action: Tensor
    distribution: Distribution
    carry: Tree
    """Memory with the observation in it."""
    explored: bool
    lead: Lead


@dataclass
class Sessions:
    """K sessions of B copies."""

    ids: Tensor
    """`[K]` int64, names of the sessions, which key their random numbers."""
    rng: Streams
    agents: list[Agent]
    """One per session, of one task each, without its memory."""
    before: list[Agent | None]
    """Agents before their last adaptation step, where it can be taken back."""
    kept: list[Rollout | None]
    """Episodes since the last step that were played elsewhere than in the user's loop; the next step learns from them
    too. None for a memory, which has learned from them by then."""
    steps: list[int]
    """Adaptation steps of each."""
    carry: Tree
    """Memory of all, leaves `[K, B, …]`; empty where there is none."""
    noise: StepNoise
    experience: Experience
    tally: Tally
    elapsed: np.ndarray
    """`[K, B]` int64, steps since the start of the running episode."""
    ended: np.ndarray
    """`[K, B]` bool: the copy's episode ended at the last look."""
    predicted: int = 0
    """Calls of `predict` that drew from the policy."""

    @staticmethod
    def of(learned: Learned, copies: int, seed: int, ids: Sequence[int]) -> "Sessions":
        """Return sessions that begin with what was learned."""
        names, rng = torch.tensor(ids, dtype=torch.int64), Streams(seed)[ROOT]
        policy, count = learned.policy, len(ids)
        prior = learned.learner.prior(learned.shared, Tasks({}, names), copies, rng["prior"])
        apart = replace(prior, carry={})
        return Sessions(
            names,
            rng,
            [apart.select(torch.tensor([k])) for k in range(count)],
            [None] * count,
            [None] * count,
            [0] * count,
            prior.carry or policy.initial_carry(count, copies),
            StepNoise(rng, names, copies, policy.noise),
            Experience(count, copies),
            Tally(count, copies),
            np.zeros((count, copies), np.int64),
            np.zeros((count, copies), np.bool_),
        )

    def in_copies(self, policy: Policy, copies: int) -> "Sessions":
        """Return the sessions in so many copies, at the start of an episode.

        What the user's loop has shown since the last step is left out, and so is the noise that it has used up.

        Raises:
            InputError: if memories would have to become more or fewer.
        """
        count, before = self.elapsed.shape
        if self.carry and copies != before:
            raise InputError(f"the agent has {before} memories, one for each copy, and the environment {copies} copies")
        noise = StepNoise(self.rng, self.ids, copies, policy.noise)
        for k in range(count):
            noise.begin(k, self.noise.phase[k] + int(self.noise.drawn[k] > 0))
        return replace(
            self,
            agents=list(self.agents),
            before=list(self.before),
            kept=list(self.kept),
            steps=list(self.steps),
            noise=noise,
            experience=Experience(count, copies),
            tally=Tally(count, copies),
            elapsed=np.zeros((count, copies), np.int64),
            ended=np.zeros((count, copies), np.bool_),
        )

    def joined(self) -> Agent:
        """Return the agents of all sessions as one that acts: without memory, and without notes for the next step.

        Where some have parameters of their own and others share theirs, all have their own.
        """
        agents = [replace(agent, memo={}) for agent in self.agents]
        if len({agent.stacked for agent in agents}) > 1:
            agents = [agent if agent.stacked else _apart(agent) for agent in agents]
        return join_agents(agents)


def _apart(agent: Agent) -> Agent:
    return replace(agent, params=stack_shared(agent.params, 1), stacked=True)
