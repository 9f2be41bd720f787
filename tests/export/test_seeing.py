"""Graphs of policies that see: pictures and symbols come in as plain numbers, and adaptation goes through it all."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from drml.act.learned import Learned
from drml.algos.registry import learner_entry
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Agent, FinalObs, Rollout
from drml.export import keras
from drml.export.agent import graphs_of, inner_loop_of
from drml.learning.advantages import estimate_advantages
from drml.policies.encoders.registry import EncoderConfig
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.run.config import RunConfig
from drml.spaces.interface import Interface

from .models import DISCRETE, HORIZON, Model, fed_back

PICTURE = gym.spaces.Dict(state=gym.spaces.Box(-9.0, 9.0, (2,)), view=gym.spaces.Box(0, 255, (20, 20, 3), np.uint8))
SYMBOLS = gym.spaces.Tuple([gym.spaces.Box(0, 3, (5, 5), np.uint8), gym.spaces.Box(-9.0, 9.0, (2,))])
SEEN = {"small": (PICTURE, "auto"), "residual": (PICTURE, "residual"), "symbols": (SYMBOLS, "auto")}
CLOSE = {"rtol": 0.0, "atol": 1e-5}


def learned_of(learner: str, seen: str) -> Learned:
    space, kind = SEEN[seen]
    entry, encoder = learner_entry(learner), EncoderConfig(kind, 16, 4)
    policy = MLPConfig((8,), encoder=encoder)
    if learner == "rl2":
        policy = MemoryConfig(size=8, sees_transitions=True, encoder=encoder)
    blank = Learned(
        RunConfig("drawn", learner, entry.default, policy), Interface(space, DISCRETE, 1.0, HORIZON), {}, {}
    )
    return replace(blank, shared=blank.learner.init(Streams(0)["init"]).shared)


def drawn(learned: Learned, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return observations as rows of bytes, and as Gymnasium flattens them: pixels from 0 to 255."""
    space = learned.interface.observation_space
    space.seed(count)
    samples = [space.sample() for _ in range(count)]
    rows = np.empty((count, learned.interface.spec.obs_size), np.uint8)
    for row, sample in zip(rows, samples, strict=True):
        learned.interface.observations.write(sample, row)
    return rows, np.stack([gym.spaces.flatten(space, sample).astype(np.float32) for sample in samples])


def model_of(learned: Learned, name: str) -> Model:
    return Model(next(graph for graph in graphs_of(learned) if graph.name == name))


@pytest.mark.parametrize("learner", ["maml", "rl2"])
@pytest.mark.parametrize("seen", SEEN)
def test_the_graph_acts_as_the_policy_does(seen: str, learner: str):
    learned = learned_of(learner, seen)
    model, policy = model_of(learned, "act"), learned.policy
    carry, told = policy.initial_carry(1, 3), model.zeros(3)
    for t in range(4):
        rows, numbers = drawn(learned, 3)
        with torch.no_grad():
            distribution, carry = policy.step(learned.shared, torch.from_numpy(rows)[None], carry)
        outputs = model(**told | {"observation": numbers})
        np.testing.assert_allclose(outputs["action_logits"], distribution.tensors()["logits"][0], **CLOSE)
        reward, ended = np.full(3, 0.5 * t, np.float32), np.array([False, t == 1, True])
        action = torch.from_numpy(outputs["policy_action"])[None]
        carry = policy.remember(carry, action, torch.from_numpy(reward)[None], torch.from_numpy(ended)[None])
        told = fed_back(outputs) | {"previous_action": outputs["policy_action"], "reward": reward, "ended": ended}


@pytest.mark.parametrize("seen", SEEN)
def test_the_graph_adapts_through_the_encoder_as_the_learner_does(seen: str):
    learned = learned_of("maml", seen)
    adapt, inner = model_of(learned, "adapt"), inner_loop_of(learned)
    given, agent = model_of(learned, "parameters")(), Agent(learned.shared)
    for adapt_step, (episodes, steps) in enumerate([(20, 10), (1, 2), (18, 10)]):
        shape, count = (1, steps, episodes), steps * episodes
        rows, numbers = drawn(learned, count)

        def laid_out(values: np.ndarray, shape=shape) -> torch.Tensor:  # one copy's steps after the other's
            return torch.from_numpy(values).unflatten(0, (shape[2], shape[1])).transpose(0, 1)[None].contiguous()

        rng = np.random.default_rng(count)
        action = laid_out(rng.integers(0, 3, count))
        last = (torch.arange(steps) == steps - 1).view(1, -1, 1).expand(shape)
        obs, sound = laid_out(rows), torch.ones(shape, dtype=torch.bool)
        blank = Rollout(
            obs, action, laid_out(rng.standard_normal(count).astype("f4")), last, ~sound, sound, FinalObs.dense(obs),
            torch.arange(steps).view(1, -1, 1).expand(shape), torch.zeros(shape), None, {}, {},  # type: ignore[arg-type]
        )  # fmt: skip
        params = agent.params if agent.stacked else {k: v[None] for k, v in agent.params.items()}
        with torch.no_grad():
            acting = learned.policy.unroll(params, blank)
            rollout = replace(blank, acting=acting, log_prob=acting.log_prob(action))
            expected = learned.learner.adapt(agent, rollout, adapt_step, Streams(0))
        found = estimate_advantages(rollout, inner.baseline, inner.adaptation.config.gae_lambda)
        data = {"actions": action, "log_probs": rollout.log_prob, "elapsed": rollout.elapsed}
        data |= {"advantages": found.advantage, "weights": found.weight}
        flat = {name: value[0].transpose(0, 1).flatten().numpy() for name, value in data.items()}
        outputs = adapt(**given, **flat, observations=numbers, adapt_step=adapt_step)
        for name, value in expected.params.items():
            np.testing.assert_allclose(outputs[f"adapted.{name}"], value[0], **CLOSE)
        agent = expected
        given = {name.replace("adapted.", "parameter."): value for name, value in outputs.items()}
    moved = {name: float((agent.params[name][0] - value).abs().max()) for name, value in learned.shared.items()}
    assert min(moved.values()) > 1e-4, moved  # ten times the tolerance: all layers took part


def test_keras_refuses_what_it_has_no_layers_for(monkeypatch):
    monkeypatch.setattr(keras, "check_can_write", lambda: None)
    monkeypatch.setattr(keras, "torch_backend", lambda: pytest.fail("Keras was asked for"))
    with pytest.raises(InputError, match=r"^drawn shows pictures or symbols, .*--to onnx or --to torch$"):
        keras.keras_model(learned_of("maml", "small"))
