"""Graphs of agents behind a normaliser take what environments show, and give the agent's own numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drml.algos.normalised import NormaliseConfig
from drml.core.rng import Streams
from drml.core.types import Agent
from drml.export.agent import graphs_of, inner_loop_of
from drml.learning.advantages import estimate_advantages
from drml.policies.normalised import Moments

from .models import OBS, Model, learned_of
from .test_adapting import in_a_row, rollout_of

LARGE = 1e6  # a constant beside which a signal of 1 must still be seen
CLOSE = {"rtol": 0.0, "atol": 1e-6}


def normalised(learner: str):
    plain = learned_of(learner)
    learned = replace(plain, config=replace(plain.config, normalise=NormaliseConfig(observations=True)))
    moments = Moments.none(OBS).merged(LARGE + 3.0 * Streams(3)["seen"].normal((500, OBS)).double())
    return replace(learned, shared=plain.shared | moments.params())


def model_of(learned, name: str) -> Model:
    return Model(next(graph for graph in graphs_of(learned) if graph.name == name))


@pytest.mark.parametrize("learner", ["promp", "rl2", "es_maml"])
def test_acting_sees_what_the_agent_sees(learner):
    learned = normalised(learner)
    obs = (LARGE + 9.0 * Streams(4)["obs"].normal((40, OBS)).double()).float()
    obs[0] = 0.0  # farther away than what is held
    with torch.no_grad():
        policy = learned.policy
        expected, _ = policy.step(learned.shared, obs[None], policy.initial_carry(1, 40))
    model = model_of(learned, "act")
    found = model(**model.zeros(40) | {"observation": obs.numpy()})
    for name, value in expected.tensors().items():
        np.testing.assert_allclose(found[f"action_{name}"], value[0].expand_as(expected.mode()[0]), **CLOSE)
    mean = found["action_mean"]
    assert np.abs(mean - mean[0]).max() > 1e-3  # not all the same


def test_adapting_sees_what_the_agent_sees():
    learned = normalised("promp")
    inner, agent = inner_loop_of(learned), Agent(learned.shared)
    with torch.no_grad():
        rollout = rollout_of(learned, learned.shared, 3, 10)
        rollout = replace(rollout, obs=(LARGE + 2.0 * rollout.obs.double()).float())
        expected = learned.learner.adapt(agent, rollout, 0, Streams(0))
    seen = learned.learner.normaliser.see_rollout(Moments.of(learned.shared), rollout)
    found = estimate_advantages(seen, inner.baseline, inner.adaptation.config.gae_lambda)
    data = {"observations": rollout.obs, "actions": rollout.action, "log_probs": rollout.log_prob}
    data |= {"elapsed": rollout.elapsed, "advantages": found.advantage, "weights": found.weight}
    given = model_of(learned, "parameters")()
    assert not any("normaliser" in name for name in given)
    outputs = model_of(learned, "adapt")(**given, adapt_step=0, **{k: in_a_row(v) for k, v in data.items()})
    for name, value in outputs.items():
        own = name.removeprefix("adapted.")
        np.testing.assert_allclose(value, expected.params[own][0], **CLOSE)
        assert float((expected.params[own][0] - learned.shared[own]).abs().max()) > 1e-5
