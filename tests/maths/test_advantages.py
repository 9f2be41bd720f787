"""Returns, baseline and advantages: against loops over one copy at a time, and against the exact gradient."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numeric import SPEC, STEPS, random_params, random_rollout
from oracle import LOSSES, Process, all_paths, enumerated, relative_error, return_gradient, return_hessian

from drml.core.tree import stack_shared, unflatten
from drml.learning.advantages import estimate_advantages
from drml.learning.linear_baseline import LinearFeatureBaseline
from drml.learning.returns import gae, next_values

GAMMA, LAMBDA = 0.9, 0.8


def returns_by_loops(rollout, k, b):
    """Discounted returns [T] of one copy, and whether the episode of each step is complete (not cut short)."""
    ended = (rollout.terminated | rollout.truncated)[k, :, b]
    returns, complete = np.zeros(STEPS), np.zeros(STEPS, dtype=bool)
    for t in range(STEPS):
        u = t
        while not ended[u]:
            u += 1
        rewards = rollout.reward[k, t : u + 1, b].tolist()
        returns[t] = sum(GAMMA**i * r for i, r in enumerate(rewards))
        cut = bool(rollout.truncated[k, u, b]) and int(rollout.elapsed[k, u, b]) + 1 < SPEC.horizon
        complete[t] = not cut
    return returns, complete


def features_by_loops(obs, elapsed):
    s = np.clip(obs.numpy(), -10, 10)
    tau = elapsed / 100
    return np.concatenate([s, s**2, [tau, tau**2, tau**3, 1.0]])


def values_by_loops(rollout, k):
    """Value of each observation and of each observation after a cut [T, B] of one task."""
    rows, targets = [], []
    copies = rollout.reward.shape[2]
    for b in range(copies):
        returns, complete = returns_by_loops(rollout, k, b)
        for t in range(STEPS):
            if complete[t] and rollout.valid[k, t, b]:
                rows.append(features_by_loops(rollout.obs[k, t, b], int(rollout.elapsed[k, t, b])))
                targets.append(returns[t])
    design, target = np.array(rows), np.array(targets)
    weights = np.linalg.solve(design.T @ design + 1e-5 * np.eye(design.shape[1]), design.T @ target)
    value, final = np.zeros((STEPS, copies)), np.zeros((STEPS, copies))
    for b in range(copies):
        for t in range(STEPS):
            elapsed = int(rollout.elapsed[k, t, b])
            value[t, b] = features_by_loops(rollout.obs[k, t, b], elapsed) @ weights
            if rollout.truncated[k, t, b] and elapsed + 1 < SPEC.horizon:
                final[t, b] = features_by_loops(rollout.final_obs[k, t, b], elapsed + 1) @ weights
    return value, final


def advantages_by_loops(rollout, k):
    """Σₗ (γλ)ˡ δₜ₊ₗ to the end of the episode, then mean 0 and standard deviation 1 over the task's valid steps."""
    value, final = values_by_loops(rollout, k)
    raw = np.zeros_like(value)
    for b in range(raw.shape[1]):
        for t in range(STEPS):
            for u in range(t, STEPS):
                terminated, truncated = bool(rollout.terminated[k, u, b]), bool(rollout.truncated[k, u, b])
                follows = 0.0 if terminated else final[u, b] if truncated else value[u + 1, b]
                delta = float(rollout.reward[k, u, b]) + GAMMA * follows - value[u, b]
                raw[t, b] += (GAMMA * LAMBDA) ** (u - t) * delta
                if terminated or truncated:
                    break
    valid = rollout.valid[k].numpy()
    return (raw - raw[valid].mean()) / raw[valid].std()


def test_gae_by_hand():
    # two episodes in one copy: rewards 1, 2 | 4; values 3, 5 | 6; terminated after the second step, cut after the third
    reward = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1)
    value = torch.tensor([3.0, 5.0, 6.0]).view(1, 3, 1)
    final = torch.tensor([7.0, 8.0, 10.0]).view(1, 3, 1)
    terminated = torch.tensor([False, True, False]).view(1, 3, 1)
    truncated = torch.tensor([False, False, True]).view(1, 3, 1)
    follows = next_values(value, final, terminated, truncated)
    assert follows.flatten().tolist() == [5.0, 0.0, 10.0]
    advantage = gae(reward, value, follows, terminated | truncated, gamma=0.5, gae_lambda=0.5)
    # δ = 1 + 0.5·5 − 3 = 0.5,  2 + 0 − 5 = −3,  4 + 0.5·10 − 6 = 3;  Â₀ = 0.5 + 0.25·(−3) = −0.25
    assert advantage.flatten().tolist() == [-0.25, -3.0, 3.0]


