"""Meta-testing: how return grows with adaptation, per task and per step, on tasks that were not trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from drml.algos.api import Learner
from drml.collect.api import Collect
from drml.core.fault import Fault, label
from drml.core.parallel import one_torch_thread
from drml.core.rng import Streams
from drml.core.tree import Params
from drml.core.types import Tasks
from drml.learning.returns import episode_returns
from drml.loop.cost import AdaptationCost
from drml.loop.curve import AdaptationCurve, at_points, returns_by_step
from drml.loop.meet import Meeting, meet
from drml.loop.success import Successes, episode_successes, says_success, successes_at_points, successes_by_step


@dataclass(frozen=True)
class Played:
    """Adaptation curve of one way to act, on the tasks with a sound first episode of it after each adaptation step."""

    curve: AdaptationCurve
    successes: Successes | None
    """Successes at the points of the curve; None where no environment ever said anything of success."""
    rows: Tensor
    """`[K']` int64, the rows of the curve's tasks among those that were given."""

    @staticmethod
    def of(curve: AdaptationCurve, successes: Successes | None, rows: Tensor) -> "Played":
        """Return what could be measured of K tasks, which were given at `rows` `[K]`."""
        measured = curve.returns.isfinite().any(-1).all(1).nonzero().flatten()
        found = None if successes is None else successes.select(measured)
        return Played(AdaptationCurve(curve.returns[measured]), found, rows[measured])

    def facts(self, tasks: Tasks, rounds: int, beside: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the curve, over all tasks and task by task, as plain values.

        Args:
            tasks: the tasks that were given, each once; row k of the test is task k // `rounds`.
            rounds: in how many each was met; more than one where they are all there are.
            beside: further numbers by task and adaptation step, `[K', S + 1]`.
        """
        task = self.rows // rounds
        curve, over = self.curve.pooled(task), "tasks" if rounds == 1 else "episodes"
        by_step = {"return_by_step": curve.by_task(), "std_by_step": curve.std_by_task()}
        by_step |= {} if self.successes is None else self.successes.by_task(task)
        return {
            "tasks": [
                {"params": tasks.plain_params(row), **{key: v[k].tolist() for key, v in {**by_step, **beside}.items()}}
                for k, row in enumerate(task.unique_consecutive().tolist())
            ],
            **self.curve.facts(task, over),
            **({} if self.successes is None else self.successes.facts(task, over)),
        }


@dataclass(frozen=True)
class MetaTest:
    """A meta-test: the adaptation curve of the tasks that could be measured, what it took, and what failed."""

    drawn: Played
    """The curve of actions that were drawn from the policy, from which adaptation went on."""
    cost: AdaptationCost
    """Episodes and steps before each point of the curve."""
    tasks: Tasks
    """The tasks of the curve's rows."""
    lost: tuple[int, ...]
    """The rows of the tasks that failed in some phase."""
    faults: tuple[tuple[int, Fault], ...]
    """Faults, each with its phase."""
    deterministic: Played | None = None
    """The curve of the most likely actions of the same agents, played beside it; None where that was not asked for."""

    @property
    def curve(self) -> AdaptationCurve:
        """Return the curve of returns."""
        return self.drawn.curve

    @property
    def successes(self) -> Successes | None:
        """Return the curve of successes, where environments say what one is."""
        return self.drawn.successes

    @property
    def rows(self) -> Tensor:
        """Return the rows of the curve's tasks among those that were given, `[K']` int64."""
        return self.drawn.rows

    def facts(self, tasks: Tasks, rounds: int) -> dict[str, Any]:
        """Return the curve, over all tasks and task by task, as plain values.

        `episodes` and `env_steps` are what one agent has taken before a point of the curve.

        Args:
            tasks: the tasks that were given, each once; row k of the test is task k // `rounds`.
            rounds: in how many each was met; more than one where they are all there are.
        """
        cost = self.cost.pooled(self.rows // rounds)
        taken_by_task = {"episodes_by_step": cost.episodes, "env_steps_by_step": cost.env_steps}
        facts = self.drawn.facts(tasks, rounds, taken_by_task)
        taken = zip(facts["return_by_step"], *cost.mean(), strict=True)
        return {
            "adapt_steps": cost.episodes.shape[1] - 1,
            "rounds": rounds,
            **facts,
            "return_by_step": [
                {**point, "episodes": episodes, "env_steps": env_steps} for point, episodes, env_steps in taken
            ],
            **({} if self.deterministic is None else {"deterministic": self._beside(tasks, rounds)}),
        }

    def _beside(self, tasks: Tasks, rounds: int) -> dict[str, Any] | None:
        """Return the curve of the most likely actions as plain values; None where no task could be measured."""
        if self.deterministic is None or not len(self.deterministic.rows):
            return None
        facts = self.deterministic.facts(tasks, rounds, {})
        del facts["trial_return"]  # its episodes are no trial: each was played beside one
        return facts

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
    learner: Learner,
    shared: Params,
    tasks: Tasks,
    collect: Collect,
    rng: Streams,
    adapt_steps: int,
    *,
    said: bool = False,
    deterministic: bool = False,
) -> MetaTest:
    """Return the adaptation curve on given tasks; `adapt_steps` may exceed those of meta-training.

    Args:
        learner: the learner.
        shared: what its agents begin with.
        tasks: the tasks.
        collect: plays the episodes.
        rng: root of the random streams.
        adapt_steps: adaptation steps.
        said: whether the family has said something of success before, as in training.
        deterministic: True also plays each point's agents with their most likely actions, in episodes that begin as
            the others do; nothing is learned from these, so all other numbers are the same.
    """
    prior = learner.prior(shared, tasks, collect.copies, rng["prior"])
    met = meet(learner, prior, tasks, collect, rng, adapt_steps)
    returns, successes = torch.empty(0, adapt_steps + 1, collect.copies), None
    if len(met.rows):
        returns = returns_by_step(met.history).cpu()  # [K', S + 1, B]
        successes = successes_by_step(met.history, said)
    drawn = Played.of(AdaptationCurve(returns), successes, met.rows)
    measured = torch.isin(met.rows, drawn.rows).nonzero().flatten()
    beside = _played_beside(learner, met, collect.deterministic(), rng, said) if deterministic else None
    return MetaTest(drawn, met.cost.select(measured), met.tasks.select(measured), met.lost, met.faults, beside)


def _played_beside(learner: Learner, met: Meeting, collect: Collect, rng: Streams, said: bool) -> Played:
    """Return the curve of the agents of a meeting, played once more in another way.

    A task of which a call fails is not measured.
    """
    returns: list[Tensor] = []
    successes: list[Tensor] = []
    said |= says_success(met.history)
    failed = torch.zeros(len(met.rows), dtype=torch.bool)
    if not len(met.rows):
        return Played(AdaptationCurve(torch.empty(0, met.adapt_steps + 1, collect.copies)), None, met.rows)
    for phase, agent in enumerate(met.episode.agents):
        rollout, faults = collect.with_faults(learner.policy, agent, met.tasks, rng["collect", phase])
        failed[[fault.row for fault in faults if fault.row >= 0 and not fault.is_of_numbers]] = True
        returns.append(episode_returns(rollout))  # and no more of it: the history is large enough
        successes.append(episode_successes(rollout))
        said |= says_success([rollout])
    earned = at_points(torch.stack(returns, 1), met.history).cpu()
    earned[failed] = torch.nan
    found = successes_at_points(torch.stack(successes, 2), met.history) if said else None
    return Played.of(AdaptationCurve(earned), found, met.rows)
