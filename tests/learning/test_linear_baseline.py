import dataclasses
import resource

import numpy as np
import pytest
import torch

from drml.core.distribution import Gaussian
from drml.core.rng import Streams
from drml.core.types import FinalObs, Rollout
from drml.learning.linear_baseline import LinearFeatureBaseline

K, T, B, OBS = 3, 12, 6, 2
HORIZON = 6
GAMMA = 0.9
BASELINE = LinearFeatureBaseline(HORIZON, GAMMA)


def rollout(horizon=HORIZON, steps=T, seed=0, terminate=()):
    """Episodes of `horizon` steps, truncated there and at the end; `terminate` lists ends (k, t, b) before that."""
    rng = Streams(seed)
    ended = torch.zeros(K, steps, B, dtype=torch.bool)
    elapsed = torch.zeros(K, steps, B, dtype=torch.int64)
    for k in range(K):
        for b in range(B):
            start = 0
            for t in range(steps):
                elapsed[k, t, b] = t - start
                if t - start == horizon - 1 or t == steps - 1 or (k, t, b) in terminate:
                    ended[k, t, b], start = True, t + 1
    terminated = torch.zeros_like(ended)
    for place in terminate:
        terminated[place] = True
    return Rollout(
        obs=3.0 * rng["obs"].normal((K, steps, B, OBS)).double(),
        action=torch.zeros(K, steps, B, 1),
        reward=rng["reward"].normal((K, steps, B)).double(),
        terminated=terminated,
        truncated=ended & ~terminated,
        valid=torch.ones_like(ended),
        final=FinalObs.dense(rng["final"].normal((K, steps, B, OBS)).double().masked_fill(~ended[..., None], 0.0)),
        elapsed=elapsed,
        log_prob=torch.zeros(K, steps, B),
        acting=Gaussian(torch.zeros(K, steps, B, 1), torch.zeros(K, steps, B, 1)),
        first_carry={},
        last_carry={},
    )


def features_of(obs, elapsed):
    s, tau = np.clip(np.asarray(obs, np.float64), -10.0, 10.0), elapsed / 100.0
    return np.concatenate([s, s**2, [tau, tau**2, tau**3, 1.0]])


def weights_by_lstsq(data, k, ridge=1e-5):
    """Least squares on [X; √λ I] w = [R; 0], over the complete and sound episodes of task k."""
    rows, targets = [], []
    for b in range(B):
        episode = []
        for t in range(data.reward.shape[1]):
            episode.append(t)
            terminated, truncated = bool(data.terminated[k, t, b]), bool(data.truncated[k, t, b])
            if not (terminated or truncated):
                continue
            is_complete = terminated or int(data.elapsed[k, t, b]) + 1 == HORIZON
            if is_complete and bool(data.valid[k, episode, b].all()):
                rewards = [float(data.reward[k, u, b]) for u in episode]
                for i, u in enumerate(episode):
                    rows.append(features_of(data.obs[k, u, b], int(data.elapsed[k, u, b])))
                    targets.append(sum(GAMMA**j * r for j, r in enumerate(rewards[i:])))
            episode = []
    size = 2 * OBS + 4
    rows, targets = np.reshape(rows, (-1, size)), np.array(targets)
    system = np.concatenate([rows, ridge**0.5 * np.eye(size)])
    return np.linalg.lstsq(system, np.concatenate([targets, np.zeros(size)]), rcond=None)[0]


def with_cut_and_unsound_episodes():
    data = rollout(steps=T + 3, terminate=[(0, 2, 0), (1, 7, 3)])  # the last episode of most copies is cut
    valid = data.valid.clone()
    valid[2, 6:12, 1] = False
    return dataclasses.replace(data, valid=valid)


def is_cut(data):
    """Where episodes end only because the rollout does."""
    return data.truncated & (data.elapsed + 1 < HORIZON)


def test_equals_numpys_least_squares():
    data = with_cut_and_unsound_episodes()
    values = BASELINE.fit_values(data)
    for k in range(K):
        weights = weights_by_lstsq(data, k)
        features = [
            [features_of(data.obs[k, t, b], int(data.elapsed[k, t, b])) for b in range(B)] for t in range(T + 3)
        ]
        # the normal equations square the condition number (here about 1e5): 1e-16 · 1e10, times values of size 1
        np.testing.assert_allclose(values.value[k].numpy(), np.array(features) @ weights, atol=1e-6)
        for b in (copy for copy in range(B) if bool(is_cut(data)[k, -1, copy])):
            final = features_of(data.final_obs[k, -1, b], int(data.elapsed[k, -1, b]) + 1) @ weights
            np.testing.assert_allclose(float(values.final_value[k, -1, b]), final, atol=1e-6)


