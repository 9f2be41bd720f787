"""The typed values that flow through the house. Axes, everywhere and in this order:

    K  tasks      T  steps      B  parallel copies of a task      then feature axes (O observation, A action)

What was observed (`Rollout`) and what was computed from it (`Advantages`) are different types; no field is optional,
but `success`, which most environments say nothing of.
Every boolean says which moment it speaks about: `terminated` and `truncated` describe the step they stand at.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor

from drml.core.distribution import Distribution
from drml.core.observation import Parts, size_of
from drml.core.rng import NoiseKind
from drml.core.tree import Params, Tree, params_map, tree_map


@dataclass(frozen=True)
class ActionSpec:
    """Actions that an environment accepts, as a policy gives them.

    continuous    float32 `[..., size]`
    discrete      int64 `[...]`, numbers below size
    joint         float32 `[..., n + m]`: a number below its count for each of n choices, then m continuous ones
    """

    kind: Literal["continuous", "discrete", "joint"]
    size: int
    """Outputs that a network needs: one for each continuous number, and for each option of each choice."""
    bound: float = math.inf
    """Saturation of continuous actions: one beyond ±bound does what ±bound does. Infinite where nothing is clipped."""
    counts: tuple[int, ...] = ()
    """Options of each choice of a joint action."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the axes of one action."""
        return {"continuous": (self.size,), "discrete": (), "joint": (len(self.counts) + self.num_numbers,)}[self.kind]

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of actions."""
        return torch.int64 if self.kind == "discrete" else torch.float32

    @property
    def num_numbers(self) -> int:
        """Return how many continuous numbers an action holds."""
        return 0 if self.kind == "discrete" else self.size - sum(self.counts)


@dataclass(frozen=True)
class EnvSpec:
    """The shape of a suite's environments, the same for each of its tasks."""

    obs_size: int
    """Length O of the observation vector."""
    action: ActionSpec
    horizon: int
    """Steps after which an episode is truncated."""
    parts: Parts = ()
    """Parts of observations that are rows of O bytes; none where they are rows of O float32 numbers."""
    flags: tuple[int, ...] = field(default=(), compare=False)
    """Columns of float32 rows that are marks and no quantities: flags, one-hot entries, signs. Specs are equal though
    they differ in these, because a declared one may leave them out."""

    @property
    def obs_dtype(self) -> torch.dtype:
        """Return the dtype of observations: uint8 where they have parts, else float32."""
        return torch.uint8 if self.parts else torch.float32

    @property
    def num_seen(self) -> int:
        """Return how many numbers an observation stands for."""
        return size_of(self.parts) if self.parts else self.obs_size


@dataclass(frozen=True)
class Noise:
    """The noise that a policy's distribution turns into one action: its kind and its shape."""

    kind: NoiseKind
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Tasks:
    """A batch of K tasks: named parameters `[K, ...]` and the stream keys of the tasks.

    `ids` key the tasks' random streams. They stay with a task when a subset is selected, so the data of a task do
    not depend on which other tasks run beside it.
    """

    params: dict[str, Tensor]
    ids: Tensor  # [K] int64

    def __len__(self) -> int:
        """Return K."""
        return len(self.ids)

    def select(self, index: Tensor) -> "Tasks":
        """Return the tasks at `index` (int64 or bool), ids included."""
        return Tasks({name: value[index] for name, value in self.params.items()}, self.ids[index])

    def repeated(self, times: int) -> "Tasks":
        """Return each task so many times in a row, to be met in rounds of their own: with ids 0, 1, 2, …"""
        params = {name: value.repeat_interleave(times, 0) for name, value in self.params.items()}
        return Tasks(params, torch.arange(times * len(self)))

    def plain_params(self, row: int) -> dict[str, Any]:
        """Return the parameters of one task as plain numbers and lists of them."""
        return {name: value[row].tolist() for name, value in self.params.items()}


AdaptsOn = Literal["episodes", "steps"]
"""Share of each copy in an adaptation step: one episode, however long, after which it waits for the others; or
as many steps as a horizon has, of one episode or, where they end early, of several."""

NEVER = torch.zeros((), dtype=torch.bool)
"""Flag for steps of which none is idle."""
ALWAYS = torch.ones((), dtype=torch.bool)
"""Flag for steps all of which were taken."""


@dataclass(frozen=True)
class Step:
    """The answer of K x B environments to one action each."""

    obs: Tensor
    """`[K, B, O]` what the agent sees next; the first observation of a new episode where one ended."""
    reward: Tensor
    """`[K, B]` float32."""
    terminated: Tensor
    """`[K, B]` bool: the episode ended at this step because the task ended; there is no future."""
    truncated: Tensor
    """`[K, B]` bool: the episode ended at this step because the horizon was reached; only our looking ends."""
    diverged: Tensor
    """`[K, B]` bool: this step is not to be trusted (a simulation broke down); its episode must not be learned from."""
    final_obs: Tensor
    """`[K, B, O]` the true observation after this step; equal to `obs` where the episode goes on."""
    idle: Tensor = NEVER
    """`[K, B]` bool: the step only started an episode, the action was not used and nothing came of it. Some foreign
    environments need one such step after an episode's end, until which `obs` is the last one. Left out, none does."""
    success: Tensor | None = None
    """`[K, B]` bool: the environment says that the step is a success; None where none of the copies says anything."""

    def __post_init__(self) -> None:
        if self.idle is NEVER:
            object.__setattr__(self, "idle", NEVER.to(self.reward.device).expand_as(self.reward))


