"""All checks, in the order of the report, and the one call that makes it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from drml.check import contract, repeat, tasks
from drml.check.evidence import Evidence
from drml.check.finding import Check, Finding, named
from drml.check.pace import Tell, silently
from drml.check.scales import scales
from drml.check.watch import gather
from drml.core.errors import InputError

CHECKS: Mapping[str, Check] = {
    "gymnasium": contract.gymnasium,
    "responds": contract.responds,
    "raises": contract.raises,
    "observation": contract.observation,
    "bounds": contract.bounds,
    "bytes": contract.byte_codes,
    "scale": scales,
    "reward": contract.reward,
    "flags": contract.flags,
    "aliasing": contract.aliasing,
    "horizon": contract.horizon,
    "seeding": repeat.seeding,
    "determinism": repeat.determinism,
    "global-rng": repeat.global_rng,
    "clock": repeat.clock,
    "leftover": repeat.leftover,
    "isolation": repeat.isolation,
    "task-spaces": tasks.spaces,
    "task-kept": tasks.kept,
    "task-effect": tasks.effect,
    "task-leak": tasks.leak,
}
"""Checks by name, as `docs/check.md` explains them."""


@dataclass(frozen=True)
class Report:
    """Evidence of a subject, and a finding of each check."""

    evidence: Evidence
    findings: tuple[Finding, ...]
    """One for each check, in their order."""

    @property
    def num_faults(self) -> int:
        """Return how many checks found a fault."""
        return sum(finding.verdict == "fault" for finding in self.findings)


def check_tasks(
    name: str,
    num_tasks: int = 4,
    steps: int = 500,
    timeout: float = 10.0,
    max_seconds: float = math.inf,
    tell: Tell = silently,
) -> Report:
    """Try a family of tasks the way a meta-learner will.

    Args:
        name: a suite, or `package.module:attribute`: a family, or what makes one environment.
        num_tasks: how many tasks to draw; for each parameter one more is tried that differs in it alone.
        steps: steps of each of some thirty recordings.
        timeout: seconds that one call may take.
        max_seconds: seconds that all of it may take; what was not tried by then is skipped.
        tell: is told how it goes, where that takes a while.

    Raises:
        InputError: if there is no such family, or a number is out of range.
        EnvError: if it cannot be tried at all.
    """
    bounds = (("num_tasks", num_tasks, 1), ("steps", steps, 20), ("timeout", timeout, 0.1))
    for what, value, least in (*bounds, ("max_seconds", max_seconds, 1.0)):
        if not value >= least:
            raise InputError(f"{what} is {value}, must be {least} or more")
    evidence = gather(name, num_tasks, steps, timeout, max_seconds, tell)
    return Report(evidence, tuple(named(name, conclude(evidence)) for name, conclude in CHECKS.items()))
