"""The rows of a run's log: what is said of a meta-iteration."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from drml.algos.api import Metrics
from drml.loop.caveats import caveats
from drml.loop.cost import AdaptationCost
from drml.loop.curve import returns_by_step
from drml.loop.meet import Meeting
from drml.loop.progress import Progress
from drml.loop.quarantine import Incident
from drml.loop.success import successes_by_step
from drml.loop.trainer import Row

ENDS = (("pre", 0), ("post", -1))
SUCCESS = ("pre_success_any", "pre_success_last", "post_success_any", "post_success_last")
"""Names in a row of the shares of episodes with success before and after adaptation, where environments say it."""


def train_row(progress: Progress, met: Meeting, metrics: Metrics, incidents: Sequence[Incident] = ()) -> Row:
    """Return the numbers of one meta-iteration to log."""
    history = met.history
    rows = met.rows.tolist()
    dropped = [
        {"phase": phase, "task": rows[k], "copy": b, "step": t}
        for phase, rollout in enumerate(history)
        for k, t, b in (~rollout.valid & rollout.ended).nonzero().tolist()
    ]
    returns = returns_by_step(history) if history else torch.full((1, 1, 1), math.nan)
    pre_return, post_return = (float(returns[:, step].nanmean()) for step in (0, -1))
    numbers = {name: float(value.mean()) if isinstance(value, Tensor) else value for name, value in metrics.items()}
    return {
        "kind": "train",
        "meta_iter": progress.meta_iter,
        "env_steps": progress.env_steps,
        "seconds": progress.seconds,
        "pre_return": pre_return,
        "post_return": post_return,
        **_success(met, progress.says_success),
        **_last(met.cost),
        **numbers,
        **({"dropped_episodes": dropped} if dropped else {}),
        **({"warnings": warnings} if (warnings := caveats(history, numbers)) else {}),
        **fault_fields(progress, incidents),
    }


def _success(met: Meeting, said: bool) -> dict[str, float]:
    """Return the shares of episodes with success before and after adaptation; nothing where nobody ever said any."""
    if not met.history:
        return dict.fromkeys(SUCCESS, math.nan) if said else {}
    found = successes_by_step(met.history, said)
    if found is None:
        return {}
    ends = ((when, name, curve.returns[:, step]) for when, step in ENDS for name, curve in found.named.items())
    return {f"{when}_{name}": float(values.nanmean()) for when, name, values in ends}


def _last(cost: AdaptationCost) -> dict[str, float]:
    """Return what all adaptation steps together took of an agent, over the tasks; NaN where there are none."""
    episodes, env_steps = cost.mean()
    return {"adapt_episodes": episodes[-1], "adapt_env_steps": env_steps[-1]}


def fault_fields(progress: Progress, incidents: Sequence[Incident]) -> dict[str, object]:
    """Return what a row says of faulty tasks; nothing while there are none."""
    found: dict[str, object] = {"faults": [incident.facts() for incident in incidents]} if incidents else {}
    quarantine = progress.quarantine
    if quarantine.strikes:
        found |= {"faulty_share": quarantine.share, "quarantined_tasks": quarantine.num_quarantined}
    return found


def fault_texts(rows: Sequence[Row]) -> list[str]:
    """Return what the faults of some rows say, a line for each."""
    return [fault["text"] for row in rows for fault in cast(Sequence[Mapping[str, str]], row.get("faults", ()))]


def warnings_of(rows: Sequence[Row]) -> dict[str, str]:
    """Return what some rows warn of, by name."""
    warnings = (w for row in rows for w in cast(Sequence[Mapping[str, str]], row.get("warnings", ())))
    return {warning["name"]: warning["text"] for warning in warnings}
