"""The exact oracle: tabular tasks so small that every trajectory can be listed, in float64.

Expectations are sums over all trajectories weighted by their probability, so there is no sampling noise and what is
left of a comparison is rounding. The true expected return comes from backward induction, which knows nothing of
trajectories: the two meet only where a test compares them.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from drml.core.tree import Params, stack_shared, unflatten
from drml.core.types import Advantages, FinalObs, Rollout
from drml.learning.adapt import GradientAdaptation, InnerConfig
from drml.learning.by_parts import chunks, value_and_gradient
from drml.learning.losses import dice_loss, likelihood_ratio_loss, log_likelihood_loss
from drml.policies.mlp import CategoricalMLP

LOSSES = {"dice": dice_loss, "likelihood_ratio": likelihood_ratio_loss, "log_likelihood": log_likelihood_loss}
HIDDEN = 2


@dataclass(frozen=True)
class Process:
    """K finite-horizon decision processes on S states with A actions."""

    start: Tensor  # [S]
    transition: Tensor  # [K, S, A, S]
    reward: Tensor  # [K, S, A]
    horizon: int

    @property
    def policy(self) -> CategoricalMLP:
        """A tanh network on one-hot states."""
        return CategoricalMLP(len(self.start), self.reward.shape[-1], (HIDDEN,))

    @property
    def like(self) -> Params:
        """Parameters of the right shapes."""
        num_states, num_actions = len(self.start), self.reward.shape[-1]
        shapes = ((num_states, HIDDEN), (HIDDEN,), (HIDDEN, num_actions), (num_actions,))
        names = ("layer0.weight", "layer0.bias", "layer1.weight", "layer1.bias")
        return {n: torch.zeros(s, dtype=torch.float64) for n, s in zip(names, shapes, strict=True)}

    def theta(self, seed: int = 0) -> Tensor:
        """Random parameters `[P]`, far from any symmetry."""
        size = sum(value.numel() for value in self.like.values())
        return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_process(num_tasks: int, num_states: int, num_actions: int, horizon: int, seed: int = 1) -> Process:
    """Stochastic transitions, a random first state, rewards of both signs."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    return Process(
        start=normal(num_states).softmax(-1),
        transition=normal(num_tasks, num_states, num_actions, num_states).softmax(-1),
        reward=normal(num_tasks, num_states, num_actions),
        horizon=horizon,
    )


def bandit() -> Process:
    """Two tasks of three arms, one pull."""
    return random_process(num_tasks=2, num_states=1, num_actions=3, horizon=1)


def log_policy(theta: Tensor, like: Params) -> Tensor:
    """log π(a|s) `[S, A]`, written out: the one-hot state s picks row s of the first layer."""
    p = unflatten(theta, like)
    hidden = torch.tanh(p["layer0.weight"] + p["layer0.bias"])
    return torch.log_softmax(hidden @ p["layer1.weight"] + p["layer1.bias"], -1)


# ---------------------------------------------------------------- the truth, by backward induction


def expected_return(process: Process, task: int, theta: Tensor) -> Tensor:
    """E[Σ r] of one task: V_h(s) = Σ_a π(a|s) (r(s,a) + Σ_s′ P(s′|s,a) V_{h−1}(s′))."""
    pi = log_policy(theta, process.like).exp()
    value = torch.zeros_like(process.start)
    for _ in range(process.horizon):
        value = (pi * (process.reward[task] + process.transition[task] @ value)).sum(-1)
    return process.start @ value


def meta_objective(process: Process, theta: Tensor, lrs: Sequence[float]) -> Tensor:
    """Σᵢ Jᵢ(θ′ᵢ), θ′ᵢ after steps of sizes `lrs` along the exact gradient; differentiable in θ."""
    total = torch.zeros((), dtype=torch.float64)
    for task in range(len(process.reward)):
        adapted = theta
        for lr in lrs:
            (gradient,) = torch.autograd.grad(expected_return(process, task, adapted), adapted, create_graph=True)
            adapted = adapted + lr * gradient
        total = total + expected_return(process, task, adapted)
    return total


def meta_gradient(process: Process, theta: Tensor, lrs: Sequence[float]) -> Tensor:
    """The gradient of `meta_objective`, `[P]`."""
    leaf = theta.clone().requires_grad_()
    return torch.autograd.grad(meta_objective(process, leaf, lrs), leaf)[0]


# ---------------------------------------------------------------- all trajectories


@dataclass(frozen=True)
class Paths:
    """All trajectories, the same list for each task: B copies of `episodes` episodes, T = episodes · horizon."""

    state: Tensor  # [T, B]
    action: Tensor  # [T, B]
    horizon: int

    @property
    def steps(self) -> int:
        """T."""
        return len(self.state)


