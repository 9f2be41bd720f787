"""Collecting: one agent acts T steps in B copies of K tasks. The only place where a policy meets an environment.

An episode that holds a diverged or non-finite step is not valid, and blanked. What went wrong is a value of its own,
beside the rollout: learners see sound data and nothing else, and a task without any is left out before they see it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from drml.collect.record import Record, Waiting
from drml.collect.soundness import without_unsound_episodes
from drml.core.fault import Fault
from drml.core.parallel import one_torch_thread
from drml.core.phases import Phases
from drml.core.rng import Streams, task_noise
from drml.core.types import Agent, Rollout, Tasks, whole
from drml.envs.api import BatchEnv, Closable, TellsFaults
from drml.policies.api import Policy


@dataclass(frozen=True)
class Collector:
    """Collecting in one environment, for so long, in so many copies; `phases` is told where the time goes."""

    env: BatchEnv
    steps: int
    """T, steps per rollout; one horizon, unless several episodes are wanted."""
    copies: int
    """B, parallel copies of each task."""
    phases: Phases
    device: str = "cpu"
    """Device on which the policy runs and the rollout lies."""
    one_episode: bool = False
    """True: a copy waits once its first episode has ended. False: others follow until it has its T steps."""
    heed: Callable[[], None] = lambda: None
    """Called before each step; what it raises ends the collecting there."""
    explore: bool = True
    """True draws actions from the policy; False takes the most likely ones, from which nothing can be learned."""

    def __call__(self, policy: Policy, agent: Agent, tasks: Tasks, rng: Streams) -> Rollout:
        """Return what was observed.

        The data of a task are a function of the agent's parameters for it, its parameters and id, and `rng`; not of
        the tasks beside it (up to the last bit of matrix products, whose kernels depend on the batch's size).

        Raises:
            NumericError: if the policy's actions are not finite where the observations are.
        """
        return self.with_faults(policy, agent, tasks, rng)[0]

    @torch.no_grad()
    @one_torch_thread()
    def with_faults(
        self, policy: Policy, agent: Agent, tasks: Tasks, rng: Streams
    ) -> tuple[Rollout, tuple[Fault, ...]]:
        """Return what was observed, and for each episode that had to be dropped what failed first in it.

        Raises:
            NumericError: if the policy's actions are not finite where the observations are.
        """
        with self.phases("reset"):
            obs = self.env.reset(tasks, self.copies, rng["env"])
            shape = (self.steps, self.copies, *policy.noise.shape)
            noise = whole(task_noise(rng["action"], tasks.ids, policy.noise.kind, shape)).to(self.device)  # [T, K, B]
            record = Record(self.steps, obs, self.device, Waiting() if self.one_episode else None)
        carry = first_carry = agent.carry or policy.initial_carry(len(tasks), self.copies)
        while not record.is_full:
            self.heed()
            before = carry
            with self.phases("policy"):
                distribution, carry = policy.step(agent.params, record.see(obs), carry)
                action = distribution.sample(record.row_of(noise)) if self.explore else distribution.mode()
            with self.phases("env"):
                step = self.env.step(action)
            with self.phases("record"):
                reward, ended = record.add(distribution, action, step)
                obs = step.obs
            with self.phases("policy"):
                carry = record.advance(first_carry, before, policy.remember(carry, action, reward, ended))
        with self.phases("record"):
            rollout, diverged = record.rollout(first_carry, carry)
            if record.waiting is not None:
                rollout, diverged = record.waiting.left_out(rollout, diverged)
            parts = () if rollout.obs.is_floating_point() else self.env.spec.parts
            reported = self.env.take_faults() if isinstance(self.env, TellsFaults) else ()
            return without_unsound_episodes(rollout, diverged, tasks, reported, parts)

    def heeding(self, heed: Callable[[], None]) -> "Collector":
        """Return the collector that calls `heed` before each step."""
        return replace(self, heed=heed)

    def deterministic(self) -> "Collector":
        """Return the collector that takes the most likely actions."""
        return replace(self, explore=False)

    def close(self) -> None:
        """Let the environment go of what it holds beyond memory."""
        if isinstance(self.env, Closable):
            self.env.close()
