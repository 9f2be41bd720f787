"""Collecting: one agent acts T steps in B copies of K tasks. The only place where a policy meets an environment."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from drml.core.distribution import Distribution
from drml.core.errors import EnvError, NumericError
from drml.core.parallel import one_torch_thread
from drml.core.phases import Phases
from drml.core.rng import Streams, task_noise
from drml.core.tree import Tree
from drml.core.types import Agent, Rollout, Step, Tasks, whole
from drml.envs.api import BatchEnv
from drml.policies.api import Policy


@dataclass(frozen=True)
class Collector:
    """How rollouts are collected: where, how long, in how many copies; `phases` is told where the time goes."""

    env: BatchEnv
    steps: int
    """T, steps per rollout; one horizon, unless several episodes are wanted."""
    copies: int
    """B, parallel copies of each task."""
    phases: Phases
    device: str = "cpu"
    """Where the policy runs and the rollout lies."""

    @torch.no_grad()
    @one_torch_thread()
    def __call__(self, policy: Policy, agent: Agent, tasks: Tasks, rng: Streams) -> Rollout:
        """Return what was observed.

        The data of a task are a function of the agent's parameters for it, its parameters and id, and `rng`; not of
        the tasks beside it (up to the last bit of matrix products, whose kernels depend on the batch's size).

        Raises:
            EnvError: if some task has no sound episode at all.
        """
        with self.phases("reset"):
            obs = self.env.reset(tasks, self.copies, rng["env"])
            shape = (self.steps, self.copies, *policy.noise.shape)
            noise = whole(task_noise(rng["action"], tasks.ids, policy.noise.kind, shape)).to(self.device)  # [T, K, B]
            record = _Record(self.steps, obs, self.device)
        carry = first_carry = agent.carry or policy.initial_carry(len(tasks), self.copies)
        for t in range(self.steps):
            with self.phases("policy"):
                record.see(t, obs)
                distribution, carry = policy.step(agent.params, record.obs[t], carry)
                action = distribution.sample(noise[t])
            with self.phases("env"):
                step = self.env.step(action)
            with self.phases("record"):
                ended = record.add(t, distribution, action, step)
                obs = step.obs
            with self.phases("policy"):
                carry = policy.remember(carry, action, record.reward[t], ended)
        with self.phases("record"):
            return record.rollout(first_carry, carry)


class _Record:
    """Preallocated `[T, K, B, ...]` buffers that become a `[K, T, B, ...]` rollout."""

    def __init__(self, steps: int, obs: Tensor, device: str) -> None:
        num_tasks, copies, obs_size = obs.shape
        self.steps = steps
        self.obs = torch.empty((steps, num_tasks, copies, obs_size), device=device)
        self.reward = torch.empty((steps, num_tasks, copies), device=device)
        self.ended = torch.zeros((3, steps, num_tasks, copies), dtype=torch.bool, device=device)
        self.final_obs = torch.zeros_like(self.obs)
        self.actions: list[Tensor] = []
        self.distributions: list[Distribution] = []

    def see(self, t: int, obs: Tensor) -> None:
        self.obs[t] = obs

    def add(self, t: int, distribution: Distribution, action: Tensor, step: Step) -> Tensor:
        """Record a step and return whether the episode, or the look at it, ended there, `[K, B]`."""
        self.distributions.append(distribution)
        self.actions.append(action)
        self.reward[t] = step.reward
        terminated, truncated, diverged = self.ended[:, t].unbind()
        terminated.copy_(step.terminated)
        diverged.copy_(step.diverged)
        if t == self.steps - 1:  # looking ends with the rollout
            truncated.fill_(True).logical_and_(~terminated)
        else:
            truncated.copy_(step.truncated)
        ended = terminated | truncated
        if bool(ended.any()):
            self.final_obs[t] = step.final_obs.to(ended.device).masked_fill(~ended.unsqueeze(-1), 0.0)
        return ended

    def rollout(self, first_carry: Tree, last_carry: Tree) -> Rollout:
        terminated, truncated, diverged = (whole(flags) for flags in self.ended)
        ended = terminated | truncated
        acting = self.distributions[0]
        columns = {name: torch.stack([d.tensors()[name] for d in self.distributions]) for name in acting.tensors()}
        num_tasks = ended.shape[0]  # parameters that are shared by the tasks are shown once for each of them
        acting = acting.replace({n: whole(x.expand(-1, num_tasks, *x.shape[2:])) for n, x in columns.items()})
        action = whole(torch.stack(self.actions))
        rollout = Rollout(
            obs=whole(self.obs),
            action=action,
            reward=whole(self.reward),
            terminated=terminated,
            truncated=truncated,
            valid=torch.ones_like(ended),
            final_obs=whole(self.final_obs),
            elapsed=elapsed_steps(ended),
            log_prob=acting.log_prob(action),
            acting=acting,
            first_carry=first_carry,
            last_carry=last_carry,
        )
        return without_unsound_episodes(rollout, diverged)


def elapsed_steps(ended: Tensor) -> Tensor:
    """Return the steps since the start of each episode, `[K, T, B]` int64, from where episodes `ended`."""
    t = torch.arange(ended.shape[1], device=ended.device).view(1, -1, 1)
    starts = torch.where(ended, t + 1, 0)  # an end at t means a start at t + 1
    last_start = torch.cat([torch.zeros_like(starts[:, :1]), starts.cummax(1).values[:, :-1]], 1)
    return t - last_start


def without_unsound_episodes(rollout: Rollout, diverged: Tensor) -> Rollout:
    """Return the rollout with each episode that holds a diverged or non-finite step marked not valid and blanked.

    Args:
        rollout: a rollout.
        diverged: `[K, T, B]` bool from the environment.

    Raises:
        NumericError: if the policy's actions are not finite where the observations are.
        EnvError: if some task has no sound episode at all.
    """
    numbers = (rollout.obs, rollout.final_obs, rollout.reward, rollout.log_prob)
    if not bool(diverged.any()) and all(bool(x.sum().isfinite()) for x in numbers):
        return rollout
    env_is_bad = diverged | ~(rollout.obs.isfinite().all(-1) & rollout.final_obs.isfinite().all(-1))
    env_is_bad |= ~rollout.reward.isfinite()
    ended = rollout.terminated | rollout.truncated
    unsound = in_same_episode(env_is_bad, ended)
    to_blame = ~unsound | ((rollout.elapsed == 0) & rollout.obs.isfinite().all(-1))  # no simulation ran before a start
    if bool((~rollout.log_prob.isfinite() & to_blame).any()):
        raise NumericError("the policy's actions are not finite: its parameters have diverged; lower the step sizes")
    if bool((~unsound).sum((1, 2)).eq(0).any()):
        k = int((~unsound).sum((1, 2)).argmin())
        raise EnvError(f"task {k} of {len(unsound)}: every episode diverged; check the environment with small actions")

    def blank(x: Tensor) -> Tensor:
        if x.shape[:3] != unsound.shape or x.dtype == torch.bool:
            return x
        return x.masked_fill(unsound.view(*unsound.shape, *(1,) * (x.dim() - 3)), 0)

    return replace(rollout.map(blank), valid=~unsound)


def in_same_episode(marked: Tensor, ended: Tensor) -> Tensor:
    """Return which steps `[K, T, B]` share an episode with a marked step."""
    episode = ended.to(torch.int64).cumsum(1) - ended.to(torch.int64)  # index of the step's episode in its copy
    count = torch.zeros_like(episode).scatter_add_(1, episode, marked.to(torch.int64))
    return count.gather(1, episode) > 0
