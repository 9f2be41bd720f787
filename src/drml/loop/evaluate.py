"""Meta-testing: how return grows with adaptation, per task and per step, on tasks that were not trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

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
from drml.learning.returns import first_episode_returns
from drml.loop.stats import over_one_seed


@dataclass(frozen=True)
class AdaptationCost:
    """What one agent has taken before each point of its adaptation curve: nothing before the first, unless it lost one.

    All copies of a task adapt one agent of a gradient learner, whose step takes the episodes of all of them. Each copy
    is an agent of its own where a memory adapts, and takes one. Episodes that were begun count, also those that were
    cut short or unsound: a memory that lost one comes to its next point after two. Agents that never come to a point,
    because they lost too many, do not count there.
    """

    episodes: Tensor
    """`[K, S + 1]` float64 by adaptation step: episodes so far, meaned over a task's agents; NaN where none is left."""
    env_steps: Tensor
    """`[K, S + 1]` float64: environment steps so far."""

    def mean(self) -> tuple[list[float], list[float]]:
        """Return episodes and environment steps before each point, meaned over tasks; NaN where there are none."""
        return self.episodes.nanmean(0).tolist(), self.env_steps.nanmean(0).tolist()

    def select(self, rows: Tensor) -> "AdaptationCost":
        """Return the cost on some of the tasks."""
        return AdaptationCost(self.episodes[rows], self.env_steps[rows])

    def pooled(self, task: Tensor) -> "AdaptationCost":
        """Return the cost on K' tasks that were met in several rounds: the mean over those of a task.

        Args:
            task: `[K]` int64, the task of each row, in order.
        """
        return AdaptationCost(*(_by_task(taken, task).nanmean(1) for taken in (self.episodes, self.env_steps)))


def adaptation_cost(history: Sequence[Rollout]) -> AdaptationCost:
    """Return what came before each of the rollouts of K tasks, one per phase."""

    def before_each(counted: Callable[[Rollout], Tensor]) -> Tensor:
        taken = torch.stack([counted(rollout).sum(1) for rollout in history], 1).to(torch.float64)
        before = taken.cumsum(1) - taken  # [K, S + 1, B] by phase
        if not history[0].first_carry:
            return before.sum(2).cpu()
        phase, is_missing = phase_of_points(history)
        return before.gather(1, phase).masked_fill(is_missing, torch.nan).nanmean(2).cpu()

    return AdaptationCost(
        before_each(lambda rollout: rollout.taken & rollout.ended), before_each(lambda rollout: rollout.taken)
    )


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


def episode_returns(rollout: Rollout) -> Tensor:
    """Return each copy's undiscounted first-episode return, `[K, B]`; NaN where that episode was not sound."""
    returns = first_episode_returns(rollout.reward, rollout.ended)
    return returns.masked_fill(~rollout.valid[:, 0], torch.nan)


def returns_by_step(history: Sequence[Rollout]) -> Tensor:
    """Return each copy's return after 0 … S adaptation steps, `[K, S + 1, B]`; NaN where it was not measured.

    What adapts by its carry adapts copy by copy, and an unsound episode leaves nothing there. So the j-th sound episode
    of a copy is the one after j − 1 steps, and what is missing is missing at the end.
    """
    returns = torch.stack([episode_returns(rollout) for rollout in history], 1)
    return returns.gather(1, phase_of_points(history)[0]) if history[0].first_carry else returns


def phase_of_points(history: Sequence[Rollout]) -> tuple[Tensor, Tensor]:
    """Return in which phase each copy that adapts by its carry came to a point of its curve, and where it never did.

    Both are `[K, S + 1, B]`; phases of points that were not reached are those of the unsound episodes.
    """
    is_unsound = torch.stack([~rollout.valid[:, 0] for rollout in history], 1).to(torch.int8)
    return is_unsound.argsort(dim=1, stable=True), is_unsound.sort(dim=1, stable=True).values > 0