def test_recovers_a_value_that_is_linear_in_the_features():
    data = rollout()
    weights = torch.tensor([1.0, -2.0, 0.3, 0.1, 5.0, -4.0, 3.0, 2.0], dtype=torch.float64)
    value = (BASELINE.features(data.obs, data.elapsed).flatten(1, 2) @ weights).view(K, T, B)
    ended = data.truncated
    follows = torch.cat([value[:, 1:], torch.zeros(K, 1, B)], 1).masked_fill(ended, 0.0)
    fitted = BASELINE.fit_values(dataclasses.replace(data, reward=value - GAMMA * follows))
    # ridge λ moves the fit by at most ½ √λ ‖w‖: the greatest σ λ/(σ² + λ) over all singular values σ
    assert float((fitted.value - value).abs().max()) <= 0.5 * 1e-5**0.5 * float(weights.norm())


def test_the_value_is_zero_at_the_horizon_and_where_the_task_ended():
    data = with_cut_and_unsound_episodes()
    final = BASELINE.fit_values(data).final_value
    cut = is_cut(data)
    assert bool(cut.any())
    assert not final[~cut].any()
    assert bool((final[cut] != 0.0).all())


def test_only_complete_and_sound_episodes_are_fitted():
    data = with_cut_and_unsound_episodes()
    before = BASELINE.fit_values(data)
    cut_episode = torch.zeros(K, T + 3, B, dtype=torch.bool)
    cut_episode[:, 12:] = True
    cut_episode[0, :, 0] = False  # after its early end, further episodes at 3 to 8 and 9 to 14 are complete
    cut_episode[1, 12:14, 3] = False  # after its early end at 7, one at 8 to 13 is
    unfitted = cut_episode | ~data.valid
    after = BASELINE.fit_values(dataclasses.replace(data, reward=data.reward + 100.0 * unfitted))
    # the untouched sums are the same numbers multiplied by zero elsewhere
    assert torch.equal(before.value, after.value)
    touched = data.reward.clone()
    touched[0, 0, 0] += 100.0  # an episode that is fitted
    assert not torch.equal(before.value, BASELINE.fit_values(dataclasses.replace(data, reward=touched)).value)


def test_tasks_at_once_equal_one_by_one():
    data = with_cut_and_unsound_episodes()
    together = BASELINE.fit_values(data)
    for k in range(K):
        alone = BASELINE.fit_values(data.select_tasks(slice(k, k + 1)))
        # batched products may sum in another order: 1e-16 times the squared condition, as above
        torch.testing.assert_close(alone.value[0], together.value[k], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone.final_value[0], together.final_value[k], rtol=0, atol=1e-6)


def test_a_task_without_a_complete_episode_has_value_zero():
    values = BASELINE.fit_values(rollout(steps=HORIZON - 1))
    assert not values.value.any()
    assert not values.final_value.any()


def test_collinear_features_are_no_obstacle():
    # constant observations, rewards 1, γ = 1: the value is 6 − t = 6 − 100 τ, with weights of norm 100.2
    data = rollout(steps=HORIZON)
    data = dataclasses.replace(data, obs=torch.ones_like(data.obs).float(), reward=torch.ones(K, HORIZON, B))
    values = LinearFeatureBaseline(HORIZON, gamma=1.0).fit_values(data)
    assert values.value.dtype == torch.float64
    returns = HORIZON - torch.arange(HORIZON).view(1, -1, 1)
    assert float((values.value - returns).abs().max()) <= 0.5 * 1e-5**0.5 * 100.2  # ½ √λ ‖w‖, as above


def test_features_are_clipped():
    far = BASELINE.features(torch.full((1, 1, 1, 1), 1e6), torch.full((1, 1, 1), 50))
    assert far.flatten().tolist() == [10.0, 100.0, 0.5, 0.25, 0.125, 1.0]
    assert far.dtype == torch.float64


def with_limits(limits, steps=HORIZON):
    """Rewards of 1 and observations that tell nothing; task k's environment truncates after `limits[k]` steps."""
    data = [rollout(horizon=limit, steps=steps).select_tasks(slice(k, k + 1)) for k, limit in enumerate(limits)]
    joined = data[0].map(lambda *parts: torch.cat(parts), *data[1:])
    ones = torch.ones(K, steps, B, dtype=torch.float64)
    return dataclasses.replace(joined, reward=ones, obs=torch.zeros_like(joined.obs))


