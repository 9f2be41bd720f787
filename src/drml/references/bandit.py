"""Classical agents for Bernoulli bandits whose arms' means are independent and uniform on [0, 1].

After s successes and f failures an arm's mean is Beta(s + 1, f + 1), with expectation m = (s + 1)/(n + 2), n = s + f.

    random       any arm                           greedy      the arm with the largest m
    Thompson     largest draw of the posterior     optimistic  largest max(draw, m)
    likeliest    Thompson, on the likeliest of N draws         UCB1    largest m + c √(2 ln t / (n + 2))

The agents of Duan et al. differ in two ways from what their names say elsewhere: m and n + 2 stand where UCB1 and
greedy usually have the empirical mean and n, so that no arm has to be tried first; and what is called OTS there is the
likeliest draw of N, not the optimistic one. They chose c and N by the score itself, for each number of arms and pulls.

Source: Duan et al., 2016, "RL²: fast reinforcement learning via slow reinforcement learning", table 1, and the code of
its authors (rllab, sandbox/rocky/neural_learner). Exact optima: `drml.references.bandit_optimum`, and
`drml.references.gittins` for indices.
"""

from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.bandit import bandit_suite

MIN_LOG_DENSITY = -1e300  # stands for log 0, which would make 0 log 0 undefined


@dataclass(frozen=True)
class Counts:
    """Counts of what was seen so far in B copies of K tasks: a sufficient statistic of the past."""

    successes: np.ndarray
    """`[K, B, A]` float64."""
    failures: np.ndarray
    """`[K, B, A]` float64."""

    @property
    def num_pulls(self) -> int:
        """Return t, the number of pulls so far, the same in all copies."""
        return round(float((self.successes + self.failures)[0, 0].sum()))

    @property
    def posterior_mean(self) -> np.ndarray:
        """Return m = (s + 1)/(s + f + 2), `[K, B, A]`."""
        return (self.successes + 1.0) / (self.successes + self.failures + 2.0)

    def after(self, action: np.ndarray, reward: np.ndarray) -> "Counts":
        """Return the counts after pulling the arms `action [K, B]` paid `reward [K, B]`, each 0 or 1."""
        pulled = action[..., None] == np.arange(self.successes.shape[-1])  # [K, B, A]
        paid = reward[..., None]
        return Counts(self.successes + pulled * paid, self.failures + pulled * (1.0 - paid))


class BanditAgent(Protocol):
    """A rule that picks arms from counts."""

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return the arms `[K, B]` to pull next."""
        ...


@final
class RandomAgent:
    """Any arm, each as likely."""

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return uniform arms `[K, B]`."""
        return rng.generator().integers(counts.successes.shape[-1], size=counts.successes.shape[:-1])


@final
class Greedy:
    """argmax m: optimal for the next pull alone; the first of equals."""

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return the arms `[K, B]` of largest posterior mean."""
        return counts.posterior_mean.argmax(-1)


@final
class Thompson:
    """argmax θ, θ ~ the posterior.

    Source: Thompson, 1933, "On the likelihood that one unknown probability exceeds another".
    """

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return the arms `[K, B]` of largest draw."""
        return _draw(counts, rng).argmax(-1)


@final
class OptimisticThompson:
    """argmax max(θ, m), θ ~ the posterior: a draw never speaks against an arm.

    Source: May, Korda, Lee and Leslie, 2012, "Optimistic Bayesian sampling in contextual-bandit problems".
    """

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return the arms `[K, B]` of largest draw, where no draw is below the mean."""
        return np.maximum(_draw(counts, rng), counts.posterior_mean).argmax(-1)


@final
@dataclass(frozen=True)
class LikeliestThompson:
    """argmax θ, where θ is the draw of largest posterior density, Σₐ s ln θₐ + f ln(1 − θₐ), among N.

    Source: "OTS" of Duan et al., 2016, table 1, as in its authors' code; they chose N from 1 to 20 by the score.
    """

    num_draws: int
    """N, at least 1; 1 is Thompson sampling."""

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return the arms `[K, B]` of largest mean in the likeliest draw."""
        draws = [_draw(counts, rng["draw", i]) for i in range(self.num_draws)]
        densities = [_log_density(counts, draw) for draw in draws]
        likeliest = np.argmax(densities, axis=0)  # [K, B]
        return np.take_along_axis(np.stack([draw.argmax(-1) for draw in draws]), likeliest[None], 0)[0]


@final
@dataclass(frozen=True)
class Ucb1:
    """argmax m + c √(2 ln t / (n + 2)), with Laplace's m and n + 2 instead of a first round over all arms.

    Source: Auer, Cesa-Bianchi and Fischer, 2002, "Finite-time analysis of the multiarmed bandit problem", with c = 1;
    in the form of Duan et al., 2016, table 1, who chose c from 0, 0.1 .. 1 by the score.
    """

    exploration: float = 1.0
    """c, how much uncertainty counts."""

    def act(self, counts: Counts, rng: Streams) -> np.ndarray:
        """Return the arms `[K, B]` of largest upper bound."""
        num_tried = counts.successes + counts.failures + 2.0
        bonus = np.sqrt(2.0 * np.log(max(counts.num_pulls, 1)) / num_tried)
        return (counts.posterior_mean + self.exploration * bonus).argmax(-1)


def play(agent: BanditAgent, tasks: Tasks, pulls: int, copies: int, rng: Streams) -> Tensor:
    """Return what an agent earns with `pulls` pulls in each of `copies` copies of each task, `[K, B]`.

    Rewards are those of the bandit suites' environment; those of task k are drawn from its own stream. The agent's
    randomness is drawn for the whole batch.

    Args:
        agent: what pulls.
        tasks: Bernoulli bandits, `mean [K, A]`.
        pulls: n, pulls per copy.
        copies: B.
        rng: the stream of this evaluation.

    Raises:
        InputError: if `pulls` or `copies` < 1.
    """
    if pulls < 1:
        raise InputError(f"pulls is {pulls}, expected at least 1")
    num_tasks, num_arms = tasks.params["mean"].shape
    env = bandit_suite(num_arms, pulls).make(EnvOptions())
    env.reset(tasks, copies, rng["env"])
    nothing = np.zeros((num_tasks, copies, num_arms))
    counts, total = Counts(nothing, nothing), torch.zeros(num_tasks, copies)
    for t in range(pulls):
        action = agent.act(counts, rng["agent", t])
        reward = env.step(torch.from_numpy(action)).reward
        counts, total = counts.after(action, reward.numpy()), total + reward
    return total


def _draw(counts: Counts, rng: Streams) -> np.ndarray:
    return rng.generator().beta(counts.successes + 1.0, counts.failures + 1.0)


def _log_density(counts: Counts, draw: np.ndarray) -> np.ndarray:
    """Return the log-density `[K, B]` of a draw, up to what is the same for all draws."""
    with np.errstate(divide="ignore"):
        log_success = np.maximum(np.log(draw), MIN_LOG_DENSITY)
        log_failure = np.maximum(np.log1p(-draw), MIN_LOG_DENSITY)
    return (counts.successes * log_success + counts.failures * log_failure).sum(-1)
