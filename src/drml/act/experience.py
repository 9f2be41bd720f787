"""Experience of the sessions since their last adaptation, and the rollout that learning sees of it.

A look is one call of `act` and `observe`, for all copies. The looks of a copy are cut into stretches: an episode each
for learners that adapt on episodes, else so many in a row that they have as many steps as a horizon. Where adaptation
comes first, a stretch ends there. The stretches of a session are the copies of its rollout, all of them from their
first step on; shorter ones are followed by steps that were not taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import final

import torch
from torch import Tensor

from drml.collect.soundness import blanked
from drml.core.distribution import Distribution
from drml.core.types import FinalObs, Rollout


@dataclass(frozen=True)
class Look:
    """One look at K x B copies: what each saw, did and got; leaves `[K, B, …]`."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor
    """Observation after the step where it is known, else the one before it; read where looking ended."""
    elapsed: Tensor
    """Steps since the start of the episode, int64."""
    taken: Tensor
    """False (bool) where the step only started an episode."""
    explored: Tensor
    """False (bool) where the action was not drawn from the policy: an episode with one is not learned from."""

    def map(self, fn: Callable[..., Tensor], *others: "Look") -> "Look":
        """Return the look with `fn` applied to each tensor, here and in the others."""
        return Look(**{f.name: fn(*(getattr(look, f.name) for look in (self, *others))) for f in fields(self)})


@final
class Experience:
    """Looks of K sessions, each from its own last adaptation on."""

    def __init__(self, sessions: int, copies: int) -> None:
        self.looks: list[Look] = []
        self.acting: list[Distribution] = []
        """Acting distributions, by look; tensors that broadcast against `[K, B, …]`."""
        self.since = torch.zeros(sessions, dtype=torch.int64)
        """First look `[K]` that a session has not adapted to."""
        self.open = torch.zeros(sessions, copies, dtype=torch.bool)
        """Copies `[K, B]` of whose running episode some looks are kept, or were until the last adaptation."""

    def add(self, look: Look, acting: Distribution) -> None:
        """Add what came of one look.

        An agent that is only to work must not grow: a look that nothing is learned from is left out where no running
        episode is kept, and so is then the rest of its episode.
        """
        if not bool(look.explored.any()) and not (self.looks and bool(self.open.any())):
            self.open.zero_()
            return
        whole = self.open | (look.elapsed == 0)
        self.looks.append(replace(look, explored=look.explored & whole))
        self.acting.append(acting)
        self.open = ~(look.terminated | look.truncated)

    def forget(self, rows: Tensor) -> None:
        """Forget what sessions `[K']` have seen so far."""
        self.since[rows] = len(self.looks)
        old = int(self.since.min())
        del self.looks[:old], self.acting[:old]
        self.since -= old

    def rollout(self, rows: Tensor, horizon: int, whole_episodes: bool) -> Rollout | None:
        """Return the rollout `[K', T, C, …]` of some sessions; None where one of them has nothing to learn from.

        Args:
            rows: `[K']` int64.
            horizon: steps of an episode.
            whole_episodes: True leaves out episodes that have not ended.
        """
        if not self.looks:
            return None
        looks = self.looks[0].map(lambda *x: torch.stack(x)[:, rows], *self.looks[1:])  # [L, K', B, …]
        counts = looks.taken & (torch.arange(len(self.looks))[:, None, None] >= self.since[rows, None])
        found = _Stretches.of(looks, counts, horizon, whole_episodes)
        if int(found.per_session.min()) == 0:
            return None
        at = found.arranged(horizon)
        acting = self._acting(rows, looks.reward.shape)
        return at.rollout(looks, acting)

    def _acting(self, rows: Tensor, shape: torch.Size) -> Distribution:
        """Return the acting distributions of sessions at all looks, `[L, K', B, …]`."""
        sessions, copies = len(self.since), shape[2]

        def of_all(name: str) -> Tensor:  # one for all sessions or copies, until one of them has adapted
            columns = [acting.tensors()[name] for acting in self.acting]
            return torch.stack([column.expand(sessions, copies, *column.shape[2:])[rows] for column in columns])

        return self.acting[0].replace({name: of_all(name) for name in self.acting[0].tensors()})