def test_advantages_equal_loops_over_one_copy_at_a_time():
    rollout = random_rollout(random_params(), num_tasks=3, seed=5)
    advantages = estimate_advantages(rollout, LinearFeatureBaseline(SPEC.horizon, GAMMA), LAMBDA)
    for k in range(3):
        expected = torch.from_numpy(advantages_by_loops(rollout, k))
        # the normal equations have a condition number of up to 10⁶: 10⁶ · 2⁻⁵³ = 1e-10
        torch.testing.assert_close(advantages.advantage[k], expected, rtol=0, atol=1e-8)
        torch.testing.assert_close(advantages.weight[k], torch.full_like(expected, 1.0 / expected.numel()))


def fair_process():
    """Deterministic moves: under a uniform policy all possible trajectories are equally likely, as copies are."""
    reward = torch.randn((2, 2, 3), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    moves = torch.tensor([[0, 1, 1], [0, 0, 0]])  # s′ for each (s, a)
    transition = torch.eye(2, dtype=torch.float64)[moves].expand(2, 2, 3, 2)
    return Process(torch.full((2,), 0.5, dtype=torch.float64), transition, reward, horizon=3)


def fair_rollout(process):
    """Each possible trajectory once, under a uniform policy whose derivatives are not zero."""
    theta = process.theta()
    theta[-3 * 3 :] = 0.0  # the output layer: 2 x 3 weights and 3 biases
    listed = all_paths(process)
    chance = process.start[listed.state[0]]
    for t in range(1, process.horizon):
        chance = chance * process.transition[0, listed.state[t - 1], listed.action[t - 1], listed.state[t]]
    paths = replace(listed, state=listed.state[:, chance > 0.0], action=listed.action[:, chance > 0.0])
    stacked = stack_shared(unflatten(theta, process.like), 2)
    return theta, enumerated(process, paths, stacked, torch.zeros(2, dtype=torch.float64))[0]


def derivatives(process, theta, rollout, advantages, inner_loss, task):
    """Gradient and Hessian of minus the library's loss of one task."""

    def objective(point):
        new = process.policy.unroll(stack_shared(unflatten(point, process.like), 2), rollout)
        return -LOSSES[inner_loss](new, rollout, advantages)[task]

    return (
        torch.autograd.functional.jacobian(objective, theta),
        torch.autograd.functional.hessian(objective, theta),
    )


@pytest.mark.parametrize("inner_loss", LOSSES)
def test_fitted_baseline_and_normalisation_only_rescale_the_gradient(inner_loss):
    process = fair_process()
    theta, rollout = fair_rollout(process)
    advantages = estimate_advantages(rollout, LinearFeatureBaseline(process.horizon, gamma=1.0), gae_lambda=1.0)
    for task in range(2):
        exact = return_gradient(process, task, theta)
        gradient, hessian = derivatives(process, theta, rollout, advantages, inner_loss, task)
        scale = (gradient @ exact) / (exact @ exact)  # 1 / (steps · standard deviation)
        assert relative_error(gradient, scale * exact) < 1e-12  # sums of 54 terms of size 1
        if inner_loss == "dice":
            assert relative_error(hessian, scale * return_hessian(process, task, theta)) < 1e-12


def test_the_fitted_baseline_is_not_the_value_function():
    """Without this the test above would not see what a wrong baseline does."""
    process = fair_process()
    _, rollout = fair_rollout(process)
    fitted = LinearFeatureBaseline(process.horizon, gamma=1.0).fit_values(rollout).value
    last = process.reward.mean(-1)  # value of the last step under a uniform policy, [K, S]
    state = rollout.obs.argmax(-1)
    true = last.gather(1, state[:, -1])
    assert float((fitted[:, -1] - true).abs().max()) > 0.05
