"""A recipe: a configuration with its source, its budget, and the numbers that it is held against."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drml.run.config import RunConfig


@dataclass(frozen=True)
class Recipe:
    """An experiment that was published, or that a figure of ours rests on."""

    config: RunConfig
    """What is run, but for the seed."""
    source: str
    """Where the hyper-parameters and the numbers come from."""
    published: tuple[float, ...] = ()
    """Published mean returns after 0, 1, 2, … adaptation steps; empty where only curves were published."""
    at_least: tuple[float, ...] = ()
    """What the lower end of our interval is to reach after 0, 1, 2, … adaptation steps."""
    published_trial: float | None = None
    """Published mean return of a whole trial: the sum over its episodes."""
    at_least_trial: float | None = None
    """What the lower end of our interval is to reach on whole trials."""
    references: Mapping[str, float] = field(default_factory=dict)
    """Mean returns of whole trials under other strategies."""
    gain_above: float | None = None
    """What the lower end of the interval of the gain, return after the last step minus return before, is to exceed."""
    adapt_steps: int = 3
    """Adaptation steps of a test."""
    test_tasks: int = 40
    """Tasks of a test."""
    test_copies: int = 40
    """Episodes per task and adaptation step of a test (MAML: 40)."""