def all_paths(process: Process, episodes: int = 1) -> Paths:
    """List every sequence of states and actions."""
    moves = itertools.product(range(len(process.start)), range(process.reward.shape[-1]))
    steps = process.horizon * episodes
    listed = torch.tensor(list(itertools.product(list(moves), repeat=steps)))  # [B, T, 2]
    return Paths(listed[:, :, 0].T.contiguous(), listed[:, :, 1].T.contiguous(), process.horizon)


def probability(process: Process, paths: Paths, task: int, log_pi: Tensor) -> Tensor:
    """The probability `[B]` of each trajectory, log π being `[S, A]`."""
    chance = log_pi[paths.state, paths.action].exp().prod(0)
    for t in range(paths.steps):
        if t % paths.horizon == 0:
            chance = chance * process.start[paths.state[t]]
        else:
            before = paths.state[t - 1], paths.action[t - 1]
            chance = chance * process.transition[task][before[0], before[1], paths.state[t]]
    return chance


def rewards(process: Process, paths: Paths) -> Tensor:
    """`[K, T, B]`."""
    return process.reward[:, paths.state, paths.action]


def returns_to_go(process: Process, paths: Paths) -> Tensor:
    """Σ of the rewards from each step to the end of its episode, `[K, T, B]`."""
    reward = rewards(process, paths)
    episodes = reward.unflatten(1, (-1, paths.horizon))  # [K, E, H, B]
    return episodes.flip(2).cumsum(2).flip(2).flatten(1, 2)


def enumerated(process: Process, paths: Paths, stacked: Params, baseline: Tensor) -> tuple[Rollout, Advantages]:
    """All trajectories as one rollout: each copy is a trajectory, its weight its probability under `stacked`, over T.

    The advantage is the return to go less a baseline `[S]` on the state, any numbers.
    """
    num_tasks, num_states = len(process.reward), len(process.start)
    one_hot = torch.eye(num_states, dtype=torch.float64)[paths.state]  # [T, B, S]
    obs = one_hot.expand(num_tasks, *one_hot.shape).contiguous()
    action = paths.action.expand(num_tasks, *paths.action.shape).contiguous()  # [K, T, B]
    elapsed = (torch.arange(paths.steps) % paths.horizon).view(1, -1, 1).expand(action.shape).contiguous()
    off = torch.zeros(action.shape, dtype=torch.bool)
    rollout = Rollout(
        obs=obs,
        action=action,
        reward=rewards(process, paths),
        terminated=off,
        truncated=elapsed == process.horizon - 1,
        valid=~off,
        final=FinalObs.dense(torch.zeros_like(obs)),
        elapsed=elapsed,
        log_prob=torch.zeros(action.shape, dtype=torch.float64),
        acting=process.policy.step(stacked, obs.flatten(1, 2), {})[0],
        first_carry={},
        last_carry={},
    )
    acting = process.policy.unroll(stacked, rollout)
    log_prob = acting.log_prob(action)
    rows = [torch.cat([value[k].reshape(-1) for value in stacked.values()]) for k in range(num_tasks)]
    chances = [probability(process, paths, k, log_policy(row, process.like)) for k, row in enumerate(rows)]
    weight = torch.stack(chances).unsqueeze(1).expand(action.shape) / paths.steps
    advantage = returns_to_go(process, paths) - baseline[paths.state]
    rollout = Rollout(**{**vars(rollout), "log_prob": log_prob.detach(), "acting": acting})
    return rollout, Advantages(advantage, weight.detach())


# ---------------------------------------------------------------- the library, on all trajectories


@dataclass(frozen=True)
class Case:
    """What an estimator is tried on."""

    process: Process
    lrs: tuple[float, ...]
    """Sizes of the inner steps, along the gradient of the return of an episode."""
    baseline: Tensor
    """`[S]`, subtracted from the returns to go."""
    episodes: int = 1
    """Episodes per copy of a rollout."""

    @property
    def paths(self) -> Paths:
        """All trajectories."""
        return all_paths(self.process, self.episodes)


