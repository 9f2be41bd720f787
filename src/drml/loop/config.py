"""The size of meta-training, and its stop rules."""

from dataclasses import dataclass, replace

from drml.core.check import check_ranges
from drml.core.errors import InputError

STOP_RULES = ("meta_iters", "max_env_steps", "max_seconds", "patience", "max_faulty_share")


@dataclass(frozen=True)
class TrainConfig:
    """The size of a meta-iteration, and when to stop, validate and save."""

    meta_iters: int = 500
    """Budget in meta-iterations (ProMP: 1000; MAML: 100 to 1000)."""
    num_tasks: int = 20
    """K, tasks per meta-iteration (MAML, ProMP: 20 to 40)."""
    copies: int = 20
    """B, copies of each task: episodes per task and phase, of which a learner that adapts on steps may see more where
    they end early (MAML, ProMP: 20)."""
    max_env_steps: int = 0
    """Budget in environment steps, adaptation included; 0 is none."""
    max_seconds: float = 0.0
    """Budget in seconds of wall-clock time, over all resumptions; 0 is none."""
    validate_every: int = 10
    """Meta-iterations between validations; the best policy is the one that did best on validation tasks."""
    validation_tasks: int = 20
    """Tasks per validation; always the same ones."""
    patience: int = 0
    """Stop as converged after this many validations without a new best; 0 never does."""
    checkpoint_every: int = 10
    """Meta-iterations between checkpoints."""
    max_faulty_share: float = 0.2
    """Stop with exit code 3 when more than this share of the tasks of the last ten or so meta-iterations could not be
    used, because their environment failed; one bad task of 8 goes on, one of 4 stops."""

    def __post_init__(self) -> None:
        counts = ("meta_iters", "num_tasks", "copies", "validate_every", "validation_tasks", "checkpoint_every")
        limits = ("max_env_steps", "max_seconds", "patience")
        check_ranges("", self, at_least_1=counts, at_least_0=limits, between_0_and_1=("max_faulty_share",))

    def with_stop_rules_of(self, other: "TrainConfig") -> "TrainConfig":
        """Return the other one, which may differ in its stop rules.

        Raises:
            InputError: if it differs in anything else, which cannot change within a run.
        """
        kept = replace(other, **{name: getattr(self, name) for name in STOP_RULES})
        if changed := [name for name, value in vars(kept).items() if value != getattr(self, name)]:
            raise InputError(f"{changed[0]} cannot change within a run; start a new one, or leave it as it was")
        return other
