"""Progress of meta-training: everything that it changes, as a value."""

import math
from dataclasses import dataclass, field
from typing import Literal

from drml.algos.api import LearnerState
from drml.core.tree import Params, Tree
from drml.loop.config import TrainConfig
from drml.loop.quarantine import Quarantine

StopReason = Literal["", "budget", "converged", "time", "interrupted", "faulty"]


@dataclass(frozen=True)
class Progress:
    """Everything that meta-training changes; with the configuration and the seed it determines all that follows."""

    state: LearnerState
    sampler: Tree
    best_shared: Params
    """Shared part, whole, of the state that did best on validation tasks."""
    best_return: float = -math.inf
    """Their validation return after adaptation."""
    best_meta_iter: int = 0
    validations_since_best: int = 0
    meta_iter: int = 0
    """Completed meta-iterations."""
    env_steps: int = 0
    """Environment steps of training, adaptation included; validation does not count."""
    seconds: float = 0.0
    says_success: bool = False
    """True once an environment has said something of success in training."""
    quarantine: Quarantine = field(default_factory=Quarantine)
    """Strikes of tasks whose environment failed; three put a task out."""

    def tree(self) -> Tree:
        """Return its tensors but those that grow, as a checkpoint holds them."""
        return {"state": self.state.tree(), "sampler": self.sampler, "best_params": dict(self.best_shared)}


def stop_reason(config: TrainConfig, progress: Progress) -> StopReason:
    """Return the first stop rule of the configuration that holds, or ''."""
    if progress.quarantine.share > config.max_faulty_share:
        return "faulty"
    if progress.meta_iter >= config.meta_iters or 0 < config.max_env_steps <= progress.env_steps:
        return "budget"
    if 0 < config.patience <= progress.validations_since_best:
        return "converged"
    return "time" if 0.0 < config.max_seconds <= progress.seconds else ""
