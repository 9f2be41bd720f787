"""Record of acting: looks become rows; copies that fall behind or wait are kept apart."""

from dataclasses import replace

import torch
from torch import Tensor

from drml.collect.soundness import blanked, elapsed_steps
from drml.core.distribution import Distribution
from drml.core.errors import EnvError
from drml.core.tree import Tree, tree_where
from drml.core.types import FinalObs, Rollout, Step, whole


class Record:
    """Preallocated `[T, K, B, ...]` buffers that become a `[K, T, B, ...]` rollout.

    A look is one call of the environment. Where no copy is ever idle, look t is row t of the rollout. A copy that is
    idle falls behind: its look is dropped, and looks go on until the slowest copy has its T rows. Where copies are
    `waiting` for the others, looks end with the last episode.
    """

    def __init__(self, steps: int, obs: Tensor, device: str, waiting: "Waiting | None" = None) -> None:
        num_tasks, copies, obs_size = obs.shape
        in_rows = (num_tasks, steps, copies, obs_size)
        self.steps = steps
        self.look = 0
        self.obs = torch.empty(in_rows, dtype=obs.dtype, device=device).transpose(0, 1)  # as it lies in the rollout
        self.reward = torch.empty((steps, num_tasks, copies), device=device)
        self.ended = torch.zeros((3, steps, num_tasks, copies), dtype=torch.bool, device=device)
        self.has_final = torch.zeros((steps, num_tasks, copies), dtype=torch.bool, device=device)
        self.final_rows = [torch.zeros((1, obs_size), dtype=obs.dtype, device=device)]  # by look, then task, then copy
        self.success: Tensor | None = None  # made when an environment first says something of it
        self.actions: list[Tensor] = []
        self.distributions: list[Distribution] = []
        self.behind: Behind | None = None
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
        if step.success is not None:
            self.success = torch.zeros_like(self.ended[0]) if self.success is None else self.success
            self.success[t] = step.success
        if self.waiting is None and self.behind is None and bool(step.idle.any()):
            self.behind = Behind(t, step.idle.to(terminated.device))
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
            self.has_final[t] = ended
            self.final_rows.append(step.final_obs.to(ended.device)[ended])
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
        final_at = self.has_final.flatten().cumsum(0).view_as(self.has_final) * self.has_final
        rollout = Rollout(
            obs=whole(kept(self.obs)),
            action=action,
            reward=whole(kept(self.reward)),
            terminated=terminated,
            truncated=truncated,
            valid=torch.ones_like(ended),
            final=FinalObs(torch.cat(self.final_rows), whole(kept(final_at))),
            elapsed=elapsed_steps(ended),
            log_prob=acting.log_prob(action),
            acting=acting,
            first_carry=first_carry,
            last_carry=last_carry if self.behind is None else self.behind.last,
            success=None if self.success is None else whole(kept(self.success)),
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
        self.obs, self.reward, self.has_final = (
            torch.cat([looks, torch.zeros_like(looks)]) for looks in (self.obs, self.reward, self.has_final)
        )
        self.ended = torch.cat([self.ended, torch.zeros_like(self.ended)], 1)
        if self.success is not None:
            self.success = torch.cat([self.success, torch.zeros_like(self.success)])


class Behind:
    """Progress of each copy once one has been idle: its looks and its rows are no longer the same."""

    def __init__(self, look: int, idle: Tensor) -> None:
        self.row = torch.full(idle.shape, look, device=idle.device)  # [K, B] rows that are complete
        self.dropped = [torch.zeros_like(idle)] * look  # by look, [K, B]
        self.last: Tree = {}
        """The carry after the last row."""

    def has_rows(self, steps: int) -> bool:
        """Return whether each copy has so many rows."""
        return bool((self.row >= steps).all())

    def at_row(self, row: int) -> Tensor:
        """Return which copies have so many rows, `[K, B]`."""
        return self.row == row

    def row_of(self, noise: Tensor) -> Tensor:
        """Return each copy's own row of `noise [T, K, B, ...]`."""
        tasks, copies = (torch.arange(n, device=self.row.device) for n in self.row.shape)
        return noise[self.row.clamp_max(len(noise) - 1), tasks[:, None], copies]

    def add(self, idle: Tensor, steps: int) -> None:
        """Count a look; copies that were `idle` at it, or have their rows, drop it."""
        self.dropped.append(idle | (self.row >= steps))
        self.row = self.row + ~self.dropped[-1]

    def advance(self, first: Tree, before: Tree, after: Tree, steps: int) -> Tree:
        """Return the carry for the next look; a copy that is through starts over, as a memory need not hold more."""
        dropped, through = self.dropped[-1], self.row >= steps
        after = tree_where(dropped, before, after)
        self.last = tree_where(through & ~dropped, after, self.last or first)
        return tree_where(through, first, after)

    def kept(self, looks: Tensor, steps: int) -> Tensor:
        """Return the rows `[T, K, B, ...]` of all looks `[L, K, B, ...]`."""
        index = torch.argsort(torch.stack(self.dropped), dim=0, stable=True)[:steps]  # [T, K, B]
        tasks, copies = (torch.arange(n, device=index.device) for n in self.row.shape)
        return looks.expand(-1, *self.row.shape, *looks.shape[3:])[index, tasks[:, None], copies]


class Waiting:
    """Copies that have ended the one episode that is asked of each: what they show from there on is no data."""

    def __init__(self) -> None:
        self.by_look: list[Tensor] = []
        """By look from the first on at which a copy waited, `[K, B]` bool."""
        self.first_look = 0
        self._ended: Tensor | None = None  # [K, B], none before the first end
        self.is_over = False
        """True once all copies have ended theirs."""

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
