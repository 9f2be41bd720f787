"""Memory of a meta-episode at its peak, counted before it begins: where none is left the system kills.

The counts are of the large tensors, in numbers of four bytes, and are lower bounds: what does not fit by them does not
fit. What an environment holds itself nobody knows beforehand.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from drml.algos.memory.rl2 import RL2Config
from drml.algos.registry import AnyConfig, AnyPolicyConfig
from drml.core.check import check_memory, machine_memory
from drml.core.types import EnvSpec
from drml.policies.encoders.api import Encoder
from drml.policies.encoders.glance import glance_size
from drml.policies.encoders.registry import FLAT, encoder_of
from drml.policies.memory.registry import MemoryConfig

DOUBLE = 2  # a number of eight bytes


@dataclass(frozen=True)
class Plan:
    """A meta-episode that is to be played, and perhaps learned from."""

    spec: EnvSpec
    learner: AnyConfig
    policy: AnyPolicyConfig
    num_tasks: int
    """K."""
    copies: int
    """B."""
    adapt_steps: int
    learns: bool
    """True where an update follows."""
    normalised: bool = False
    """True where agents see normalised observations: learners take these, beside what environments showed."""

    def numbers(self) -> dict[str, int]:
        """Return how many numbers are held at the peak, by what holds them: what lasts, and the most that passes."""
        beside = self._steps * self.num_tasks * (2 * self.spec.action.size + 7)
        rollout = beside + self._steps * self.num_tasks * self._seen
        passing = {"actions once more, turned from steps to tasks": beside}
        if isinstance(self.policy, MemoryConfig):
            lasting = {"memories": 3 * self.num_tasks * self.copies * self.policy.num_held}
        else:
            lasting = {"adapted weights": self.num_tasks * self._weights * (self.adapt_steps + 1)}
        if isinstance(self.learner, RL2Config):
            passing |= self._learning_of_trials(self.learner, rollout)
        else:
            passing |= self._learning_of_tasks(getattr(self.learner, "tasks_per_chunk", self.num_tasks))
        if self.normalised:
            seen_at_once = self.adapt_steps + 1 if self.learns else 1
            lasting["observations once more, normalised"] = self._steps * self.num_tasks * self._seen * seen_at_once
        most = max(passing, key=lambda name: passing[name])
        return {"observations and actions": rollout * (self.adapt_steps + 1)} | lasting | {most: passing[most]}

    def smaller(self) -> Iterator[tuple[str, "Plan"]]:
        """Yield plans that hold less, each with the flags that ask for it: what costs least first."""
        chunk = "trials_per_chunk" if isinstance(self.learner, RL2Config) else "tasks_per_chunk"
        if self.learns and getattr(self.learner, chunk, 1) > 1:
            smaller = replace(cast(Any, self.learner), **{chunk: 1})
            yield f"--learner.{chunk.replace('_', '-')} 1", replace(self, learner=smaller)
        for field, flag in (("copies", "--episodes"), ("num_tasks", "--tasks")):
            size = getattr(self, field)
            while size > 1:
                size //= 2
                yield f"{flag} {size}", replace(self, **{field: size})

    def _learning_of_tasks(self, per_chunk: int) -> dict[str, int]:
        steps, features = self._steps, 2 * glance_size(self.spec.parts, self.spec.obs_size) + 4
        at_once = self._at_once(per_chunk, self.num_tasks)
        return {
            "the value baseline": at_once * DOUBLE * (2 * steps * features + 2 * min(steps, features) ** 2),
            "gradients": 3 * at_once * (steps * self._units + self._weights) if self.learns else 0,
        }

    def _learning_of_trials(self, learner: RL2Config, rollout: int) -> dict[str, int]:
        if not self.learns:
            return {}
        at_once = self._at_once(learner.trials_per_chunk, self.num_tasks * self.copies)
        trial_steps = self.spec.horizon * (self.adapt_steps + 1)
        joined = rollout * (self.adapt_steps + 1)
        return {"trials and gradients": joined + at_once * trial_steps * (self._units + 2 * self._features)}

    @property
    def _steps(self) -> int:
        return self.spec.horizon * self.copies

    @property
    def _seen(self) -> int:
        """Return how many numbers of four bytes an observation takes."""
        return -(-self.spec.obs_size // 4) if self.spec.parts else self.spec.obs_size

    @property
    def _encoder(self) -> Encoder:
        return encoder_of(getattr(self.policy, "encoder", FLAT), self.spec)

    @property
    def _features(self) -> int:
        return self._encoder.size_of(self.spec.obs_size)

    @property
    def _weights(self) -> int:
        return self._encoder.num_weights + self.policy.num_weights(self._features, self.spec.action.size)

    @property
    def _units(self) -> int:
        return self._encoder.num_units + self.policy.num_units(self._features, self.spec.action.size)

    @staticmethod
    def _at_once(per_chunk: int, whole: int) -> int:
        """Return how many tasks or trials are differentiated at once, a chunk by each thread."""
        return min(whole, per_chunk * torch.get_num_threads())


def check_fit(plan: Plan) -> None:
    """Refuse a meta-episode that can never fit into memory.

    Raises:
        ResourceError: names what takes most of it, and the first smaller plan that fits.
    """
    numbers = plan.numbers()
    most, has = max(numbers, key=lambda name: numbers[name]), machine_memory()
    fits = (flags for flags, smaller in plan.smaller() if 4 * sum(smaller.numbers().values()) <= has)
    way_out = f"{flags} would fit" if (flags := next(fits, "")) else "show the agent fewer numbers, in fewer tasks"
    check_memory(
        f"acting in {plan.num_tasks} tasks x {plan.copies} episodes of {plan.spec.horizon} steps with "
        f"{plan.spec.obs_size} {'bytes' if plan.spec.parts else 'numbers'} each",
        sum(numbers.values()),
        f", most of it for {most}; {way_out}",
    )