@dataclass(frozen=True)
class FinalObs:
    """True last observations, kept for the steps at which episodes end alone: pictures are large, and ends are few."""

    rows: Tensor
    """`[1 + E, O]`: a row of zeros, then the observation after each of E ends."""
    at: Tensor
    """`[K, T, B]` int64: the row of each step, 0 where no episode ends."""

    @staticmethod
    def dense(obs: Tensor) -> "FinalObs":
        """Return those of observations `[K, T, B, O]`, one for each step."""
        rows = torch.cat([torch.zeros_like(obs[:1, 0, 0]), obs.flatten(0, 2)])
        return FinalObs(rows, _numbers_of(rows).view(obs.shape[:3]))

    @staticmethod
    def of_ends(obs: Tensor, ended: Tensor) -> "FinalObs":
        """Return those of the steps at which an episode `ended`, `[K, T, B]`, of observations `[K, T, B, O]`."""
        rows = torch.cat([torch.zeros_like(obs[:1, 0, 0]), obs[ended]])
        return FinalObs(rows, torch.zeros_like(ended, dtype=torch.int64).masked_scatter_(ended, _numbers_of(rows)))

    @staticmethod
    def side_by_side(parts: "Sequence[FinalObs]") -> "list[FinalObs]":
        """Return them with the rows of all in one table."""
        if len(parts) == 1:
            return list(parts)
        rows = torch.cat([parts[0].rows[:1], *(part.rows[1:] for part in parts)])
        before = accumulate((len(part.rows) - 1 for part in parts), initial=0)
        return [
            FinalObs(rows, torch.where(part.at > 0, part.at + n, 0)) for part, n in zip(parts, before, strict=False)
        ]


def _numbers_of(rows: Tensor) -> Tensor:
    """Return the numbers of all rows but the first one."""
    return torch.arange(1, len(rows), device=rows.device)


@dataclass(frozen=True)
class Rollout:
    """Observations of one agent that acted T steps in B copies of K tasks."""

    obs: Tensor
    """`[K, T, B, O]` what the agent saw before acting."""
    action: Tensor
    """`[K, T, B, A]` float, or `[K, T, B]` int64."""
    reward: Tensor
    """`[K, T, B]`."""
    terminated: Tensor
    """`[K, T, B]` bool: the task ended at this step."""
    truncated: Tensor
    """`[K, T, B]` bool: looking ended at this step (horizon, end of the rollout, or a diverged simulation)."""
    valid: Tensor
    """`[K, T, B]` bool: this step was taken in an episode that is sound; only these may be learned from."""
    final: FinalObs
    """True next observation where the episode ended at this step."""
    elapsed: Tensor
    """`[K, T, B]` int64: steps since the start of the episode, 0 at its first step."""
    log_prob: Tensor
    """`[K, T, B]` log-probability of the action under the acting distribution."""
    acting: Distribution
    """The acting distribution, `[K, T, B]`."""
    first_carry: Tree
    """The carry at the first step, leaves `[K, B, ...]`; empty for a policy without memory."""
    last_carry: Tree
    """The carry after the last step: what a memory takes into the task's next episode."""
    taken: Tensor = ALWAYS
    """`[K, T, B]` bool: the step was taken; false where the copy waited, its episode having ended, for the others."""
    success: Tensor | None = None
    """`[K, T, B]` bool: the environment said that the step was a success; None where no environment said anything."""

    def __post_init__(self) -> None:
        if self.taken is ALWAYS:
            object.__setattr__(self, "taken", ALWAYS.to(self.valid.device).expand_as(self.valid))

    @property
    def final_obs(self) -> Tensor:
        """Return the true next observations `[K, T, B, O]` where episodes ended, zero elsewhere: as large as `obs`."""
        return self.final.rows[self.final.at]

    @property
    def ended(self) -> Tensor:
        """Return where an episode ended, in either way, `[K, T, B]`."""
        return self.terminated | self.truncated

    @property
    def unsound(self) -> Tensor:
        """Return the steps that were taken but must not be learned from, `[K, T, B]`."""
        return self.taken & ~self.valid

    @property
    def env_steps(self) -> int:
        """Return the environment steps that were taken."""
        return int(self.taken.sum())

    def map(self, fn: Callable[..., Tensor], *others: "Rollout") -> "Rollout":
        """Return the rollout with `fn` applied to each tensor that has the axes `[K, T, B]`, here and in the others."""
        apart = ("acting", "final", "first_carry", "last_carry")
        said = _saying_alike((self, *others))
        names = [f.name for f in fields(self) if f.name not in apart and getattr(said[0], f.name) is not None]
        changed = {name: fn(*(getattr(rollout, name) for rollout in said)) for name in names}
        acting = [rollout.acting.tensors() for rollout in (self, *others)]
        final = FinalObs.side_by_side([rollout.final for rollout in (self, *others)])
        return replace(
            self,
            **changed,
            final=FinalObs(final[0].rows, fn(*(one.at for one in final))),
            acting=self.acting.replace({name: fn(*(a[name] for a in acting)) for name in acting[0]}),
        )

    def select_tasks(self, index: slice | Tensor) -> "Rollout":
        """Return the rollout of some of its tasks: a slice, or rows `[K']` int64."""
        return self.map(lambda value: value[index]).map_carries(lambda value: value[index])

    def map_carries(self, fn: Callable[[Tensor], Tensor]) -> "Rollout":
        """Return the rollout with `fn` applied to each tensor of its carries, `[K, B, ...]`."""
        return replace(self, first_carry=tree_map(fn, self.first_carry), last_carry=tree_map(fn, self.last_carry))


