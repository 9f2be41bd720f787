"""Quarantine: tasks whose environment keeps failing are no longer met.

Decisions are values: they are in the checkpoint, and a run that goes on from it repeats them. A task that fails takes a
strike, at most one per meta-iteration, and with the third it is out: it is dropped after sampling, so
the other tasks, their ids and with them their random numbers stay the same. What counts:

    a call that raised, hung, died or ran out of memory      a strike
    numbers that diverged or were not finite                 a strike where no sound episode is left

A simulation that breaks down under an odd action of an untrained policy is no defect of the task: its episode is
dropped, and the task stays. Strikes of validation count for validation alone, because looking changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from drml.core.errors import CheckpointError
from drml.core.fault import Fault, label
from drml.core.fields import Fields
from drml.core.types import Tasks
from drml.tasks.distribution import content_hashes

MAX_STRIKES = 3
During = Literal["train", "validation"]
KEPT = 0.9  # of what was counted before; counts so decayed reach back some ten meta-iterations


@dataclass(frozen=True)
class Incident:
    """Strike of a task: its first fault in a meta-iteration or validation."""

    fault: Fault
    phase: int
    """Adaptation steps before it."""
    episodes: int
    """Faults of the task in all, one per dropped episode or broken process."""
    is_lost: bool
    """True where the task was left out of the meta-iteration; a fault in `close` costs no data."""
    strikes: int
    """Strikes of the task, this one included."""

    @property
    def is_quarantined(self) -> bool:
        """Return whether this was the last strike."""
        return self.strikes >= MAX_STRIKES

    def describe(self) -> str:
        """Return one line: the task, what failed and what follows."""
        follows = "quarantined" if self.is_quarantined else f"strike {self.strikes} of {MAX_STRIKES}"
        return f"task {label(self.fault.params)}: {self.fault.describe()}; {follows}"

    def facts(self) -> dict[str, Any]:
        """Return the incident as plain values, to log."""
        fault = self.fault
        return {
            "phase": self.phase,
            "task": fault.task,
            "params": dict(fault.params),
            "fault": fault.kind,
            "moment": fault.moment,
            "message": fault.message,
            "copy": fault.copy,
            "episode": fault.episode,
            "step": fault.step,
            "action": list(fault.action),
            "seed": fault.seed,
            "faults": self.episodes,
            "lost": self.is_lost,
            "strikes": self.strikes,
            "quarantined": self.is_quarantined,
            "text": self.describe(),
        }


@dataclass(frozen=True)
class Quarantine:
    """Strikes by task, and the share of tasks that could not be used of late."""

    strikes: Mapping[str, int] = field(default_factory=dict)
    """By content hash, and those of validation by 'validation' and the hash; tasks without any are not in it."""
    met: float = 0.0
    """Tasks that were to be met, decayed by 0.9 per meta-iteration."""
    missed: float = 0.0
    """Those of them that were quarantined or lost."""

    @property
    def share(self) -> float:
        """Return the share of tasks missed in the last ten or so meta-iterations."""
        return self.missed / self.met if self.met > 0.0 else 0.0

    @property
    def num_quarantined(self) -> int:
        """Return how many tasks are quarantined, in training or validation."""
        return len({key.split()[-1] for key, count in self.strikes.items() if count >= MAX_STRIKES})

    def admitted(self, tasks: Tasks, during: During) -> Tasks:
        """Return the tasks that are not quarantined, ids as they were."""
        if not self.num_quarantined:
            return tasks
        kept = [
            k
            for k, task in enumerate(content_hashes(tasks))
            if max(self.strikes.get(key, 0) for key in (task, _key(task, during))) < MAX_STRIKES
        ]
        return tasks if len(kept) == len(tasks) else tasks.select(torch.tensor(kept, dtype=torch.int64))

    def strike(
        self, faults: Sequence[tuple[int, Fault]], lost: Iterable[int], during: During
    ) -> tuple["Quarantine", list[Incident]]:
        """Return the quarantine after the faults of one meta-iteration or validation, and an incident per strike.

        Args:
            faults: what failed, each with its phase.
            lost: rows of the tasks that were left out.
            during: which of the two it was.
        """
        by_task: dict[str, list[tuple[int, Fault]]] = {}
        for phase, fault in faults:
            by_task.setdefault(fault.task, []).append((phase, fault))
        lost_rows, strikes, incidents = set(lost), dict(self.strikes), list[Incident]()
        for task, found in by_task.items():
            is_lost = any(fault.row in lost_rows for _, fault in found)
            if not is_lost and all(fault.is_of_numbers for _, fault in found):
                continue
            key = _key(task, during)
            strikes[key] = strikes.get(key, 0) + 1
            phase, first = next(((p, f) for p, f in found if not f.is_of_numbers), found[0])
            incidents.append(Incident(first, phase, len(found), is_lost, strikes[key]))
        return replace(self, strikes=strikes), incidents

    def too_many(self, last: str) -> str:
        """Return the line that says why a run stops: the share of tasks missed, and what failed last."""
        return f"{self.share:.0%} of the latest tasks could not be used{f', the last: {last}' if last else ''}"

    def count(self, num_tasks: int, num_used: int) -> "Quarantine":
        """Return the quarantine after a meta-iteration that used some of the tasks that were sampled."""
        return replace(self, met=KEPT * self.met + num_tasks, missed=KEPT * self.missed + num_tasks - num_used)

    def facts(self) -> dict[str, Any]:
        """Return the quarantine as JSON values, as a checkpoint keeps it."""
        return {"strikes": dict(self.strikes), "met": self.met, "missed": self.missed}

    @staticmethod
    def from_facts(facts: object, where: object = "quarantine") -> "Quarantine":
        """Return the quarantine that `facts` turned into JSON values, which `where` names in complaints.

        Raises:
            CheckpointError: if they are none.
        """
        kept = Fields(where, facts, CheckpointError)
        met, missed = kept.amount("met"), kept.amount("missed")
        if missed > met:
            raise kept.wrong(f"no more than the {met:g} that were to be met", missed, "missed")
        return Quarantine(kept.counts_by_name("strikes"), met, missed)


def _key(task: str, during: During) -> str:
    return task if during == "train" else f"validation {task}"
