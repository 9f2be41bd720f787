"""Agents of hybrid actions in a loop of one's own: each action is of the space, and what is saved acts the same."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

import drml

from .driving import LEARNERS, meta_agent

HYBRID = spaces.Dict(
    move=spaces.Tuple((spaces.Discrete(3, start=-1), spaces.Box(-1.0, 1.0, (2,)))),
    say=spaces.MultiDiscrete([2, 5]),
)
OBS = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(6, 2)


@pytest.mark.parametrize("name", LEARNERS)
def test_an_agent_acts_adapts_is_saved_and_goes_on(name, tmp_path):
    agent = meta_agent(name, action_space=HYBRID).start()
    for i, obs in enumerate(OBS):
        assert HYBRID.contains(agent.act(obs))
        agent.observe(float(i), i == 4, i == 5)
    agent.adapt()
    agent.act(OBS[0])
    agent.save(tmp_path / "agent")
    loaded = drml.load_agent(tmp_path / "agent")
    for one in (agent, loaded):
        one.observe(0.5, False, False)
    for obs in OBS[1:]:
        mine, theirs = agent.act(obs), loaded.act(obs)
        assert spaces.flatten(HYBRID, mine).tolist() == spaces.flatten(HYBRID, theirs).tolist()
        for one in (agent, loaded):
            one.observe(0.5, False, False)


@pytest.mark.parametrize("name", ["maml", "rl2-gru"])
def test_copies_act_as_vector_environments_take_it(name):
    agent = meta_agent(name, action_space=HYBRID).start(num_copies=6)
    assert batch_space(HYBRID, 6).contains(agent.act(OBS))
    agent.observe(np.zeros(6), np.zeros(6, bool), np.zeros(6, bool))
    acted, state = agent.predict(OBS)
    again, _ = agent.predict(OBS, state)
    assert batch_space(HYBRID, 6).contains(acted) and batch_space(HYBRID, 6).contains(again)
