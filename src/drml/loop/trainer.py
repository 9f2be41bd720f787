"""What meta-training works with, and who listens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from drml.algos.api import Learner
from drml.collect.collector import Collector
from drml.core.parallel import one_torch_thread
from drml.core.rng import Streams
from drml.loop.config import TrainConfig
from drml.loop.progress import Progress
from drml.tasks.distribution import TaskDistribution
from drml.tasks.samplers.api import TaskSampler


@dataclass(frozen=True)
class Trainer:
    """What meta-training works with."""

    learner: Learner
    distribution: TaskDistribution
    sampler: TaskSampler
    collect: Collector
    config: TrainConfig
    rng: Streams
    stop_requested: Callable[[], bool] = field(default=lambda: False)
    """Asked before each step of the environment and each update; true ends the training as interrupted, after the last
    whole meta-iteration."""

    def heed(self) -> None:
        """End the meta-iteration if a stop was requested: it does not count, and is made anew when the run goes on.

        Not only since it may take longer than whoever asks will wait: the signal has often been sent to all processes
        of a job, those of environments included, and their failures are not to be held against tasks.
        """
        if self.stop_requested():
            raise StopRequested


Row = Mapping[str, object]
Listener = Callable[[Progress, Sequence[Row]], None]


@one_torch_thread()
def init_progress(trainer: Trainer) -> Progress:
    """Return the progress before the first meta-iteration."""
    state = trainer.learner.init(trainer.rng["init"])
    return Progress(state, trainer.sampler.init(), state.params)


class StopRequested(Exception):  # noqa: N818 — no error, but the end of the training
    """A meta-iteration is not to count."""
