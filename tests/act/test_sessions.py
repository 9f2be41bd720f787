"""Sessions beside each other: each adapts when it is asked, and does what it does alone."""

import numpy as np
import pytest
import torch

from drml.act.tally import Change
from drml.core.errors import InputError

from .driving import LEARNERS, meta_agent

PLANS = {4: {14, 39}, 0: {24}, 9: {14, 24, 39, 49}, 2: set()}
"""Looks after which each session adapts."""


def drive(agent, names):
    """Return the actions `[T, K', B, A]` and the parameters of sessions that meet the same, whoever is beside them."""
    rngs = {name: np.random.default_rng(name) for name in names}
    shape, found = (len(names), 2), []
    for t in range(60):
        obs, reward = (np.stack([rngs[name].normal(size=size) for name in names]) for size in ((2, 2), (2,)))
        found.append(np.asarray(agent.act(obs)))
        agent.observe(reward, np.zeros(shape, bool), np.full(shape, t % 5 == 4))
        for k, name in enumerate(names):
            if t in PLANS[name]:
                agent.adapt([k])
        if t == 44 and 9 in names and not agent.learned.adapts_while_acting:
            agent.take_back([names.index(9)])
    return np.stack(found), agent.steps


@pytest.mark.parametrize("name", LEARNERS)
def test_a_session_does_in_company_what_it_does_alone(name):
    meta, names = meta_agent(name), list(PLANS)
    together, steps = drive(meta.start(2, sessions=names, max_steps=60), names)
    taken_back = 0 if meta.learned.adapts_while_acting else 1
    assert steps == (2, 1, 4 - taken_back, 0)
    for k, one in enumerate(names):
        alone, _ = drive(meta.start(2, sessions=[one], max_steps=60), [one])
        # the same numbers in other batches: sums of 64 products of about 1 are rounded in another order, and four
        # adaptation steps pass that on; another session's noise or experience would make differences of about 1
        np.testing.assert_allclose(together[:, k], alone[:, 0], rtol=0, atol=2e-3)


def test_notes_of_learners_stay_with_their_sessions():
    agent = meta_agent("es_maml").start(2, sessions=2)
    for t in range(10):
        agent.act(np.zeros((2, 2, 2)))
        agent.observe(np.ones((2, 2)), np.zeros((2, 2), bool), np.full((2, 2), t % 5 == 4))
    agent.adapt([1])
    assert agent.sessions.agents[0].memo.keys() != agent.sessions.agents[1].memo.keys()
    assert agent.agent.stacked
    torch.testing.assert_close(
        {name: value[0] for name, value in agent.agent.params.items()}, dict(agent.sessions.agents[0].params)
    )


def test_an_action_of_the_agent_before_is_not_learned_from():
    agent, at = meta_agent("maml").start(), np.zeros(2)
    for t in range(5):
        agent.act(at)
        agent.observe(float(t), False, t == 4)
    agent.adapt()
    agent.act(at)
    agent.take_back()
    agent.observe(1.0, False, False)
    with pytest.raises(InputError, match="there is not a step to learn from"):
        agent.adapt()


def test_agents_say_what_they_are():
    meta = meta_agent("rl2-gru")
    assert repr(meta).startswith("<MetaAgent: rl2 on drawn after 0 meta-iterations; observations Box(")
    assert "1 x 2 copies, after 0 adaptation steps; rl2 on drawn" in repr(meta.start(2))
    assert meta.facts["reached"]["meta_iter"] == 0


def test_an_episode_that_a_step_falls_into_tells_nothing_of_that_step():
    agent, at = meta_agent("maml").start(), np.zeros(2)
    for t in range(
        12
    ):  # episodes of 5 steps that earn a reward each; steps of adaptation within the first and after it
        if t in (3, 5):
            agent.adapt()
        agent.act(at)
        agent.observe(1.0, False, t % 5 == 4)
    assert agent.change() == Change((), (5.0,))
    agent.take_back()  # within the third episode
    for _ in range(3):
        agent.act(at)
        agent.observe(1.0, False, False)
    agent.act(at)
    agent.observe(1.0, False, True)
    assert agent.change() == Change((), ())


@pytest.mark.parametrize(
    ("sessions", "names"), [(np.int64(2), [0, 1]), (np.array([5, 3]), [5, 3]), (np.array([0, 4]), [0, 4]), ([7], [7])]
)
def test_sessions_are_a_number_or_names_of_any_kind(sessions, names):
    assert meta_agent().start(sessions=sessions).sessions.ids.tolist() == names
