"""A meta-episode: an agent acts and adapts on each of K tasks; training and testing share it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from drml.algos.api import Learner, LearnerState
from drml.collect.collector import Collector
from drml.core.errors import EnvError
from drml.core.fault import Fault, label
from drml.core.parallel import one_torch_thread
from drml.core.rng import Streams
from drml.core.tree import Params, tree_map
from drml.core.types import Agent, Rollout, Tasks
from drml.loop.cost import AdaptationCost, adaptation_cost


@dataclass(frozen=True)
class Meeting:
    """What came of one meta-episode: the tasks that it could be played on, and what failed on them and the others."""

    tasks: Tasks
    """The K' tasks with sound episodes in every phase, and no call that failed."""
    rows: Tensor
    """`[K']` int64, their rows among the K tasks that were to be met."""
    lost: tuple[int, ...]
    """The rows of the others."""
    history: list[Rollout]
    """The rollouts of these tasks, one per phase: before adaptation, after one step, after two, …"""
    faults: tuple[tuple[int, Fault], ...]
    """What failed, in order, each with its phase; `Fault.row` counts among the K tasks."""
    env_steps: int
    """Environment steps taken, those of tasks that were lost included."""
    adapt_steps: int
    """S, the adaptation steps that were asked for."""

    @property
    def cost(self) -> AdaptationCost:
        """Return what the agents of the K' tasks took of adaptation."""
        if not len(self.tasks):
            return AdaptationCost(*torch.empty(2, 0, self.adapt_steps + 1, dtype=torch.float64))
        return adaptation_cost(self.history)


@one_torch_thread()
def meet(
    learner: Learner, state: LearnerState, tasks: Tasks, collect: Collector, rng: Streams, adapt_steps: int
) -> Meeting:
    """Play one meta-episode; a task that fails in some phase is left out from there on.

    It fails where a call of its environment did, or no sound episode is left. The episodes that were complete when a
    call failed are dropped too: they are the short ones, and learning from those alone would be biased.

    Training and testing share this function. Whatever fails on a task, the data of the others are the same: a task's
    noise is its own, and it is left out before anything is computed from the tasks together.
    """
    agent = learner.prior(state, tasks, rng["prior"])
    num_tasks = len(tasks)
    rows = torch.arange(num_tasks)
    history: list[Rollout] = []
    faults: list[tuple[int, Fault]] = []
    env_steps = 0
    for phase in range(adapt_steps + 1):
        if not len(rows):
            break
        rollout, found = collect.with_faults(learner.policy, agent, tasks, rng["collect", phase])
        env_steps += rollout.env_steps
        faults += [(phase, replace(f, row=int(rows[f.row]) if f.row >= 0 else f.row)) for f in found]
        sound = rollout.valid.flatten(1).any(1).cpu()
        sound[[f.row for f in found if f.row >= 0 and not f.is_of_numbers]] = False
        history.append(rollout)
        if not bool(sound.all()):
            kept = sound.nonzero().flatten()
            tasks, rows, agent = tasks.select(kept), rows[kept], _select(agent, kept, state.params)
            history = [met.select_tasks(kept) for met in history]
        if phase < adapt_steps and len(rows):
            with collect.phases("adapt"):
                agent = learner.adapt(agent, history[-1], phase)
    lost = tuple(sorted(set(range(num_tasks)) - set(rows.tolist())))
    return Meeting(tasks, rows, lost, history, tuple(faults), env_steps, adapt_steps)


def _select(agent: Agent, rows: Tensor, shared: Params) -> Agent:
    """Return the agent of some of its tasks; parameters of as many axes as the shared ones are shared."""
    params = {name: value if value.dim() == shared[name].dim() else value[rows] for name, value in agent.params.items()}
    return Agent(params, tree_map(lambda value: value[rows], agent.carry))


def meta_episode(
    learner: Learner, state: LearnerState, tasks: Tasks, collect: Collector, rng: Streams, adapt_steps: int
) -> list[Rollout]:
    """Return the rollouts of one meta-episode in which no task may be lost, one per phase.

    Raises:
        EnvError: if a task is left without a sound episode in some phase.
    """
    met = meet(learner, state, tasks, collect, rng, adapt_steps)
    for row in met.lost:
        first = next(fault for _, fault in met.faults if fault.row == row)
        raise EnvError(f"task {label(first.params)}: every episode failed, the first one {first.describe()}")
    return met.history
