"""All task samplers by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from drml.core.check import check_ranges
from drml.tasks.samplers.api import TaskSampler
from drml.tasks.samplers.pool import PoolSampler, check_pool
from drml.tasks.samplers.stratified import StratifiedSampler
from drml.tasks.samplers.uniform import UniformSampler

SamplerKind = Literal["stratified", "uniform", "pool"]


@dataclass(frozen=True)
class SamplerConfig:
    """Choice of the tasks of meta-training; validation and testing draw theirs the same way whatever it is."""

    kind: SamplerKind = "stratified"
    """Rule of drawing: stratified (evenly spread), uniform (independent), pool (a fixed set of tasks)."""
    pool_size: int = 100
    """Tasks in the pool; others ignore it."""

    def __post_init__(self) -> None:
        check_ranges("sampler ", self, at_least_1=("pool_size",))

    def check_gives(self, num_tasks: int) -> None:
        """Refuse more tasks at a time than there are.

        Raises:
            InputError: if the pool is smaller.
        """
        if self.kind == "pool":
            check_pool(self.pool_size, num_tasks)


@dataclass(frozen=True)
class SamplerEntry:
    """A sampler's constructor, with one sentence."""

    summary: str
    make: Callable[[SamplerConfig], TaskSampler]


SAMPLERS: dict[SamplerKind, SamplerEntry] = {
    "stratified": SamplerEntry("evenly spread draws: less variance, no bias", lambda _: StratifiedSampler()),
    "uniform": SamplerEntry("independent draws", lambda _: UniformSampler()),
    "pool": SamplerEntry("a fixed set of training tasks, which keep their ids", lambda c: PoolSampler(c.pool_size)),
}


def sampler_of(config: SamplerConfig) -> TaskSampler:
    """Return the sampler of a configuration."""
    return SAMPLERS[config.kind].make(config)
