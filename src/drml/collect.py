"""Collecting: one agent acts T steps in B copies of K tasks. The only place where a policy meets an environment.

An episode that holds a diverged or non-finite step is not valid, and blanked. What went wrong is a value of its own,
beside the rollout: learners see sound data and nothing else, and a task without any is left out before they see it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from drml.core.distribution import Distribution
from drml.core.errors import NumericError
from drml.core.fault import Fault, FaultKind
from drml.core.parallel import one_torch_thread
from drml.core.phases import Phases
from drml.core.rng import Streams, task_noise
from drml.core.tree import Tree
from drml.core.types import Agent, Rollout, Step, Tasks, whole
from drml.envs.api import BatchEnv, Closable
from drml.policies.api import Policy
from drml.tasks.distribution import content_hashes


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
            record = _Record(self.steps, obs, self.device)
            reported: list[Fault] = []
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
                reported.extend(step.faults)
            with self.phases("policy"):
                carry = policy.remember(carry, action, record.reward[t], ended)
        with self.phases("record"):
            rollout, diverged = record.rollout(first_carry, carry)
            return without_unsound_episodes(rollout, diverged, tasks, reported)

    def close(self) -> None:
        """Let the environment go of what it holds beyond memory."""
        if isinstance(self.env, Closable):
            self.env.close()


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

    def rollout(self, first_carry: Tree, last_carry: Tree) -> tuple[Rollout, Tensor]:
        """Return the rollout as it was recorded, and where it diverged, `[K, T, B]`."""
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
        return rollout, diverged


def elapsed_steps(ended: Tensor) -> Tensor:
    """Return the steps since the start of each episode, `[K, T, B]` int64, from where episodes `ended`."""
    t = torch.arange(ended.shape[1], device=ended.device).view(1, -1, 1)
    starts = torch.where(ended, t + 1, 0)  # an end at t means a start at t + 1
    last_start = torch.cat([torch.zeros_like(starts[:, :1]), starts.cummax(1).values[:, :-1]], 1)
    return t - last_start


def without_unsound_episodes(
    rollout: Rollout, diverged: Tensor, tasks: Tasks, reported: Sequence[Fault] = ()
) -> tuple[Rollout, tuple[Fault, ...]]:
    """Return the rollout with each episode that holds a diverged or non-finite step marked not valid and blanked.

    Args:
        rollout: a rollout.
        diverged: `[K, T, B]` bool from the environment.
        tasks: whose rollout it is.
        reported: what the environment says has failed; the faults that are returned begin with it.

    Raises:
        NumericError: if the policy's actions are not finite where the observations are.
    """
    numbers = (rollout.obs, rollout.final_obs, rollout.reward, rollout.log_prob)
    if not bool(diverged.any()) and all(bool(x.sum().isfinite()) for x in numbers):
        return rollout, tuple(reported)
    bad = {
        "diverged": diverged,
        "observation": ~rollout.obs.isfinite().all(-1),  # first: what a policy makes of it is not finite either
        "reward": ~rollout.reward.isfinite(),
        "last observation": ~rollout.final_obs.isfinite().all(-1),
    }
    env_is_bad = torch.stack(list(bad.values())).any(0)
    ended = rollout.terminated | rollout.truncated
    unsound = in_same_episode(env_is_bad, ended)
    to_blame = ~unsound | ((rollout.elapsed == 0) & rollout.obs.isfinite().all(-1))  # no simulation ran before a start
    if bool((~rollout.log_prob.isfinite() & to_blame).any()):
        raise NumericError("the policy's actions are not finite: its parameters have diverged; lower the step sizes")

    def blank(x: Tensor) -> Tensor:
        if x.shape[:3] != unsound.shape or x.dtype == torch.bool:
            return x
        return x.masked_fill(unsound.view(*unsound.shape, *(1,) * (x.dim() - 3)), 0)

    found = _faults_of_numbers(rollout, bad, ended, tasks, reported)
    return replace(rollout.map(blank), valid=~unsound), (*reported, *found)


def _faults_of_numbers(
    rollout: Rollout, bad: Mapping[str, Tensor], ended: Tensor, tasks: Tasks, reported: Sequence[Fault]
) -> list[Fault]:
    """Return the first bad step of each unsound episode; of copies that the environment reported nothing is added."""
    told = {(fault.row, fault.copy) for fault in reported}
    hashes = content_hashes(tasks)
    episode = _episode(ended)
    faults: list[Fault] = []
    for k, t, b in first_in_episode(torch.stack(list(bad.values())).any(0), ended).nonzero().tolist():
        if (k, b) in told or (k, -1) in told:
            continue
        what = next(name for name, places in bad.items() if bool(places[k, t, b]))
        step = int(rollout.elapsed[k, t, b])
        kind: FaultKind = "diverged" if what == "diverged" else "not finite"
        at_start = what == "observation" and step == 0
        called = int(what == "observation" and step > 0)  # an observation comes from the call before the step
        faults.append(
            Fault(
                task=hashes[k],
                params=tasks.plain_params(k),
                row=k,
                copy=b,
                episode=int(episode[k, t, b]),
                step=step - called,
                moment="reset" if at_start else "step",
                kind=kind,
                message="" if kind == "diverged" else what,
                action=() if at_start else tuple(rollout.action[k, t - called, b].double().reshape(-1).tolist()),
            )
        )
    return faults


def in_same_episode(marked: Tensor, ended: Tensor) -> Tensor:
    """Return which steps `[K, T, B]` share an episode with a marked step."""
    episode = _episode(ended)
    count = torch.zeros_like(episode).scatter_add_(1, episode, marked.to(torch.int64))
    return count.gather(1, episode) > 0


def first_in_episode(marked: Tensor, ended: Tensor) -> Tensor:
    """Return which marked steps `[K, T, B]` are the first of their episode."""
    so_far = marked.to(torch.int64).cumsum(1)
    before = torch.cat([torch.zeros_like(so_far[:, :1]), so_far[:, :-1]], 1)
    t = torch.arange(marked.shape[1], device=marked.device).view(1, -1, 1)
    return marked & (before == before.gather(1, t - elapsed_steps(ended)))


def _episode(ended: Tensor) -> Tensor:
    """Return the index of each step's episode in its copy, `[K, T, B]`."""
    return ended.to(torch.int64).cumsum(1) - ended.to(torch.int64)