@dataclass(frozen=True)
class AdaptationCurve:
    """Returns by task, adaptation step and episode."""

    returns: Tensor
    """`[K, S + 1, B]` undiscounted episode returns after 0 … S adaptation steps; NaN for unsound episodes."""

    def by_task(self) -> Tensor:
        """Return the mean over episodes, `[K, S + 1]`."""
        return self.returns.nanmean(-1)

    def std_by_task(self) -> Tensor:
        """Return the sample standard deviation over sound episodes, `[K, S + 1]`; NaN where fewer than two are."""
        squares = (self.returns - self.by_task()[..., None]).square()
        degrees = ((~squares.isnan()).sum(-1) - 1).clamp(min=0)
        return (squares.nansum(-1) / degrees).sqrt()

    def mean(self) -> list[float]:
        """Return the mean over tasks after each step; NaN where there are none."""
        return self.by_task().mean(0).tolist()

    def pooled(self, task: Tensor) -> "AdaptationCurve":
        """Return the curve of K' tasks that were met in several rounds: all episodes of a task in one row.

        Args:
            task: `[K]` int64, the task of each row, in order.
        """
        return AdaptationCurve(_by_task(self.returns.movedim(2, 1), task).flatten(1, 2).movedim(1, 2))

    def facts(self, task: Tensor, over: Literal["tasks", "episodes"]) -> dict[str, Any]:
        """Return the returns after each step, what adaptation gains and what whole trials return, with their intervals.

        Args:
            task: `[K]` int64, the task of each row, in order. What varies within a task are rounds: in each it is
                adapted to anew, and all episodes of a gradient learner after that are played by the one policy.
            over: `tasks` where they were drawn, `episodes` where they are all there are.
        """
        rounds = _by_task(self.by_task().double(), task)  # [K', R, S + 1]
        steps = range(rounds.shape[2])
        gain = over_one_seed(rounds[..., -1] - rounds[..., 0], over)
        return {
            "return_by_step": [{"step": step, **over_one_seed(rounds[..., step], over).facts()} for step in steps],
            "gain": gain.facts() if len(steps) > 1 else None,
            "trial_return": over_one_seed(rounds.sum(2), over).facts(),
        }


def _by_task(values: Tensor, task: Tensor) -> Tensor:
    """Return values `[K, …]` by task, `[K', R, …]`; NaN where a task has fewer rows than another."""
    _, group, counts = task.unique_consecutive(return_inverse=True, return_counts=True)
    place = torch.arange(len(task)) - (counts.cumsum(0) - counts)[group]
    found = values.new_full((len(counts), int(counts.max()), *values.shape[1:]), torch.nan)
    found[group, place] = values
    return found


@dataclass(frozen=True)
class MetaTest:
    """A meta-test: the adaptation curve of the tasks that could be measured, what it took, and what failed."""

    curve: AdaptationCurve
    cost: AdaptationCost
    """What came before each point of the curve."""
    tasks: Tasks
    """The tasks of the curve's rows: those with a sound first episode after each adaptation step."""
    rows: Tensor
    """`[K']` int64, their rows among the tasks that were given."""
    lost: tuple[int, ...]
    """The rows of the tasks that failed in some phase."""
    faults: tuple[tuple[int, Fault], ...]
    """What failed, each with its phase."""

    def facts(self, tasks: Tasks, rounds: int) -> dict[str, Any]:
        """Return the curve, over all tasks and task by task, as plain values.

        `episodes` and `env_steps` are what one agent has taken before a point of the curve.

        Args:
            tasks: the tasks that were given, each once; row k of the test is task k // `rounds`.
            rounds: in how many each was met; more than one where they are all there are.
        """
        task = self.rows // rounds
        curve, cost = self.curve.pooled(task), self.cost.pooled(task)
        by_step = {"return_by_step": curve.by_task(), "std_by_step": curve.std_by_task()}
        by_step |= {"episodes_by_step": cost.episodes, "env_steps_by_step": cost.env_steps}
        facts = self.curve.facts(task, "tasks" if rounds == 1 else "episodes")
        taken = zip(facts["return_by_step"], *cost.mean(), strict=True)
        return {
            "adapt_steps": curve.returns.shape[1] - 1,
            "rounds": rounds,
            "tasks": [
                {"params": tasks.plain_params(row), **{key: values[k].tolist() for key, values in by_step.items()}}
                for k, row in enumerate(task.unique_consecutive().tolist())
            ],
            **facts,
            "return_by_step": [
                {**point, "episodes": episodes, "env_steps": env_steps} for point, episodes, env_steps in taken
            ],
        }

    def unmeasured(self, tasks: Tasks) -> list[dict[str, Any]]:
        """Return those of the given tasks that count in no mean, each once with the first fault on it, as plain values.

        A task that was lost in some of its rounds is among them.
        """
        first = {fault.row: fault for _, fault in reversed(self.faults)}
        missing = sorted(set(range(len(tasks))) - set(self.rows.tolist()))
        rows: dict[str, int] = {}
        for row in missing:
            rows.setdefault(repr(tasks.plain_params(row)), row)
        params = {row: tasks.plain_params(row) for row in rows.values()}
        return [{"params": params[row], "text": f"{label(params[row])}: {first[row].describe()}"} for row in params]


@one_torch_thread()
def meta_test(
    learner: Learner, state: LearnerState, tasks: Tasks, collect: Collector, rng: Streams, adapt_steps: int
) -> MetaTest:
    """Return the adaptation curve on given tasks; `adapt_steps` may exceed those of meta-training."""
    met = meet(learner, state, tasks, collect, rng, adapt_steps)
    returns = torch.empty(0, adapt_steps + 1, collect.copies)
    if len(met.rows):
        returns = returns_by_step(met.history).cpu()  # [K', S + 1, B]
    measured = returns.isfinite().any(-1).all(1).nonzero().flatten()
    curve = AdaptationCurve(returns[measured])
    cost, tested = met.cost.select(measured), met.tasks.select(measured)
    return MetaTest(curve, cost, tested, met.rows[measured], met.lost, met.faults)
