"""Reptile: a prior that moves towards what adaptation makes of it.

Nichol, Achiam & Schulman 2018, "On first-order meta-learning algorithms", algorithm 2.

    θ′ᵢ = Uᵢᵏ(θ)                               k inner steps on task i
    θ ← θ + ε 1/K Σᵢ (θ′ᵢ − θ)                  by Adam, to which θ − θ′ᵢ is the gradient (section 2 of the paper)

With k = 1 this is policy gradient on all tasks together; what makes a prior easy to adapt from comes in with k ≥ 2,
from the product of one step's gradient with the Hessian of another's (section 5.1).

Differs from the paper, which has no reinforcement learning: an inner step is a step of policy gradient on a rollout of
its own, plain instead of by Adam. The rollout of the adapted agents is not learned from.
"""

from dataclasses import dataclass, field

from drml.algos.api import LearnerState, Metrics
from drml.core.check import check_ranges
from drml.core.rng import Streams
from drml.core.tree import flatten, held_within, params_map
from drml.core.types import AdaptsOn, EnvSpec, MetaEpisode
from drml.learning.adapt import InnerConfig, InnerLoop, InnerLoss
from drml.learning.optim.first_order import AdamState, adam_init, adam_step
from drml.policies.api import Policy


@dataclass(frozen=True)
class ReptileConfig:
    """Hyper-parameters of Reptile; the paper has none for reinforcement learning."""

    inner: InnerConfig = field(default_factory=lambda: InnerConfig(num_steps=3))
    """The inner loop."""
    inner_loss: InnerLoss = "log_likelihood"
    """Inner objective."""
    meta_lr: float = 0.01
    """ε, Adam's step size (2-D navigation: 0.01)."""
    tasks_per_chunk: int = 5
    """Tasks per backward pass; changes the speed and the order of rounding, nothing else."""

    def __post_init__(self) -> None:
        check_ranges("Reptile ", self, at_least_1=("tasks_per_chunk",), above_0=("meta_lr",))


class Reptile:
    """The learner: a prior in the middle of what it becomes on each task."""

    def __init__(self, spec: EnvSpec, policy: Policy, config: ReptileConfig) -> None:
        self.policy = policy
        self.config = config
        self.adapt_steps = config.inner.num_steps
        self.adapts_on: AdaptsOn = config.inner.adapts_on
        self.inner = InnerLoop.of(policy, spec, config.inner, config.inner_loss, 1, config.tasks_per_chunk)
        self.prior, self.adapt = self.inner.prior, self.inner.adapt

    def init(self, rng: Streams) -> LearnerState:
        """Return fresh parameters and a fresh Adam."""
        params = self.policy.init(rng)
        return LearnerState(params, adam_init(params).tree())

    def update(self, state: LearnerState, episode: MetaEpisode, rng: Streams) -> tuple[LearnerState, Metrics]:
        """Return the state after a step towards the mean of the adapted parameters."""
        away = params_map(lambda mine, all_of_them: mine - all_of_them.mean(0), state.shared, episode.agents[-1].params)
        params, adam = adam_step(state.shared, away, AdamState.from_tree(state.training), self.config.meta_lr)
        metrics = {"mean_move": float(flatten(away).norm())}
        return LearnerState(held_within(params, self.policy.bounds), adam.tree()), metrics
