"""Sessions do not leak into each other: 64 in company, and interleaved at random, do what each does alone.

A sentinel plays the environment: its observations and rewards are functions of (session, step), unlike for any two
sessions and steps, so that a number in the wrong place changes what follows.
"""

import numpy as np
import pytest
import torch

import drml
from drml.core.tree import tree_leaves

SESSIONS, LOOKS, HORIZON = 64, 45, 15
RUNS = {
    "promp": ("gridnavi-varibad-v1", {}),
    "maml": ("gridnavi-varibad-v1", {}),
    "reptile": ("gridnavi-varibad-v1", {}),
    "es_maml": ("gridnavi-varibad-v1", {"learner_config": drml.ESMAMLConfig(queries=1)}),
    "rl2": ("gridnavi-varibad-v1", {"policy": drml.MemoryConfig(size=8)}),
}


@pytest.fixture(scope="module", params=RUNS)
def meta(request, tmp_path_factory):
    suite, options = RUNS[request.param]
    sizes = {"meta_iters": 1, "num_tasks": 2, "copies": 2, "validate_every": 1, "validation_tasks": 2}
    out = tmp_path_factory.mktemp("runs") / request.param
    return drml.load(drml.train(suite, request.param, out=out, verbose=False, **options, **sizes).path)


def seen(session, step, size):
    return np.sin(np.arange(1, size + 1) * (session + 1) + 0.37 * step).astype(np.float32)


def earned(session, step, action):
    return float(np.cos(2.0 * session + 0.61 * step) + 0.1 * action)


def ends(step):
    return step % HORIZON == HORIZON - 1


def adapts(session, step):
    """Return whether a session adapts after a step: each at times of its own, at ends of episodes."""
    return ends(step) and (session + step // HORIZON) % 3 == 0


def one_look(agent, session, step):
    """Let an agent of one session take a step, and adapt where it is time to; return what it did."""
    action = agent.act(seen(session, step, agent.learned.interface.spec.obs_size))
    agent.observe(earned(session, step, action), False, ends(step))
    if adapts(session, step):
        agent.adapt()
    return int(action)


def alone(meta, session):
    agent = meta.start(sessions=[session])
    return agent, [one_look(agent, session, step) for step in range(LOOKS)]


def assert_same(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)


def held(agent, row=0):
    """Return parameters and memory of one session, as its own."""
    one = agent.agent.select(torch.tensor([row]))
    params = one.params if one.stacked else {name: value[None] for name, value in one.params.items()}
    return {**params, **dict(tree_leaves(one.carry))}


@pytest.fixture(scope="module")
def by_itself(meta):
    return [alone(meta, session) for session in range(SESSIONS)]


def test_agents_that_are_used_in_random_order_do_what_each_does_alone(meta, by_itself):
    agents = [meta.start(sessions=[session]) for session in range(SESSIONS)]
    turns = np.random.default_rng(0).permutation(np.repeat(np.arange(SESSIONS), LOOKS))
    did = [[] for _ in range(SESSIONS)]
    for session in turns.tolist():
        did[session].append(one_look(agents[session], session, len(did[session])))
    for agent, actions, (expected, acted) in zip(agents, did, by_itself, strict=True):
        assert actions == acted and agent.steps == expected.steps
        assert_same(held(agent), held(expected), 0.0)


def test_sessions_in_company_do_what_each_does_alone(meta, by_itself):
    """Matrix products of 64 sessions may round differently than those of one, so parameters agree to 1e-6."""
    agent = meta.start(sessions=SESSIONS)
    size = meta.learned.interface.spec.obs_size
    for step in range(LOOKS):
        action = agent.act(np.stack([seen(k, step, size) for k in range(SESSIONS)]))
        assert action.tolist() == [acted[step] for _, acted in by_itself]
        reward = np.array([earned(k, step, action[k]) for k in range(SESSIONS)])
        agent.observe(reward, np.zeros(SESSIONS, bool), np.full(SESSIONS, ends(step)))
        if due := [k for k in range(SESSIONS) if adapts(k, step)]:
            agent.adapt(due)
    assert agent.steps == tuple(expected.steps[0] for expected, _ in by_itself)
    for k, (expected, _) in enumerate(by_itself):
        assert_same(held(agent, k), held(expected), 1e-6)