def _saying_alike(rollouts: "Sequence[Rollout]") -> "Sequence[Rollout]":
    """Return rollouts of one family: where one of them says what was a success, those that are silent had none."""
    if all(rollout.success is None for rollout in rollouts):
        return rollouts
    return [r if r.success is not None else replace(r, success=torch.zeros_like(r.valid)) for r in rollouts]


def join_rollouts(rollouts: Sequence[Rollout]) -> Rollout:
    """Return the rollouts of one agent's consecutive episodes as one, joined along T."""
    joined = rollouts[0].map(lambda *parts: torch.cat(parts, 1), *rollouts[1:])
    return replace(joined, last_carry=rollouts[-1].last_carry)


@dataclass(frozen=True)
class Advantages:
    """Advantages computed from a rollout: how much better each action was than expected, and its weight."""

    advantage: Tensor
    """`[K, T, B]`."""
    weight: Tensor
    """`[K, T, B]` non-negative, sums to 1 over (T, B) for each task: an expectation is `(weight * x).sum((-2, -1))`."""

    def select_tasks(self, index: slice) -> "Advantages":
        """Return the advantages of a slice of the tasks."""
        return Advantages(self.advantage[index], self.weight[index])

    def map(self, fn: Callable[[Tensor], Tensor]) -> "Advantages":
        """Return those of some of the steps: `fn` of each tensor, weights summing to 1 again where any are left."""
        weight = fn(self.weight)
        total = weight.sum((1, 2), keepdim=True)
        return Advantages(fn(self.advantage), torch.where(total > 0.0, weight / total, weight))


@dataclass(frozen=True)
class Agent:
    """Agents of K tasks, as one value: the parameters that act, a memory, and a memo. Adaptation may change each."""

    params: Params
    """Shared by all tasks (stored once, shapes as `Policy.init` made them), or one set per task (`[K, ...]`)."""
    carry: Tree = field(default_factory=dict[str, "Tensor | Tree"])
    """The policy's memory, leaves `[K, B, ...]`; empty before the first step, and where a policy has none."""
    memo: Tree = field(default_factory=dict[str, "Tensor | Tree"])
    """Notes that adaptation keeps for its own next step (an optimiser's moments, a posterior), leaves `[K, ...]`."""
    stacked: bool = False
    """True where the parameters are one set per task."""

    def select(self, rows: Tensor) -> "Agent":
        """Return the agents of some of the tasks, `[K']` int64."""
        params = params_map(lambda value: value[rows], self.params) if self.stacked else self.params
        carry, memo = (tree_map(lambda value: value[rows], tree) for tree in (self.carry, self.memo))
        return Agent(params, carry, memo, self.stacked)


def join_agents(agents: Sequence[Agent]) -> Agent:
    """Return the agents of several groups of tasks as one; where none is stacked they share their parameters."""
    stacked = any(agent.stacked for agent in agents)
    params = agents[0].params
    if stacked:
        params = {name: torch.cat([agent.params[name] for agent in agents]) for name in params}
    carry, memo = (
        tree_map(lambda *parts: torch.cat(parts), *trees)
        for trees in ([agent.carry for agent in agents], [agent.memo for agent in agents])
    )
    return Agent(params, carry, memo, stacked)


@dataclass(frozen=True)
class MetaEpisode:
    """One meta-episode: by phase, before adaptation, after one step, after two, … of the same K tasks."""

    tasks: Tasks
    agents: Sequence[Agent]
    """Agents that acted in each phase."""
    history: Sequence[Rollout]
    """Rollouts of each phase."""

    def select(self, rows: Tensor) -> "MetaEpisode":
        """Return the meta-episode of some of its tasks, `[K']` int64."""
        agents = [agent.select(rows) for agent in self.agents]
        return MetaEpisode(self.tasks.select(rows), agents, [rollout.select_tasks(rows) for rollout in self.history])


def whole(tensor: Tensor) -> Tensor:
    """Return a `[T, K, B, ...]` buffer as a contiguous `[K, T, B, ...]` tensor."""
    return torch.transpose(tensor, 0, 1).contiguous()
