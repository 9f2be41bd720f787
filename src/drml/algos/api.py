"""The learner seam: four verbs, each a function from values to values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from drml.core.rng import Streams
from drml.core.tree import Params, Tree
from drml.core.types import AdaptsOn, Agent, Rollout, Tasks
from drml.policies.api import Policy


@dataclass(frozen=True)
class LearnerState:
    """All that meta-learning changes: what the tasks share, and the optimiser's memory."""

    params: Params
    optimiser: Tree = field(default_factory=dict)

    def tree(self) -> Tree:
        """Return the state as one tree, as checkpoints store it."""
        return {"params": dict(self.params), "optimiser": self.optimiser}


class Learner(Protocol):
    """What is learned across tasks, and how an agent adapts to one."""

    @property
    def policy(self) -> Policy:
        """Return the policy whose parameters or carry adaptation changes."""
        ...

    @property
    def adapt_steps(self) -> int:
        """Return the adaptation steps of one meta-training episode."""
        ...

    @property
    def adapts_on(self) -> AdaptsOn:
        """Return what each copy contributes to an adaptation step."""
        ...

    def init(self, rng: Streams) -> LearnerState:
        """Return the state before meta-training."""
        ...

    def prior(self, state: LearnerState, tasks: Tasks, rng: Streams) -> Agent:
        """Return the agent that meets a task for the first time."""
        ...

    def adapt(self, agent: Agent, rollout: Rollout, adapt_step: int) -> Agent:
        """Return the agent after it has learned from its own rollout; `adapt_step` counts from 0."""
        ...

    def update(self, state: LearnerState, history: Sequence[Rollout]) -> tuple[LearnerState, Mapping[str, float]]:
        """Return the state improved by one meta-episode's rollouts (one per phase), and numbers to log."""
        ...
