"""A recipe: a configuration with its source, its budget, and the numbers that it is held against."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drml.run.config import RunConfig


@dataclass(frozen=True)
class Recipe:
    """An experiment that was published, or that a figure of ours rests on."""

    config: RunConfig
    """Configuration of the runs, but for the seed."""
    source: str
    """Publication that the hyper-parameters and the numbers come from."""
    published: tuple[float, ...] = ()
    """Published mean returns after 0, 1, 2, … adaptation steps; empty where only curves were published."""
    at_least: tuple[float, ...] = ()
    """Bar for the lower end of our interval after 0, 1, 2, … adaptation steps."""
    published_trial: float | None = None
    """Published mean return of a whole trial: the sum over its episodes."""
    at_least_trial: float | None = None
    """Bar for the lower end of our interval on whole trials."""
    references: Mapping[str, float] = field(default_factory=dict)
    """Mean returns of whole trials under other strategies."""
    gain_above: float | None = None
    """Bar that the lower end of the interval of the gain, last return minus first, is to exceed."""
    adapt_steps: int = 3
    """Adaptation steps of a test."""
    test_tasks: int = 40
    """Tasks of a test."""
    test_copies: int = 40
    """Episodes per task and adaptation step of a test (MAML: 40)."""
