"""Prediction against the policy's own step: the most likely action, memories that restart, and nothing learned."""

import numpy as np
import pytest
import torch

from .driving import meta_agent


def test_the_most_likely_action_is_the_mean():
    meta = meta_agent()
    obs = np.array([[0.5, -0.25], [1.0, 0.0]], np.float32)
    with torch.no_grad():
        distribution, _ = meta.learned.policy.step(meta.learned.shared, torch.from_numpy(obs)[None], {})
    expected = distribution.mode()[0].clamp(-1, 1).numpy()
    np.testing.assert_allclose(meta.predict(obs, deterministic=True)[0], expected, rtol=0, atol=1e-6)
    one, state = meta.predict(obs[0], deterministic=True)
    np.testing.assert_allclose(one, expected[0], rtol=0, atol=1e-6)
    assert state is None


def test_draws_go_on_and_begin_anew_with_the_seed():
    first, second = (meta_agent().start(seed=3) for _ in range(2))
    drawn = [first.predict(np.zeros(2))[0] for _ in range(3)]
    assert len({x.tobytes() for x in drawn}) == 3
    first.predict(np.zeros(2), deterministic=True)  # draws nothing
    np.testing.assert_array_equal([second.predict(np.zeros(2))[0] for _ in range(3)], drawn)
    assert not np.array_equal(meta_agent().start(seed=4).predict(np.zeros(2))[0], drawn[0])


@pytest.mark.parametrize("name", ["rl2-gru", "rl2-lstm", "rl2-mingru"])
def test_a_memory_is_carried_by_its_caller(name):
    """The same observations give what `act` gives where every reward is 0."""
    meta = meta_agent(name)
    agent, state = meta.start(2), None
    for t in range(6):
        obs = np.random.default_rng(t).normal(size=(2, 2)).astype(np.float32)
        starts = np.array([t == 0, t in (0, 3)])
        predicted, state = meta.predict(obs, state, starts, deterministic=True)
        np.testing.assert_allclose(predicted, agent.act(obs, explore=False), rtol=0, atol=1e-6)
        agent.observe(np.zeros(2), np.zeros(2, bool), np.array([False, t == 2]))


def test_nothing_is_learned_and_the_session_is_as_before():
    first, second = (meta_agent("rl2-gru").start() for _ in range(2))
    first.predict(np.ones(2), deterministic=True)
    first.predict(np.ones(2))
    np.testing.assert_array_equal(first.act(np.ones(2)), second.act(np.ones(2)))
