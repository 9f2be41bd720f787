"""ES-MAML: a prior that is good to climb from, found by evolution strategies; no gradient is taken anywhere.

Song, Gao, Yang, Choromanski, Pacchiano & Tang 2020, "ES-MAML: simple Hessian-free meta learning", the zero-order form
with hill climbing as its adaptation.

    U(θ, T):  keep the best of θ and Q neighbours tried in turn, each the best so far plus σ_in ε      adaptation
    J(θ) = E f_T(U(θ + σ_out ε, T)),   θ ← θ + β 1/(nσ_out²) Σᵢ f̂ᵢ pᵢ,   pᵢ = σ_out εᵢ = −pᵢ₊₁             meta-update

f is the return of a task's episodes, f̂ the same with mean 0 and standard deviation 1 over the n tasks of a
meta-iteration. Each of them is met with a perturbed prior of its own (`propose`); what was best so far, and how good,
is the memo of its adaptation. An episode is a query: after Q + 1 steps the best one acts, and further steps change
nothing; what acts after fewer is a try, so a curve tells of adaptation at its end alone. Policies are meant to be
nearly deterministic, so that one copy of a task says what parameters are worth.

Differs from the paper: observations are not normalised, and policies have no tanh at their output (the environments
clip actions). Initial parameters are multiplied by `init_scale`: of policies as large as the published code's, some
start where all their neighbours rush past the corners, and do not leave in a thousand meta-iterations. The policy's
standard deviation is perturbed with the other parameters; there it is fixed at zero.
"""

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from drml.algos.api import LearnerState, Metrics
from drml.core.check import check_ranges
from drml.core.rng import Streams
from drml.core.tree import Params, flatten, flatten_stacked, held_within, stack_shared, unflatten, unflatten_stacked
from drml.core.types import AdaptsOn, Agent, EnvSpec, MetaEpisode, Rollout, Tasks
from drml.learning.evolution import antithetic, better, es_gradient, fitness, neighbours
from drml.policies.api import Policy


@dataclass(frozen=True)
class ESMAMLConfig:
    """Hyper-parameters of ES-MAML; defaults are those of the published code where nothing else is said."""

    queries: int = 20
    """Q, neighbours that an adaptation tries, one episode of each copy for each (published: 20)."""
    inner_std: float = 0.1
    """σ_in, standard deviation of a neighbour's parameters (published: 0.1)."""
    outer_std: float = 0.1
    """σ_out, standard deviation of the perturbed priors (published: 0.1)."""
    meta_lr: float = 0.01
    """β, step size of the prior (published: 0.01)."""
    init_scale: float = 0.1
    """Factor on the initial weights of the policy (published: 1)."""

    def __post_init__(self) -> None:
        above_0 = ("inner_std", "outer_std", "meta_lr")
        check_ranges("ES-MAML ", self, at_least_1=("queries",), at_least_0=("init_scale",), above_0=above_0)


class ESMAML:
    """The learner: a prior, perturbed for each task of a meta-iteration."""

    def __init__(self, spec: EnvSpec, policy: Policy, config: ESMAMLConfig) -> None:
        self.policy = policy
        self.config = config
        self.adapt_steps = config.queries + 1
        self.adapts_on: AdaptsOn = "episodes"

    def init(self, rng: Streams) -> LearnerState:
        """Return the policy's initial parameters, those without bounds scaled."""
        params, bounds = self.policy.init(rng), self.policy.bounds
        return LearnerState({n: p if n in bounds else self.config.init_scale * p for n, p in params.items()})

    def prior(self, shared: Params, tasks: Tasks, copies: int, rng: Streams) -> Agent:
        """Return the agents that begin with the shared parameters."""
        return Agent(shared, memo={"task": tasks.ids})

    def propose(self, state: LearnerState, tasks: Tasks, copies: int, rng: Streams) -> Agent:
        """Return agents that begin with perturbed parameters, each its own; in pairs whose mean is the prior."""
        stacked = stack_shared(state.shared, len(tasks))
        prior = flatten_stacked(stacked.values())  # [K, P]
        perturbed = prior + antithetic((len(prior), prior.shape[1]), self.config.outer_std, rng)
        params = held_within(unflatten_stacked(perturbed, stacked), self.policy.bounds)
        return Agent(params, memo={"task": tasks.ids}, stacked=True)

    def adapt(self, agent: Agent, rollout: Rollout, adapt_step: int, rng: Streams) -> Agent:
        """Return the agents with their next query, or after the last one the best parameters that they have tried."""
        value, ids = fitness(rollout), cast(Tensor, agent.memo["task"])
        params = agent.params if agent.stacked else stack_shared(agent.params, len(value))
        best = flatten_stacked(params.values())
        if adapt_step > 0:
            value, best = better(value, best, cast(Tensor, agent.memo["value"]), cast(Tensor, agent.memo["best"]))
        is_last = adapt_step >= self.config.queries
        follows = best if is_last else neighbours(best, ids, self.config.inner_std, rng)
        held = held_within(unflatten_stacked(follows, params), self.policy.bounds)
        return Agent(held, memo={"task": ids, "value": value, "best": best}, stacked=True)

    def update(self, state: LearnerState, episode: MetaEpisode, rng: Streams) -> tuple[LearnerState, Metrics]:
        """Return the state after a step along the estimated gradient of what the perturbed priors adapted to."""
        values, prior = fitness(episode.history[-1]), flatten(state.shared)
        perturbations = flatten_stacked(episode.agents[0].params.values()) - prior
        gradient = es_gradient(perturbations, values, self.config.outer_std)
        moved = unflatten(prior + self.config.meta_lr * gradient, state.shared)
        metrics = {"fitness_std": float(values.std(correction=0)), "gradient_norm": float(gradient.norm())}
        return LearnerState(held_within(moved, self.policy.bounds)), metrics
