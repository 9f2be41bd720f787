"""Parts that meta-training works with, and its listeners."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from drml.algos.api import Learner, LearnerState, Proposes
from drml.collect.api import Collect
from drml.core.parallel import one_torch_thread
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.loop.config import TrainConfig
from drml.loop.meet import Meeting, meet
from drml.loop.progress import Progress
from drml.tasks.distribution import TaskDistribution
from drml.tasks.samplers.api import TaskSampler

Play = Callable[[Learner, LearnerState, Tasks, Collect, Streams], Meeting]
"""Source of meta-episodes: `played` plays them; others may be recorded."""


def played(learner: Learner, state: LearnerState, tasks: Tasks, collect: Collect, rng: Streams) -> Meeting:
    """Return a meta-episode of training, begun by what the learner proposes, or else by its prior."""
    if isinstance(learner, Proposes):
        agent = learner.propose(state, tasks, collect.copies, rng["prior"])
    else:
        agent = learner.prior(state.shared, tasks, collect.copies, rng["prior"])
    return meet(learner, agent, tasks, collect, rng, learner.adapt_steps)


@dataclass(frozen=True)
class Trainer:
    """Parts that meta-training works with."""

    learner: Learner
    distribution: TaskDistribution
    sampler: TaskSampler
    collect: Collect
    config: TrainConfig
    rng: Streams
    stop_requested: Callable[[], bool] = field(default=lambda: False)
    """Asked before each step of the environment and each update; true ends the training as interrupted, after the last
    whole meta-iteration."""
    play: Play = played
    """Source of meta-episodes."""

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
    sampler = trainer.sampler.init(trainer.distribution, trainer.rng["sampler"])
    return Progress(state, sampler, state.shared)


class StopRequested(Exception):  # noqa: N818 — no error, but the end of the training
    """A meta-iteration is not to count."""