def estimate(case: Case, theta: Tensor, inner_loss: str, order: int) -> Tensor:
    """The meta-gradient `[P]` that the library computes from all trajectories instead of some.

    Weights are shares of T steps, returns are sums over the H steps of an episode: gradients are larger by H.
    """
    process, horizon = case.process, case.process.horizon
    lr, later_lr = case.lrs[0] * horizon, case.lrs[-1] * horizon
    config = InnerConfig(lr=lr, later_lr=later_lr, num_steps=len(case.lrs))
    adaptation = GradientAdaptation(process.policy, LOSSES[inner_loss], config, order)
    params, num_tasks, paths = unflatten(theta, process.like), len(process.reward), case.paths
    history: list[tuple[Rollout, Advantages]] = []
    acting = stack_shared(params, num_tasks)
    for j in range(len(case.lrs) + 1):
        history.append(enumerated(process, paths, acting, case.baseline))
        if j < len(case.lrs):
            acting = adaptation.apply(acting, *history[-1], j)

    def objective(shared: Params, part: slice) -> Tensor:
        rollouts = [rollout.select_tasks(part) for rollout, _ in history]
        advantages = [advantage.select_tasks(part) for _, advantage in history]
        adapted = adaptation.unroll(shared, rollouts[:-1], advantages[:-1])
        new = process.policy.unroll(adapted, rollouts[-1])
        return likelihood_ratio_loss(new, rollouts[-1], advantages[-1]).sum()

    _, gradient = value_and_gradient(objective, params, chunks(num_tasks, num_tasks))
    return -horizon * torch.cat([value.reshape(-1) for value in gradient.values()])


# ---------------------------------------------------------------- what the biases are, derived


@dataclass(frozen=True)
class Terms:
    """The parts of the Hessian of one task's expected return, each `[P, P]`, by sums over trajectories.

    With the score sₜ = ∇ log π(aₜ|sₜ), the return to go Gₜ and a baseline bₜ:

        ∇²J = E Σₜ ∇² log πₜ Gₜ  +  E Σₜ sₜ sₜᵀ Gₜ  +  E Σ_{t≠u} sₜ sᵤᵀ G_max(t,u)
    """

    curvature: Tensor
    """E Σₜ ∇² log πₜ (Gₜ − bₜ)."""
    squares: Tensor
    """E Σₜ sₜ sₜᵀ (Gₜ − bₜ)."""
    crosses: Tensor
    """E Σ_{t≠u} sₜ sᵤᵀ G_max(t,u)."""


def hessian_terms(case: Case, task: int, theta: Tensor) -> Terms:
    """Compute them from the scores of the tabular policy, with none of the library's losses."""
    process, paths = case.process, all_paths(case.process)

    def flat(t: Tensor) -> Tensor:
        return log_policy(t, process.like).flatten()

    size, table = len(theta), process.reward[task].shape
    score = torch.autograd.functional.jacobian(flat, theta).view(*table, size)[paths.state, paths.action]  # [T, B, P]
    hessians = [torch.autograd.functional.hessian(lambda t, i=i: flat(t)[i], theta) for i in range(table.numel())]
    curvature = torch.stack(hessians).view(*table, size, size)[paths.state, paths.action]  # [T, B, P, P]
    chance = probability(process, paths, task, log_policy(theta, process.like))
    togo = returns_to_go(process, paths)[task]  # [T, B]
    weight = chance * (togo - case.baseline[paths.state])
    crosses = torch.zeros(size, size, dtype=torch.float64)
    for t, u in itertools.permutations(range(paths.steps), 2):
        crosses += torch.einsum("b,bp,bq->pq", chance * togo[max(t, u)], score[t], score[u])
    return Terms(
        curvature=torch.einsum("tb,tbpq->pq", weight, curvature),
        squares=torch.einsum("tb,tbp,tbq->pq", weight, score, score),
        crosses=crosses,
    )


def meta_gradient_with(case: Case, theta: Tensor, hessian: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Σᵢ (I + α₀ Ĥ(θ⁰)) … (I + αₖ₋₁ Ĥ(θᵏ⁻¹)) ∇Jᵢ(θᵏ), with Ĥ in place of the Hessian: what an estimator that has
    the right gradients but the Hessian (task, θ) ↦ Ĥ computes.
    """
    total = torch.zeros_like(theta)
    for task in range(len(case.process.reward)):
        point, factors = theta, list[Tensor]()
        for lr in case.lrs:
            factors.append(torch.eye(len(theta), dtype=torch.float64) + lr * hessian(task, point))
            point = point + lr * return_gradient(case.process, task, point)
        outer = return_gradient(case.process, task, point)
        for factor in reversed(factors):
            outer = factor @ outer
        total += outer
    return total


def return_gradient(process: Process, task: int, theta: Tensor) -> Tensor:
    """∇J of one task, by autograd through backward induction."""
    leaf = theta.clone().requires_grad_()
    return torch.autograd.grad(expected_return(process, task, leaf), leaf)[0]


def return_hessian(process: Process, task: int, theta: Tensor) -> Tensor:
    """∇²J of one task, by autograd through backward induction."""
    return torch.autograd.functional.hessian(lambda t: expected_return(process, task, t), theta)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """|actual − expected| / |expected|."""
    return float((actual - expected).norm() / expected.norm())
