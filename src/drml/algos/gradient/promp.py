"""ProMP: proximal meta-policy search.

Rothfuss, Lee, Clavera, Asfour & Abbeel 2019, "ProMP: Proximal meta-policy search", algorithm 1.

    θ′ᵢ = θ − α ∇θ L^LR(τᵢ; θ)                                               inner step, likelihood ratio (eq. 9)
    J(θ) = 1/K Σᵢ [ L^clip(τ′ᵢ; θ′ᵢ(θ)) + η KL(π_θₒ(τᵢ) ‖ π_θ(τᵢ)) ]            outer objective (eqs. 10, 11)
    θ ← θ − β Adam(∇θ J)                                                     several times on the same rollouts

θₒ are the parameters that collected. With more inner steps the KL term is the mean over their rollouts.

Differs from the paper: nothing that is known; η is fixed, as in the paper's experiments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from drml.algos.api import LearnerState, Metrics
from drml.core.check import check_ranges
from drml.core.rng import Streams
from drml.core.tree import Params, held_within, params_map, stack_shared
from drml.core.types import AdaptsOn, Advantages, EnvSpec, MetaEpisode, Rollout
from drml.learning.adapt import InnerConfig, InnerLoop, InnerLoss
from drml.learning.advantages import share_without_difference
from drml.learning.by_parts import value_and_gradient
from drml.learning.losses import clipped_surrogate_loss, mean_kl
from drml.learning.optim.first_order import AdamState, adam_init, adam_step
from drml.policies.api import Policy


@dataclass(frozen=True)
class ProMPConfig:
    """Hyper-parameters of ProMP; defaults are those of the paper's experiments."""

    inner: InnerConfig = field(default_factory=InnerConfig)
    """The inner loop."""
    inner_loss: InnerLoss = "likelihood_ratio"
    """Inner objective (ProMP: likelihood ratio, the low-variance curvature estimator)."""
    meta_lr: float = 1e-3
    """β, Adam's step size (ProMP: 1e-3)."""
    outer_steps: int = 5
    """Adam steps per meta-iteration, on the same rollouts (ProMP: 5)."""
    clip_eps: float = 0.3
    """ε of the clipped surrogate (ProMP: 0.3)."""
    inner_kl_coef: float = 5e-4
    """η, weight of the KL from the collecting prior (ProMP: 5e-4)."""
    tasks_per_chunk: int = 5
    """Tasks per backward pass; changes the speed and the order of rounding, nothing else."""

    def __post_init__(self) -> None:
        check_ranges(
            "ProMP ",
            self,
            at_least_1=("outer_steps", "tasks_per_chunk"),
            at_least_0=("inner_kl_coef",),
            above_0=("meta_lr", "clip_eps"),
        )


class ProMP:
    """The learner: a prior that is good to adapt from, improved by a proximal surrogate."""

    def __init__(self, spec: EnvSpec, policy: Policy, config: ProMPConfig) -> None:
        self.policy = policy
        self.config = config
        self.adapt_steps = config.inner.num_steps
        self.adapts_on: AdaptsOn = config.inner.adapts_on
        self.inner = InnerLoop.of(policy, spec, config.inner, config.inner_loss, 2, config.tasks_per_chunk)
        self.prior, self.adapt = self.inner.prior, self.inner.adapt

    def init(self, rng: Streams) -> LearnerState:
        """Return fresh parameters and a fresh Adam."""
        params = self.policy.init(rng)
        return LearnerState(params, adam_init(params).tree())

    def update(self, state: LearnerState, episode: MetaEpisode, rng: Streams) -> tuple[LearnerState, Metrics]:
        """Return the state after `outer_steps` Adam steps on the surrogate."""
        history = episode.history
        advantages = [self.inner.advantages(rollout) for rollout in history]
        parts = self.inner.chunks(history[0])

        def objective(params: Params, part: slice) -> Tensor:
            rollouts = [rollout.select_tasks(part) for rollout in history]
            return self._outer_loss(params, rollouts, [a.select_tasks(part) for a in advantages]).sum()

        num_tasks = len(history[0].reward)
        flat = share_without_difference(advantages)
        if flat == 1.0:  # the KL alone is left, least where it stands: Adam would make a step of its rounding
            return state, {"tasks_without_difference": flat}
        params, adam, losses = state.shared, AdamState.from_tree(state.training), []
        for _ in range(self.config.outer_steps):
            loss, gradient = value_and_gradient(objective, params, parts)
            gradient = params_map(lambda g: g / num_tasks, gradient)
            params, adam = adam_step(params, gradient, adam, self.config.meta_lr)
            params = held_within(params, self.policy.bounds)
            losses.append(loss / num_tasks)
        metrics = {
            "outer_loss_first": losses[0],
            "outer_loss_last": losses[-1],
            "tasks_without_difference": flat,
        }
        return LearnerState(params, adam.tree()), metrics

    def _outer_loss(self, params: Params, rollouts: Sequence[Rollout], advantages: Sequence[Advantages]) -> Tensor:
        """Return L^clip + η KL for each task, `[K]`."""
        adapted = stack_shared(params, len(rollouts[0].reward))
        kl: Tensor | float = 0.0
        for j in range(len(rollouts) - 1):
            new = self.policy.unroll(adapted, rollouts[j])
            kl = kl + mean_kl(new, rollouts[j], advantages[j])
            grads = self.inner.adaptation.gradient(adapted, new, rollouts[j], advantages[j])
            adapted = self.inner.adaptation.descend(adapted, grads, j)
        new = self.policy.unroll(adapted, rollouts[-1])
        surrogate = clipped_surrogate_loss(new, rollouts[-1], advantages[-1], self.config.clip_eps)
        return surrogate + self.config.inner_kl_coef * kl / (len(rollouts) - 1)
