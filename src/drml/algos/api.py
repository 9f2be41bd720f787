"""The learner seam: four verbs, each a function from values to values.

    state      = init(rng)                                   before meta-training
    agent      = prior(shared, tasks, copies, rng)           who acts first on a task
    agent'     = adapt(agent, rollout, adapt_step, rng)      one adaptation step on the agent's own rollout
    state', m  = update(state, episode, rng)                 the meta-update from all the adapted results

A learner whose meta-training tries other agents than its prior (perturbed ones, populations) says so: `Proposes`. One
whose adaptation is a step of gradient shows it: `Descends`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from drml.core.rng import Streams
from drml.core.segments import Grown
from drml.core.tree import Params, Tree
from drml.core.types import AdaptsOn, Agent, MetaEpisode, Rollout, Tasks
from drml.learning.adapt import InnerLoop
from drml.policies.api import Policy

Metrics = Mapping[str, float | Tensor]
"""Numbers of an update by name. One per task, `[K]`, is logged as its mean and handed to the task sampler whole."""


@dataclass(frozen=True)
class LearnerState:
    """State of a learner: everything that meta-training changes of it."""

    shared: Params
    """All that acting on a new task needs; the best one on validation tasks is kept whole."""
    training: Tree = field(default_factory=dict[str, "Tensor | Tree"])
    """Needed by meta-training alone: moments of an optimiser, counts, lives."""
    grown: Grown = ()
    """Replay and recorded histories, which grow."""

    def tree(self) -> Tree:
        """Return what does not grow as a tree, under the names that checkpoints have had from the first version on."""
        return {"params": dict(self.shared), "optimiser": self.training}


class Learner(Protocol):
    """A method of meta-learning. It knows neither environments nor files, and draws from the streams alone."""

    @property
    def policy(self) -> Policy:
        """Return the policy that its agents act by."""
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

    def prior(self, shared: Params, tasks: Tasks, copies: int, rng: Streams) -> Agent:
        """Return who acts before adaptation, in training and in testing.

        Args:
            shared: of a state, in training the last one's, in testing the best one's.
            tasks: K tasks, whose ids key random streams; their parameters are for oracles alone.
            copies: B.
            rng: the stream of this meta-episode's beginning.
        """
        ...

    def adapt(self, agent: Agent, rollout: Rollout, adapt_step: int, rng: Streams) -> Agent:
        """Return the agent after adaptation step `adapt_step` (from 0) on its own rollout."""
        ...

    def update(self, state: LearnerState, episode: MetaEpisode, rng: Streams) -> tuple[LearnerState, Metrics]:
        """Return the state after the meta-update, and numbers to log."""
        ...


@runtime_checkable
class Proposes(Protocol):
    """A learner whose meta-training tries other agents than its prior."""

    def propose(self, state: LearnerState, tasks: Tasks, copies: int, rng: Streams) -> Agent:
        """Return who acts before adaptation in meta-training; arguments as of `prior`."""
        ...


@runtime_checkable
class Descends(Protocol):
    """A learner whose adaptation step is one of gradient descent, and nothing else."""

    @property
    def inner(self) -> InnerLoop:
        """Return the inner loop."""
        ...
