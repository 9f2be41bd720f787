"""The seam of collecting: agents act, and what they saw comes back, wherever the environments run."""

from collections.abc import Callable
from typing import Protocol

from drml.core.fault import Fault
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent, Rollout, Tasks
from drml.policies.api import Policy


class Collect(Protocol):
    """A way to collect rollouts: in this process, in one per task, or on other machines.

    The data of a task are a function of the agent's parameters for it, its own parameters and id, and the stream; not
    of the tasks beside it, nor of where it runs.
    """

    @property
    def copies(self) -> int:
        """Return B, the parallel copies of each task."""
        ...

    @property
    def phases(self) -> Phases:
        """Return what is told where the time goes."""
        ...

    def with_faults(
        self, policy: Policy, agent: Agent, tasks: Tasks, rng: Streams
    ) -> tuple[Rollout, tuple[Fault, ...]]:
        """Return what was observed, and for each episode that had to be dropped what failed first in it.

        Raises:
            NumericError: if the policy's actions are not finite where the observations are.
        """
        ...

    def heeding(self, heed: Callable[[], None]) -> "Collect":
        """Return the same way, which calls `heed` before each step; what it raises ends the collecting there."""
        ...

    def deterministic(self) -> "Collect":
        """Return the same way, which takes the most likely actions, from which nothing can be learned."""
        ...

    def close(self) -> None:
        """Let the environments go of what they hold beyond memory."""
        ...