@pytest.mark.parametrize("limits", [(5, 5, 5), (6, 5, 2), (1, 3, 6), (4, 2, 5)])
def test_a_time_limit_of_the_environments_own_is_the_tasks_horizon(limits):
    data = with_limits(limits)
    values = LinearFeatureBaseline(HORIZON, gamma=1.0).fit_values(data)
    for k, limit in enumerate(limits):
        # the value is limit − t, with weights of norm up to hypot(100, 6): ½ √λ ‖w‖, as above
        left = limit - data.elapsed[k].double()
        torch.testing.assert_close(values.value[k], left, rtol=0, atol=0.5 * 1e-5**0.5 * 101)
        own = LinearFeatureBaseline(limit, gamma=1.0).fit_values(data.select_tasks(slice(k, k + 1)))
        torch.testing.assert_close(values.value[k], own.value[0], rtol=0, atol=1e-6)  # products by batch, as above
        torch.testing.assert_close(values.final_value[k], own.final_value[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("limits", [(5, 5, 5), (1, 3, 5), (6, 6, 6)])
def test_a_rollout_of_whole_episodes_ends_with_them_and_cuts_none(limits):
    """Copies that take one episode each: where all tasks have a limit below the horizon, the rollout ends at it."""
    longest = max(limits)
    data = with_limits(limits, steps=longest)
    # each copy waits through what follows its first episode
    taken = (data.elapsed == torch.arange(longest).view(1, -1, 1)).expand_as(data.valid)
    data = dataclasses.replace(data, valid=taken, taken=taken, truncated=data.truncated & taken)
    baseline = LinearFeatureBaseline(HORIZON, gamma=1.0, whole_episodes=True)
    values = baseline.fit_values(data)
    assert torch.equal(values.fitted, taken)
    assert not values.final_value.any()
    for k, limit in enumerate(limits):
        left = (limit - data.elapsed[k].double())[taken[k]]  # with weights of norm up to hypot(100, 6): as above
        torch.testing.assert_close(values.value[k][taken[k]], left, rtol=0, atol=0.5 * 1e-5**0.5 * 101)


def test_an_episode_that_its_environment_cuts_is_no_limit_where_another_one_lasts_longer():
    data = rollout(horizon=5, steps=HORIZON)
    truncated, elapsed = data.truncated.clone(), data.elapsed.clone()
    truncated[0, 2, 0], elapsed[0, 3:, 0] = True, torch.arange(3)
    truncated[0, 4, 0] = False
    data = dataclasses.replace(data, truncated=truncated, elapsed=elapsed)
    values = BASELINE.fit_values(data)
    assert float(values.final_value[0, 2, 0]) != 0.0  # others went on from there: what they show is looked up to
    assert not values.final_value[0, 4, 1:].any()
    changed = data.reward.clone()
    changed[0, :3, 0] += 100.0
    unfitted = BASELINE.fit_values(dataclasses.replace(data, reward=changed))
    assert torch.equal(values.value, unfitted.value)


def test_an_unsound_episode_sets_no_limit():
    data = rollout(horizon=5, steps=HORIZON)
    valid = torch.ones_like(data.valid)
    valid[0, :5] = False  # all whole episodes of the task
    assert not BASELINE.fit_values(dataclasses.replace(data, valid=valid)).value[0].any()


def test_a_rollout_of_one_step_has_its_horizon():
    values = LinearFeatureBaseline(1, gamma=1.0).fit_values(with_limits((1, 1, 1), steps=1))
    torch.testing.assert_close(values.value, torch.ones(K, 1, B).double(), rtol=0, atol=1e-4)  # λ/(B + λ)


def test_fewer_steps_than_features_have_the_values_of_the_normal_equations():
    """(X Xᵀ + λ)⁻¹ in place of (XᵀX + λ)⁻¹, on the same data and with the same λ."""
    rng, wide, steps = Streams(1), 20, 3
    data = rollout(steps=HORIZON)
    data = data.select_tasks(slice(0, 2)).map(lambda x: x[:, :, :steps])
    data = dataclasses.replace(data, obs=rng["obs"].normal((2, HORIZON, steps, wide)).double())
    data = dataclasses.replace(data, final=FinalObs.dense(torch.zeros_like(data.obs)))
    valid = data.valid.clone()
    valid[1, :, 1] = False  # an unsound episode
    data = dataclasses.replace(data, valid=valid)
    for ridge in (1e-5, 0.3):
        values = dataclasses.replace(BASELINE, ridge=ridge).fit_values(data).value
        for k in range(2):
            features = BASELINE.features(data.obs, data.elapsed).flatten(1, 2)[k].numpy()
            assert features.shape == (HORIZON * steps, 2 * wide + 4)  # 18 rows, 44 features
            used = valid[k].flatten().numpy()
            discount = GAMMA ** np.arange(HORIZON)
            reward = data.reward[k].numpy()
            returns = np.stack([(discount[: HORIZON - t, None] * reward[t:]).sum(0) for t in range(HORIZON)]).ravel()
            x = features[used]
            weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ returns[used])
            # the primal system has condition σ²/λ with σ² of about 100: 1e-16 · 1e7, times values of size 1 to 10
            np.testing.assert_allclose(values[k].numpy().ravel(), features @ weights, atol=1e-7)


def test_pictures_need_no_memory_of_their_squared_size():
    """Six steps of 64 x 64 x 3 numbers: 24,580 features, whose normal equations would be 4.8 GB."""
    obs = Streams(2)["obs"].uniform((K, HORIZON, 1, 64 * 64 * 3))
    data = rollout(steps=HORIZON).map(lambda x: x[:, :, :1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    values = BASELINE.fit_values(dataclasses.replace(data, obs=obs, final=FinalObs.dense(torch.zeros_like(obs))))
    assert values.value.isfinite().all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB
