"""Collecting: one agent acts T steps in B copies of K tasks. The only place where a policy meets an environment.

An episode that holds a diverged or non-finite step is not valid, and blanked. What went wrong is a value of its own,
beside the rollout: learners see sound data and nothing else, and a task without any is left out before they see it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from drml.core.distribution import Distribution
from drml.core.errors import EnvError, NumericError
from drml.core.fault import Fault, FaultKind
from drml.core.parallel import one_torch_thread
from drml.core.phases import Phases
from drml.core.rng import Streams, task_noise
from drml.core.tree import Tree, tree_where
from drml.core.types import Agent, Rollout, Step, Tasks, whole
from drml.envs.api import BatchEnv, Closable, TellsFaults
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
    one_episode: bool = False
    """Whether a copy waits once its first episode has ended; if not, others follow until it has its T steps."""
    heed: Callable[[], None] = lambda: None
    """Called before each step; what it raises ends the collecting there."""

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
            record = _Record(self.steps, obs, self.device, _Waiting() if self.one_episode else None)
        carry = first_carry = agent.carry or policy.initial_carry(len(tasks), self.copies)
        while not record.is_full:
            self.heed()
            before = carry
            with self.phases("policy"):
                distribution, carry = policy.step(agent.params, record.see(obs), carry)
                action = distribution.sample(record.row_of(noise))
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
            reported = self.env.take_faults() if isinstance(self.env, TellsFaults) else ()
            return without_unsound_episodes(rollout, diverged, tasks, reported)

    def close(self) -> None:
        """Let the environment go of what it holds beyond memory."""
        if isinstance(self.env, Closable):
            self.env.close()


class _Record:
    """Preallocated `[T, K, B, ...]` buffers that become a `[K, T, B, ...]` rollout.

    A look is one call of the environment. Where no copy is ever idle, look t is row t of the rollout. A copy that is
    idle falls behind: its look is dropped, and looks go on until the slowest copy has its T rows. Where copies are
    `waiting` for the others, looks end with the last episode.
    """

    def __init__(self, steps: int, obs: Tensor, device: str, waiting: "_Waiting | None" = None) -> None:
        num_tasks, copies, obs_size = obs.shape
        self.steps = steps
        self.look = 0
        self.obs = torch.empty((steps, num_tasks, copies, obs_size), device=device)
        self.reward = torch.empty((steps, num_tasks, copies), device=device)
        self.ended = torch.zeros((3, steps, num_tasks, copies), dtype=torch.bool, device=device)
        self.final_obs = torch.zeros_like(self.obs)
        self.actions: list[Tensor] = []
        self.distributions: list[Distribution] = []
        self.behind: _Behind | None = None
        self.waiting = waiting

    @property
    def is_full(self) -> bool:
        """Return whether each copy has T rows, or waits."""
        if self.waiting is not None and self.waiting.is_over:
            return True
        return self.look >= self.steps and (self.behind is None or self.behind.has_rows(self.steps))

    def see(self, obs: Tensor) -> Tensor:
        """Return the observations of the next look, on the policy's device."""
        if self.look == len(self.obs):
            self._lengthen()
        self.obs[self.look] = obs
        return self.obs[self.look]

    def row_of(self, noise: Tensor) -> Tensor:
        """Return each copy's own row of `noise [T, K, B, ...]`."""
        return noise[self.look] if self.behind is None else self.behind.row_of(noise)

    def add(self, distribution: Distribution, action: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """Record a step; return the reward, and whether the episode, or the look at it, ended there, `[K, B]`."""
        t = self.look
        self.distributions.append(distribution)
        self.actions.append(action)
        self.reward[t] = step.reward
        terminated, truncated, diverged = self.ended[:, t].unbind()
        terminated.copy_(step.terminated)
        diverged.copy_(step.diverged)
        if self.waiting is None and self.behind is None and bool(step.idle.any()):
            self.behind = _Behind(t, step.idle.to(terminated.device))
        if self.behind is not None:
            truncated.copy_(step.truncated).logical_or_(self.behind.at_row(self.steps - 1) & ~terminated)
        elif t == self.steps - 1:  # looking ends with the rollout
            truncated.fill_(True).logical_and_(~terminated)
        else:
            truncated.copy_(step.truncated)
        ended = terminated | truncated
        if self.waiting is not None:
            ended = self.waiting.add(ended, t)
        if bool(ended.any()):
            self.final_obs[t] = step.final_obs.to(ended.device).masked_fill(~ended.unsqueeze(-1), 0.0)
        if self.behind is not None:
            self.behind.add(step.idle.to(ended.device), self.steps)
        self.look += 1
        return self.reward[t], ended

    def advance(self, first: Tree, before: Tree, after: Tree) -> Tree:
        """Return the carry for the next look: as it was `before`, for a copy of which the last one was dropped."""
        if self.waiting is not None:
            return self.waiting.advance(before, after)
        return after if self.behind is None else self.behind.advance(first, before, after, self.steps)

    def rollout(self, first_carry: Tree, last_carry: Tree) -> tuple[Rollout, Tensor]:
        """Return the rollout as it was recorded, and where it diverged, `[K, T, B]`."""
        kept = self._kept
        terminated, truncated, diverged = (whole(kept(flags)) for flags in self.ended)
        ended = terminated | truncated
        acting = self.distributions[0]
        columns = {name: torch.stack([d.tensors()[name] for d in self.distributions]) for name in acting.tensors()}
        num_tasks = ended.shape[0]  # parameters that are shared by the tasks are shown once for each of them
        acting = acting.replace({n: whole(kept(x.expand(-1, num_tasks, *x.shape[2:]))) for n, x in columns.items()})
        action = whole(kept(torch.stack(self.actions)))
        rollout = Rollout(
            obs=whole(kept(self.obs)),
            action=action,
            reward=whole(kept(self.reward)),
            terminated=terminated,
            truncated=truncated,
            valid=torch.ones_like(ended),
            final_obs=whole(kept(self.final_obs)),
            elapsed=elapsed_steps(ended),
            log_prob=acting.log_prob(action),
            acting=acting,
            first_carry=first_carry,
            last_carry=last_carry if self.behind is None else self.behind.last,
        )
        return rollout, diverged

    def _kept(self, looks: Tensor) -> Tensor:
        """Return the looks `[T, K, B, ...]` that became rows, of all looks `[L, K, B, ...]`."""
        looks = looks[: self.look]
        return looks if self.behind is None else self.behind.kept(looks, self.steps)

    def _lengthen(self) -> None:
        """Make room for as many looks as rows again: no more can be needed, since a row lies before each idle step."""
        if self.look > self.steps:
            raise EnvError("a copy of the environment stays idle; it may be idle for one step after an episode's end")
        self.obs, self.reward, self.final_obs = (
            torch.cat([looks, torch.zeros_like(looks)]) for looks in (self.obs, self.reward, self.final_obs)
        )
        self.ended = torch.cat([self.ended, torch.zeros_like(self.ended)], 1)


class _Behind:
    """How far each copy is once one has been idle: its looks and its rows are no longer the same."""

    def __init__(self, look: int, idle: Tensor) -> None:
        self.row = torch.full(idle.shape, look, device=idle.device)  # [K, B] rows that are complete
        self.dropped = [torch.zeros_like(idle)] * look  # by look, [K, B]
        self.last: Tree = {}
        """The carry after the last row."""

    def has_rows(self, steps: int) -> bool:
        return bool((self.row >= steps).all())

    def at_row(self, row: int) -> Tensor:
        return self.row == row

    def row_of(self, noise: Tensor) -> Tensor:
        tasks, copies = (torch.arange(n, device=self.row.device) for n in self.row.shape)
        return noise[self.row.clamp_max(len(noise) - 1), tasks[:, None], copies]

    def add(self, idle: Tensor, steps: int) -> None:
        self.dropped.append(idle | (self.row >= steps))
        self.row = self.row + ~self.dropped[-1]

    def advance(self, first: Tree, before: Tree, after: Tree, steps: int) -> Tree:
        """Return the carry for the next look; a copy that is through starts over, as a memory need not hold more."""
        dropped, through = self.dropped[-1], self.row >= steps
        after = tree_where(dropped, before, after)
        self.last = tree_where(through & ~dropped, after, self.last or first)
        return tree_where(through, first, after)

    def kept(self, looks: Tensor, steps: int) -> Tensor:
        index = torch.argsort(torch.stack(self.dropped), dim=0, stable=True)[:steps]  # [T, K, B]
        tasks, copies = (torch.arange(n, device=index.device) for n in self.row.shape)
        return looks.expand(-1, *self.row.shape, *looks.shape[3:])[index, tasks[:, None], copies]


class _Waiting:
    """Which copies have ended the one episode that is asked of each: what they show from there on is no data."""

    def __init__(self) -> None:
        self.by_look: list[Tensor] = []
        """By look from the first on at which a copy waited, `[K, B]` bool."""
        self.first_look = 0
        self._ended: Tensor | None = None  # [K, B], none before the first end
        self.is_over = False
        """Whether all copies have ended theirs."""

    def add(self, ended: Tensor, look: int) -> Tensor:
        """Return where a copy's one episode `ended` at a look."""
        if self._ended is None:
            if bool(ended.any()):
                self._ended, self.first_look, self.is_over = ended.clone(), look + 1, bool(ended.all())
            return ended
        self.by_look.append(self._ended)
        ended = ended & ~self._ended
        self._ended = self._ended | ended
        self.is_over = bool(self._ended.all())
        return ended

    def advance(self, before: Tree, after: Tree) -> Tree:
        """Return the carry for the next look: a copy that waited through the last one keeps its memory."""
        return tree_where(self.by_look[-1], before, after) if self.by_look else after

    def left_out(self, rollout: Rollout, diverged: Tensor) -> tuple[Rollout, Tensor]:
        """Return the rollout, and where it diverged, without what copies showed while they waited."""
        if not self.by_look:
            return rollout, diverged
        waited = torch.zeros_like(rollout.valid)
        waited[:, self.first_look :] = whole(torch.stack(self.by_look))
        rollout = replace(
            blanked(rollout, waited), terminated=rollout.terminated & ~waited, truncated=rollout.truncated & ~waited
        )
        return replace(rollout, valid=~waited, taken=~waited), diverged & ~waited


def blanked(rollout: Rollout, steps: Tensor) -> Rollout:
    """Return the rollout with zeros in place of all numbers at the given `steps` `[K, T, B]`; flags stay."""

    def blank(x: Tensor) -> Tensor:
        if x.shape[:3] != steps.shape or x.dtype == torch.bool:
            return x
        return x.masked_fill(steps.view(*steps.shape, *(1,) * (x.dim() - 3)), 0)

    return rollout.map(blank)


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

    found = _faults_of_numbers(rollout, bad, ended, tasks, reported)
    return replace(blanked(rollout, unsound), valid=rollout.valid & ~unsound), (*reported, *found)


def _faults_of_numbers(
    rollout: Rollout, bad: Mapping[str, Tensor], ended: Tensor, tasks: Tasks, reported: Sequence[Fault]
) -> list[Fault]:
    """Return the first bad step of each unsound episode; of tasks that the environment reported nothing is added."""
    told = {fault.row for fault in reported}
    hashes = content_hashes(tasks)
    episode = _episode(ended)
    faults: list[Fault] = []
    for k, t, b in first_in_episode(torch.stack(list(bad.values())).any(0), ended).nonzero().tolist():
        if k in told:
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
