"""Meta-testing: how return grows with adaptation, per task and per step, on tasks that were not trained on."""

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
from drml.loop.cost import AdaptationCost
from drml.loop.curve import AdaptationCurve, returns_by_step
from drml.loop.meet import meet


@dataclass(frozen=True)
class MetaTest:
    """A meta-test: the adaptation curve of the tasks that could be measured, what it took, and what failed."""

    curve: AdaptationCurve
    cost: AdaptationCost
    """Episodes and steps before each point of the curve."""
    tasks: Tasks
    """The tasks of the curve's rows: those with a sound first episode after each adaptation step."""
    rows: Tensor
    """`[K']` int64, their rows among the tasks that were given."""
    lost: tuple[int, ...]
    """The rows of the tasks that failed in some phase."""
    faults: tuple[tuple[int, Fault], ...]
    """Faults, each with its phase."""

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
    learner: Learner, shared: Params, tasks: Tasks, collect: Collect, rng: Streams, adapt_steps: int
) -> MetaTest:
    """Return the adaptation curve on given tasks; `adapt_steps` may exceed those of meta-training."""
    prior = learner.prior(shared, tasks, collect.copies, rng["prior"])
    met = meet(learner, prior, tasks, collect, rng, adapt_steps)
    returns = torch.empty(0, adapt_steps + 1, collect.copies)
    if len(met.rows):
        returns = returns_by_step(met.history).cpu()  # [K', S + 1, B]
    measured = returns.isfinite().any(-1).all(1).nonzero().flatten()
    curve = AdaptationCurve(returns[measured])
    cost, tested = met.cost.select(measured), met.tasks.select(measured)
    return MetaTest(curve, cost, tested, met.rows[measured], met.lost, met.faults)
