"""The outcome of a training, without its history: all that acting and adapting on a new task need."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

from drml.algos.api import Learner
from drml.core.check import not_finite
from drml.core.errors import NumericError
from drml.core.printable import one_line
from drml.core.rng import Streams
from drml.core.tree import Params
from drml.core.types import Agent, Rollout
from drml.policies.api import Policy
from drml.run.config import RunConfig, learner_of
from drml.spaces.interface import Interface


@final
@dataclass(frozen=True)
class Learned:
    """Shared parameters, the learner that adapts them, and the spaces that they act in."""

    config: RunConfig
    """Configuration of the run: suite, learner, policy, seed."""
    interface: Interface
    """Spaces of the environments that it was trained on."""
    shared: Params
    """All that the learner's agents on a new task begin with: what did best on validation tasks."""
    facts: Mapping[str, Any]
    """Versions, tasks and what was reached, as plain values."""

    @cached_property
    def learner(self) -> Learner:
        """Return the learner, which adapts and holds the policy."""
        return learner_of(self.config, self.interface.spec)

    @property
    def policy(self) -> Policy:
        """Return the policy that agents act by."""
        return self.learner.policy

    @cached_property
    def adapts_while_acting(self) -> bool:
        """Return whether adaptation is what a memory does between steps, and no step of its own."""
        return bool(self.policy.initial_carry(1, 1))

    def describe(self) -> str:
        """Return one line: learner and tasks, what was reached, and the spaces."""
        reached: Mapping[str, Any] = self.facts.get("reached", {})
        iters, best = reached.get("meta_iter"), reached.get("best_return")
        how_far = "" if iters is None else f" after {iters} meta-iterations"
        how_well = "" if best is None else f", best validation return {best:.4g}"
        seen, acted = self.interface.observation_space, self.interface.action_space
        return one_line(
            f"{self.config.learner} on {self.config.suite}{how_far}{how_well}; observations {seen}, actions {acted}"
        )

    def adapted(self, agent: Agent, rollout: Rollout, step: int, rng: Streams) -> Agent:
        """Return agents after adaptation step `step` (from 0) on what they saw, by the streams of their sessions.

        Raises:
            NumericError: if parameters would no longer be finite.
        """
        adapted = self.learner.adapt(agent, rollout, step, rng["adapt", step])
        if found := not_finite(dict(adapted.params)):
            raise NumericError(f"adapt: the step is not taken, it leads to {found}; are the rewards of a usual size?")
        return adapted

    def with_room(self, steps: int) -> "Learned":
        """Return the same weights with a memory that has room for so many steps."""
        policy = self.config.policy.with_room(steps)
        if policy == self.config.policy:
            return self
        return Learned(replace(self.config, policy=policy), self.interface, self.shared, self.facts)
