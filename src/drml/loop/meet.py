"""A meta-episode: an agent acts and adapts on each of K tasks; training and testing share it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from drml.algos.api import Learner
from drml.collect.api import Collect
from drml.core.errors import EnvError
from drml.core.fault import Fault, label
from drml.core.parallel import one_torch_thread
from drml.core.rng import Streams
from drml.core.tree import Params
from drml.core.types import Agent, MetaEpisode, Rollout, Tasks
from drml.loop.cost import AdaptationCost, adaptation_cost


@dataclass(frozen=True)
class Meeting:
    """Outcome of one meta-episode: what happened on the tasks that it could be played on, and all that failed."""

    episode: MetaEpisode
    """Tasks, agents and rollouts of the K' tasks with sound episodes in every phase, and no call that failed."""
    rows: Tensor
    """`[K']` int64, their rows among the K tasks that were to be met."""
    lost: tuple[int, ...]
    """The rows of the others."""
    faults: tuple[tuple[int, Fault], ...]
    """Faults in order, each with its phase; `Fault.row` counts among the K tasks."""
    env_steps: int
    """Environment steps taken, those of tasks that were lost included."""
    adapt_steps: int
    """S, the adaptation steps that were asked for."""

    @property
    def tasks(self) -> Tasks:
        """Return the K' tasks."""
        return self.episode.tasks

    @property
    def history(self) -> Sequence[Rollout]:
        """Return their rollouts, one per phase: before adaptation, after one step, after two, …"""
        return self.episode.history

    @property
    def cost(self) -> AdaptationCost:
        """Return what the agents of the K' tasks took of adaptation."""
        if not len(self.tasks):
            return AdaptationCost(*torch.empty(2, 0, self.adapt_steps + 1, dtype=torch.float64))
        return adaptation_cost(self.history)


@one_torch_thread()
def meet(
    learner: Learner,
    agent: Agent,
    tasks: Tasks,
    collect: Collect,
    rng: Streams,
    adapt_steps: int,
    first_phase: int = 0,
) -> Meeting:
    """Play one meta-episode, begun by given agents; a task that fails in some phase is left out from there on.

    It fails where a call of its environment did, or no sound episode is left. The episodes that were complete when a
    call failed are dropped too: they are the short ones, and learning from those alone would be biased.

    Training and testing share this function. Whatever fails on a task, the data of the others are the same: a task's
    noise is its own, and it is left out before anything is computed from the tasks together.

    Agents that have met their tasks before go on at `first_phase`, the number of phases that they have played by then.
    """
    num_tasks = len(tasks)
    rows = torch.arange(num_tasks)
    played = MetaEpisode(tasks, [], [])
    faults: list[tuple[int, Fault]] = []
    env_steps = 0
    for phase in range(first_phase, first_phase + adapt_steps + 1):
        if not len(rows):
            break
        rollout, found = collect.with_faults(learner.policy, agent, played.tasks, rng["collect", phase])
        env_steps += rollout.env_steps
        faults += [(phase, replace(f, row=int(rows[f.row]) if f.row >= 0 else f.row)) for f in found]
        sound = rollout.valid.flatten(1).any(1).cpu()
        sound[[f.row for f in found if f.row >= 0 and not f.is_of_numbers]] = False
        played = MetaEpisode(played.tasks, [*played.agents, agent], [*played.history, rollout])
        if not bool(sound.all()):
            kept = sound.nonzero().flatten()
            played, rows, agent = played.select(kept), rows[kept], agent.select(kept)
        if phase < first_phase + adapt_steps and len(rows):
            with collect.phases("adapt"):
                agent = learner.adapt(agent, played.history[-1], phase, rng["adapt", phase])
    lost = tuple(sorted(set(range(num_tasks)) - set(rows.tolist())))
    return Meeting(played, rows, lost, tuple(faults), env_steps, adapt_steps)


def meta_episode(
    learner: Learner, shared: Params, tasks: Tasks, collect: Collect, rng: Streams, adapt_steps: int
) -> MetaEpisode:
    """Return one meta-episode from the prior, in which no task may be lost.

    Raises:
        EnvError: if a task is left without a sound episode in some phase.
    """
    prior = learner.prior(shared, tasks, collect.copies, rng["prior"])
    met = meet(learner, prior, tasks, collect, rng, adapt_steps)
    for row in met.lost:
        first = next(fault for _, fault in met.faults if fault.row == row)
        raise EnvError(f"task {label(first.params)}: every episode failed, the first one {first.describe()}")
    return met.episode