@dataclass(frozen=True)
class _Stretches:
    """Steps of stretches that are to be learned from, in the order of session, stretch, copy and time; `[N]` each."""

    look: Tensor
    session: Tensor
    copy: Tensor
    column: Tensor
    """Column of the session that the step belongs to."""
    time: Tensor
    """Place in the column."""
    is_cut: Tensor
    """True for the last step so far of an episode that has not ended."""
    per_session: Tensor
    """`[K']` stretches of each session."""

    @staticmethod
    def of(looks: Look, counts: Tensor, horizon: int, whole_episodes: bool) -> "_Stretches":
        """Return the stretches of looks `[L, K', B]`, of which some count."""
        ended = (looks.terminated | looks.truncated) & looks.taken
        episode = ended.to(torch.int64).cumsum(0) - ended.to(torch.int64)
        counts = counts & ~_marked(counts & ~looks.explored, episode)
        if whole_episodes:
            counts = counts & _marked(ended, episode)
        stretch = _stretch_of(counts, ended & counts, 1 if whole_episodes else horizon)
        most = int(stretch.max()) + 1
        has = _in_each(counts, stretch, most) > 0  # [S, K', B]
        order = has.transpose(0, 1).flatten(1).to(torch.int64)  # [K', S·B]
        column = (order.cumsum(1) - order).unflatten(1, (most, -1)).transpose(0, 1)
        so_far = counts.to(torch.int64).cumsum(0)
        before = _in_each(counts, stretch, most).cumsum(0)  # up to the end of each stretch
        is_last = counts & (so_far == before.gather(0, stretch))
        time = so_far - 1 - (before - _in_each(counts, stretch, most)).gather(0, stretch)
        look, session, copy = at = counts.nonzero(as_tuple=True)
        return _Stretches(
            look, session, copy, column.gather(0, stretch)[at], time[at], (is_last & ~ended)[at], order.sum(1)
        )

    def arranged(self, horizon: int) -> "_Arranged":
        """Return where the steps lie in rollouts of as many steps as the longest stretch has.

        A rollout's last step may have been its own end, so that a truncation there is no time limit of the environment.
        Where it is one, a step follows that was not taken.
        """
        steps = int(self.time.max()) + 1
        is_last = self.time == steps - 1
        steps += int(steps < horizon and not bool((is_last & self.is_cut).any()))
        shape = (len(self.per_session), steps, int(self.per_session.max()))
        to = (self.session, self.time, self.column)
        look, copy, taken, cut = (
            torch.zeros(shape, dtype=values.dtype).index_put_(to, values)
            for values in (self.look, self.copy, torch.ones_like(self.is_cut), self.is_cut)
        )
        return _Arranged(look, copy, taken, cut)


def _in_each(marked: Tensor, part: Tensor, parts: int) -> Tensor:
    """Return how many steps `[L, K', B]` are marked in each part, `[parts, K', B]`."""
    count = torch.zeros((parts, *marked.shape[1:]), dtype=torch.int64)
    return count.scatter_add_(0, part, marked.to(torch.int64))


def _marked(marked: Tensor, part: Tensor) -> Tensor:
    """Return which steps share a part with a marked one."""
    return _in_each(marked, part, int(part.max()) + 1).gather(0, part) > 0


def _stretch_of(counts: Tensor, ended: Tensor, least: int) -> Tensor:
    """Return the stretch of each step `[L, K', B]`: one ends with the first episode that ends after so many steps."""
    stretch, length = torch.zeros_like(counts[0], dtype=torch.int64), torch.zeros_like(counts[0], dtype=torch.int64)
    found: list[Tensor] = []
    for counts_there, ended_there in zip(counts, ended, strict=True):
        found.append(stretch)
        length = length + counts_there
        closes = ended_there & (length >= least)
        stretch, length = stretch + closes, length.masked_fill(closes, 0)
    return torch.stack(found)


@dataclass(frozen=True)
class _Arranged:
    """Places of a rollout's steps among the looks; `[K', T, C]` each."""

    look: Tensor
    copy: Tensor
    taken: Tensor
    cut: Tensor

    def rollout(self, looks: Look, acting: Distribution) -> Rollout:
        """Return the rollout of looks and acting distributions `[L, K', B, …]`."""
        session = torch.arange(len(self.look)).view(-1, 1, 1)

        def of(values: Tensor) -> Tensor:
            return values[self.look, session, self.copy]

        steps = looks.map(of)
        terminated = steps.terminated & self.taken
        truncated = (steps.truncated | self.cut) & self.taken & ~terminated
        acted = acting.replace({name: of(value) for name, value in acting.tensors().items()})
        rollout = Rollout(
            obs=steps.obs,
            action=steps.action,
            reward=steps.reward,
            terminated=terminated,
            truncated=truncated,
            valid=self.taken,
            final=FinalObs.of_ends(steps.final_obs, terminated | truncated),
            elapsed=steps.elapsed,
            log_prob=acted.log_prob(steps.action),
            acting=acted,
            first_carry={},
            last_carry={},
            taken=self.taken,
        )
        return rollout if bool(self.taken.all()) else blanked(rollout, ~self.taken)
