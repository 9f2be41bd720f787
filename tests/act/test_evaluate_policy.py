"""Stable-Baselines3's `evaluate_policy` runs unchanged, before and after adaptation, memories included."""

import gymnasium as gym
import numpy as np
import pytest

import drml
import drml.gym.register

evaluation = pytest.importorskip("stable_baselines3.common.evaluation", reason="needs drml[sb3]")
vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
monitor = pytest.importorskip("stable_baselines3.common.monitor")
RUNS = {
    "maml": ("navigation-maml-v1", "maml", {}, {"goal": (0.3, -0.2)}),
    "gru": ("gridnavi-varibad-v1", "rl2", {"policy": drml.MemoryConfig(size=8)}, {"goal": (3.0, 1.0)}),
    "lstm": ("gridnavi-varibad-v1", "rl2", {"policy": drml.MemoryConfig("lstm", size=8)}, {"goal": (3.0, 1.0)}),
    "transformer": (
        "gridnavi-varibad-v1",
        "rl2",
        {"policy": drml.MemoryConfig("transformer", size=8, context=100)},
        {"goal": (3.0, 1.0)},
    ),
}


@pytest.fixture(scope="module", params=RUNS)
def case(request, tmp_path_factory):
    suite, learner, options, task = RUNS[request.param]
    sizes = {"meta_iters": 1, "num_tasks": 2, "copies": 2, "validate_every": 1, "validation_tasks": 2}
    out = tmp_path_factory.mktemp("runs") / request.param
    run = drml.train(suite, learner, out=out, verbose=False, **options, **sizes)
    return drml.load(run.path), lambda: monitor.Monitor(gym.make(f"drml/{suite}", task=task))


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("copies", [0, 3])
def test_evaluate_policy_runs_unchanged(case, deterministic, adapted, copies):
    meta, make = case
    env = vec_env.DummyVecEnv([make] * copies) if copies else make()
    model = meta.adapt_to(make(), 1, 1, verbose=False)[0] if adapted else meta
    horizon = meta.learned.interface.horizon
    returns, lengths = evaluation.evaluate_policy(
        model, env, n_eval_episodes=4, deterministic=deterministic, return_episode_rewards=True
    )
    assert len(returns) == 4 and np.isfinite(returns).all()
    assert all(1 <= length <= horizon for length in lengths)


def test_the_most_likely_first_action_is_that_of_the_own_loop(case):
    meta, make = case
    env, agent = make(), meta.start()
    obs, _ = env.reset(seed=5)
    action, _ = meta.predict(obs, deterministic=True)
    np.testing.assert_array_equal(action, agent.act(obs, explore=False))


def test_a_state_is_of_as_many_environments_and_an_episode_start_is_told_to_the_memory(case):
    meta, make = case
    obs = np.stack([make().reset(seed=k)[0] for k in range(3)])
    _, state = meta.predict(obs)
    if not meta.learned.adapts_while_acting:
        assert state is None
        return
    assert all(len(leaf) == 3 for leaf in state)
    starts = np.array([False, True, False])
    told, quiet = (meta.predict(obs, state, start, deterministic=True)[1] for start in (starts, None))
    differs = [any(not np.array_equal(x[k], y[k]) for x, y in zip(told, quiet, strict=True)) for k in range(3)]
    assert differs == [False, True, False]
