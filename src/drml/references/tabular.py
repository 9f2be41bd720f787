"""Classical agents for random finite MDPs with a prior, and the optimum where the MDP is known.

Each agent keeps a posterior over mean rewards and transitions, plans by backward induction at the start of an episode,
and follows the plan, ties broken at random; with probability ε it acts at random instead.

    random, greedy, ε-greedy    plan for the posterior mean
    PSRL                        plan for one MDP drawn from the posterior
    OPSRL                       the largest of the action values of N drawn MDPs
    BEB                         mean reward + 1/(precision + 1), and 2 c H³/(Σ counts + 1) per step left
    UCRL2                       the best MDP within confidence bounds, whose widths are scaled by c

Here Σ counts includes the prior's. Duan et al. chose ε, N and c by the score itself, for each number of episodes. Their
Bayesian agents believed in mean rewards N(0, 1), the default of the code they used, while their MDPs had N(1, 1):
`PUBLISHED_PRIOR` reproduces their table, `TRUE_PRIOR` shows what the same agents earn when they are told the truth.

Source: Duan et al., 2016, "RL²: fast reinforcement learning via slow reinforcement learning", table 2, whose authors
ran iosband/TabulaRL; that code is where each agent's form comes from. What differs here: its extended value iteration
changes the estimated transitions while it reads them, so that they grow more optimistic from step to step; ours does
not. As there, the transition that ends an episode is not learned from.
"""

from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from drml.core.check import check_ranges
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.tabular import tabular_env

SMALLEST_TOTAL = 1e-290  # of gamma numbers: the parts of a smaller one have lost digits, or have become 0


@dataclass(frozen=True)
class Belief:
    """A posterior over K MDPs: means of normal rewards, and Dirichlet transitions."""

    reward_mean: np.ndarray
    """`[K, S, A]` posterior mean μ of the mean reward."""
    precision: np.ndarray
    """`[K, S, A]` its precision τ: the prior's, and 1 for each reward seen."""
    counts: np.ndarray
    """`[K, S, A, S]` Dirichlet parameters: the prior's α, and 1 for each transition seen."""

    @property
    def transition(self) -> np.ndarray:
        """Return the posterior mean of the transition probabilities, `[K, S, A, S]`."""
        return self.counts / self.counts.sum(-1, keepdims=True)

    def sample(self, rng: Streams) -> tuple[np.ndarray, np.ndarray]:
        """Return mean rewards `[K, S, A]` and transitions `[K, S, A, S]` drawn from the posterior."""
        generator = rng.generator()
        reward = self.reward_mean + generator.standard_normal(self.precision.shape) / np.sqrt(self.precision)
        weights = generator.standard_gamma(self.counts)
        total = weights.sum(-1)
        lost = total < SMALLEST_TOTAL  # a gamma number of shape 1e-4 is below 1e-308 in nine of ten cases
        if lost.any():
            weights[lost] = _small_dirichlet(self.counts[lost], rng["small"])
            total[lost] = 1.0
        return reward, weights / total[..., None]

    def after_reward(self, state: np.ndarray, action: np.ndarray, reward: np.ndarray) -> "Belief":
        """Return the belief after rewards `[K]` with noise N(0, 1): μ' = (τ μ + r)/(τ + 1), τ' = τ + 1."""
        where = (np.arange(len(state)), state, action)
        mean, precision = self.reward_mean.copy(), self.precision.copy()
        mean[where] = (precision[where] * mean[where] + reward) / (precision[where] + 1.0)
        precision[where] += 1.0
        return Belief(mean, precision, self.counts)

    def after_transition(self, state: np.ndarray, action: np.ndarray, following: np.ndarray) -> "Belief":
        """Return the belief after transitions to the states `following [K]`: α' = α + 1 there."""
        counts = self.counts.copy()
        counts[np.arange(len(state)), state, action, following] += 1.0
        return Belief(self.reward_mean, self.precision, counts)


@dataclass(frozen=True)
class Prior:
    """Belief before anything is seen, of each state and action alike: mean rewards N(mean, 1/precision).

    Raises:
        InputError: if `alpha` or `precision` is not above 0.
    """

    alpha: float = 1.0
    """Dirichlet parameter of each transition."""
    mean: float = 1.0
    """Mean of the mean reward."""
    precision: float = 1.0
    """Precision of the mean reward."""

    def __post_init__(self) -> None:
        check_ranges("prior ", self, above_0=("alpha", "precision"))

    def belief(self, num_tasks: int, num_states: int, num_actions: int) -> Belief:
        """Return the prior for K MDPs."""
        shape = (num_tasks, num_states, num_actions)
        counts = np.full((*shape, num_states), self.alpha)
        return Belief(np.full(shape, self.mean), np.full(shape, self.precision), counts)


TRUE_PRIOR = Prior()
"""The distribution that the published random MDPs are drawn from."""
PUBLISHED_PRIOR = Prior(mean=0.0)
"""Prior of the published PSRL, OPSRL and BEB, although mean rewards were drawn around 1."""
VAGUE_PRIOR = Prior(alpha=1e-4, mean=0.0, precision=1e-4)
"""Prior of next to nothing, for agents that are not Bayesian: untried actions promise 0."""


class TabularAgent(Protocol):
    """A rule that plans an episode from a belief."""

    @property
    def prior(self) -> Prior:
        """Return the belief it starts from."""
        ...

    @property
    def epsilon(self) -> float:
        """Return the probability of acting at random."""
        ...

    def plan(self, belief: Belief, episode: int, horizon: int, rng: Streams) -> np.ndarray:
        """Return the action values `[K, H, S, A]` that the episode with this number (from 0) is to follow."""
        ...


@final
@dataclass(frozen=True)
class EpsilonGreedy:
    """Plans for the posterior mean; ε = 0 is greedy, ε = 1 random."""

    epsilon: float
    """Probability of a random action; the published ε-greedy is the best of 0.1, 0.2 .. 1."""
    prior: Prior = VAGUE_PRIOR
    """The published agents' is vague."""

    def plan(self, belief: Belief, episode: int, horizon: int, rng: Streams) -> np.ndarray:
        """Return the action values `[K, H, S, A]` of the mean MDP."""
        return backward_induction(belief.reward_mean, belief.transition, horizon)


@final
@dataclass(frozen=True)
class Psrl:
    """Posterior sampling, optimistic where there are several draws: max over N drawn MDPs of their action values.

    Source: Strens, 2000, "A Bayesian framework for reinforcement learning"; Osband, Russo and Van Roy, 2013, "(More)
    efficient reinforcement learning via posterior sampling". OPSRL: Osband and Van Roy, 2017, "Why is posterior
    sampling better than optimism for reinforcement learning?"
    """

    num_draws: int = 1
    """N; 1 is PSRL, the published OPSRL is the best of 1 to 20."""
    prior: Prior = TRUE_PRIOR
    """Distribution that the MDPs are believed to be drawn from."""
    epsilon: float = 0.0
    """Probability of a random action: nothing is left to chance but the draw."""

    def plan(self, belief: Belief, episode: int, horizon: int, rng: Streams) -> np.ndarray:
        """Return the largest action values `[K, H, S, A]` among the drawn MDPs."""
        draws = (belief.sample(rng["draw", i]) for i in range(self.num_draws))
        values = [backward_induction(reward, transition, horizon) for reward, transition in draws]
        return np.max(values, axis=0)


@final
@dataclass(frozen=True)
class Beb:
    """Plans for the posterior mean with bonuses that fall as 1/n.

        r = μ + 1/(τ + 1),   b = 2 c H³/(Σ counts + 1) for each step that is left

    Source: Kolter and Ng, 2009, "Near-Bayesian exploration in polynomial time"; the bonus as in iosband/TabulaRL.
    """

    scaling: float
    """c; the published agent is the best of 21 values between 1e-4 and 1, evenly spread in log c."""
    prior: Prior = TRUE_PRIOR
    """Distribution that the MDPs are believed to be drawn from."""
    epsilon: float = 0.0
    """Probability of a random action: nothing is left to chance."""

    def plan(self, belief: Belief, episode: int, horizon: int, rng: Streams) -> np.ndarray:
        """Return the action values `[K, H, S, A]` of the mean MDP with bonuses."""
        reward = belief.reward_mean + 1.0 / (belief.precision + 1.0)
        bonus = 2.0 * self.scaling * horizon**3 / (belief.counts.sum(-1) + 1.0)
        return backward_induction(reward, belief.transition, horizon, bonus_per_step_left=bonus)


@final
@dataclass(frozen=True)
class Ucrl2:
    """Plans for the best MDP within bounds on the rewards and on the 1-norm of the transitions.

        |r − r̂| ≤ c √(4 L / n),  ‖p − p̂‖₁ ≤ c √(4 S L / n),  L = ln(2 S A (e + 1)/δ),  e the episode's number from 1

    Source: Jaksch, Ortner and Auer, 2010, "Near-optimal regret bounds for reinforcement learning", as in
    iosband/TabulaRL.
    """

    scaling: float
    """c; the published agent is the best of 21 values between 1e-4 and 1, evenly spread in log c."""
    delta: float = 0.05
    """δ, the probability with which the bounds may fail where c = 1."""
    prior: Prior = Prior(alpha=1e-5, mean=0.0, precision=1e-4)
    """Prior of next to nothing, since this agent is not Bayesian."""
    epsilon: float = 0.0
    """Probability of a random action: nothing is left to chance."""

    def plan(self, belief: Belief, episode: int, horizon: int, rng: Streams) -> np.ndarray:
        """Return the action values `[K, H, S, A]` of the most optimistic MDP."""
        _, num_states, num_actions = belief.reward_mean.shape
        log_term = np.log(2.0 * num_states * num_actions * (episode + 2) / self.delta)
        num_rewards = np.maximum(belief.precision - self.prior.precision, 1.0)
        num_moves = np.maximum(belief.counts.sum(-1) - self.prior.alpha, 1.0)
        reward = belief.reward_mean + self.scaling * np.sqrt(4.0 * log_term / num_rewards)
        radius = self.scaling * np.sqrt(4.0 * num_states * log_term / num_moves)
        return backward_induction(reward, belief.transition, horizon, radius=radius)


def backward_induction(
    reward: np.ndarray,
    transition: np.ndarray,
    horizon: int,
    *,
    bonus_per_step_left: np.ndarray | float = 0.0,
    radius: np.ndarray | None = None,
) -> np.ndarray:
    """Return the optimal action values `[K, H, S, A]` of K MDPs with H steps.

        Q_h = r + b (H − 1 − h) + P V_{h+1},  V_h(s) = maxₐ Q_h(s, a),  V_H = 0

    Args:
        reward: mean rewards r `[K, S, A]`.
        transition: P `[K, S, A, S]`.
        horizon: H, steps per episode.
        bonus_per_step_left: b `[K, S, A]`.
        radius: `[K, S, A]`; P is then the best within this distance in the 1-norm.
    """
    value = np.zeros(reward.shape[:2])  # [K, S]
    planned: list[np.ndarray] = []
    for steps_left in range(horizon):
        following = np.einsum("ksat,kt->ksa", transition, value) if radius is None else _best(transition, radius, value)
        planned.append(reward + bonus_per_step_left * steps_left + following)
        value = planned[-1].max(-1)
    return np.stack(planned[::-1], 1)


def optimal_return(tasks: Tasks, horizon: int) -> Tensor:
    """Return the expected return of the best policy that knows the MDP, per episode, `[K]` float64.

    Args:
        tasks: MDPs, `reward_mean [K, S, A]` and `transition [K, S, A, S]`; episodes start in state 0.
        horizon: H, steps per episode.
    """
    reward, transition = (tasks.params[name].double().numpy() for name in ("reward_mean", "transition"))
    return torch.from_numpy(backward_induction(reward, transition, horizon)[:, 0, 0].max(-1))


def play(agent: TabularAgent, tasks: Tasks, episodes: int, horizon: int, rng: Streams) -> Tensor:
    """Return what an agent earns in each of its first N episodes on each task, `[K, N]`.

    Rewards and states are those of the tabular suites' environment; those of task k are drawn from its own streams.
    The agent's randomness is drawn for the whole batch.

    Args:
        agent: what plans and acts.
        tasks: MDPs, `reward_mean [K, S, A]` and `transition [K, S, A, S]`.
        episodes: N.
        horizon: H, steps per episode.
        rng: the stream of this evaluation.

    Raises:
        InputError: if `episodes` < 1.
    """
    if episodes < 1:
        raise InputError(f"episodes is {episodes}, expected at least 1")
    num_tasks, num_states, num_actions = tasks.params["reward_mean"].shape
    env = tabular_env(num_states, num_actions, horizon, EnvOptions())
    belief = agent.prior.belief(num_tasks, num_states, num_actions)
    state = env.reset(tasks, 1, rng["env"])[:, 0].argmax(-1).numpy()  # [K]
    returns = torch.zeros(num_tasks, episodes)
    for episode in range(episodes):
        values = agent.plan(belief, episode, horizon, rng["plan", episode])  # [K, H, S, A]
        for h in range(horizon):
            action = _act(values[np.arange(num_tasks), h, state], agent.epsilon, rng["act", episode, h])
            step = env.step(torch.from_numpy(action)[:, None])
            reward, following = step.reward[:, 0], step.obs[:, 0].argmax(-1).numpy()
            returns[:, episode] += reward
            belief = belief.after_reward(state, action, reward.numpy())
            if h < horizon - 1:
                belief = belief.after_transition(state, action, following)
            state = following
    return returns


def _act(values: np.ndarray, epsilon: float, rng: Streams) -> np.ndarray:
    """Return an action `[K]` of largest value `[K, A]`, each of equals as likely, or with probability ε any action."""
    lot = rng["tie"].generator().random(values.shape)
    explores = rng["explore"].generator().random(len(values)) < epsilon
    best = values == values.max(-1, keepdims=True)
    return np.where(best | explores[:, None], lot, -1.0).argmax(-1)


def _small_dirichlet(alpha: np.ndarray, rng: Streams) -> np.ndarray:
    """Return draws `[N, S]` by the logarithms of gamma numbers, for α of 1e-300 as well as 1.

    log Γ(α) is distributed as log Γ(α + 1) + log(U)/α. How a Dirichlet draw is divided says nothing of its total, so
    that rows which are chosen for a small total are as good as any.
    Source: Marsaglia & Tsang 2000, "A simple method for generating gamma variables", section 6.
    """
    generator = rng.generator()
    logs = np.log(generator.standard_gamma(alpha + 1.0)) - generator.standard_exponential(alpha.shape) / alpha
    weights = np.exp(logs - logs.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def _best(transition: np.ndarray, radius: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return max p·V over p with ‖p − P‖₁ ≤ radius, `[K, S, A]`.

    The state of largest value gains radius / 2, as far as there is room; those of smallest value lose it.
    """
    order = np.argsort(-value, -1)  # [K, S], best first
    ranked = np.take_along_axis(transition, order[:, None, None], -1)
    ranked[..., 0] += radius / 2.0
    cumulative = np.minimum(ranked.cumsum(-1), 1.0)
    optimistic = np.diff(cumulative, axis=-1, prepend=0.0)
    return np.einsum("ksat,kt->ksa", optimistic, np.take_along_axis(value, order, -1))
