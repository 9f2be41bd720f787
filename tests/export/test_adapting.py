"""The inner step as a graph gives the learner's own adapted parameters, for any number of steps and any episodes."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from drml.act.learned import Learned
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Agent, FinalObs, Rollout
from drml.export.adapting import running_maximum
from drml.export.agent import facts_of, graphs_of, inner_loop_of
from drml.learning.adapt import InnerConfig
from drml.learning.advantages import estimate_advantages

from .models import BOX, DISCRETE, HORIZON, OBS, Model, learned_of

INNER = InnerConfig(lr=0.2, later_lr=0.05)
LEARNERS = [("maml", {"inner_loss": loss}) for loss in ("log_likelihood", "likelihood_ratio", "dice")]
LEARNERS += [("fomaml", {"order": 1}), ("promp", {}), ("reptile", {})]
CLOSE = {"rtol": 0.0, "atol": 1e-6}


def model_of(learned: Learned, name: str) -> Model:
    return Model(next(graph for graph in graphs_of(learned) if graph.name == name))


def rollout_of(learned: Learned, params, episodes: int, steps: int, unsound: int = 0) -> Rollout:
    """Return episodes of noise, the first ones unsound, the copies half of them long before they begin anew."""
    rng, shape = np.random.Generator(np.random.Philox(episodes * steps)), (1, steps, episodes)
    obs = torch.from_numpy(rng.standard_normal((*shape, OBS)).astype("f4"))
    elapsed = torch.arange(steps) % max(1, (steps + 1) // 2)
    last = torch.cat([elapsed[1:] == 0, torch.tensor([True])]).view(1, -1, 1).expand(shape)
    never = torch.zeros(shape, dtype=torch.bool)
    blank = Rollout(
        obs, torch.zeros(shape), torch.from_numpy(rng.standard_normal(shape).astype("f4")), last, never,
        (torch.arange(episodes) >= unsound).expand(shape), FinalObs.dense(torch.zeros_like(obs)),
        elapsed.view(1, -1, 1).expand(shape), torch.zeros(shape), None, {}, {},  # type: ignore[arg-type]
    )  # fmt: skip
    distribution = learned.policy.unroll(params, blank)
    noise = learned.policy.noise
    drawn = rng.standard_normal((*shape, *noise.shape)) if noise.kind == "normal" else rng.random(shape)
    action = distribution.sample(torch.from_numpy(drawn.astype("f4")))
    return replace(blank, action=action, log_prob=distribution.log_prob(action), acting=distribution)


def in_a_row(x: torch.Tensor) -> np.ndarray:
    """Return `[1, T, B, ...]` as the graph's `[S, ...]`: one copy's steps after the other's."""
    return x[0].transpose(0, 1).flatten(0, 1).contiguous().numpy()


@pytest.mark.parametrize(
    ("name", "changes"), LEARNERS, ids=[f"{name}-{list(more.values())}" for name, more in LEARNERS]
)
@pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["box", "discrete"])
def test_the_graph_adapts_as_the_learner_does(name: str, changes: dict, space: gym.Space):
    learned = learned_of(name, space, inner=INNER, **changes)
    adapt, inner = model_of(learned, "adapt"), inner_loop_of(learned)
    given = model_of(learned, "parameters")()
    agent = Agent(learned.shared)
    for adapt_step, (episodes, steps, unsound) in enumerate([(3, 10, 0), (1, 1, 0), (20, HORIZON, 2)]):
        params = {key.removeprefix("parameter."): torch.from_numpy(value) for key, value in given.items()}
        with torch.no_grad():
            rollout = rollout_of(learned, params, episodes, steps, unsound)
            expected = learned.learner.adapt(agent, rollout, adapt_step, Streams(0))
        found = estimate_advantages(rollout, inner.baseline, inner.adaptation.config.gae_lambda)
        data = {"observations": rollout.obs, "actions": rollout.action, "log_probs": rollout.log_prob}
        data |= {"elapsed": rollout.elapsed, "advantages": found.advantage, "weights": found.weight}
        outputs = adapt(**given, adapt_step=adapt_step, **{key: in_a_row(value) for key, value in data.items()})
        for key, value in expected.params.items():
            np.testing.assert_allclose(outputs[f"adapted.{key}"], value[0], **CLOSE)
        agent = expected
        given = {key.replace("adapted.", "parameter."): value for key, value in outputs.items()}
    moved = [float((agent.params[key][0] - value).abs().max()) for key, value in learned.shared.items()]
    assert min(moved) > 1e-4  # a hundred times the tolerance: all parameters took part


def test_the_parameters_to_start_from_act_as_those_inside():
    learned = learned_of("maml")
    act, open_act = model_of(learned, "act"), model_of(learned, "act_with_parameters")
    observation = np.ones((2, OBS))
    prior = model_of(learned, "parameters")()
    np.testing.assert_array_equal(
        open_act(observation=observation, **prior)["action"], act(observation=observation)["action"]
    )


def test_a_parameter_is_held_within_its_bound():
    learned = learned_of("maml", inner=replace(INNER, lr=1e6))
    adapt, prior = model_of(learned, "adapt"), model_of(learned, "parameters")()
    data = {"observations": np.ones((4, OBS)), "actions": 5.0 * np.ones((4, 3)), "advantages": [1, -1, 1, 1]}
    log_std = adapt(**data, weights=np.full(4, 0.25), adapt_step=0, **prior)["adapted.log_std"]
    np.testing.assert_array_equal(log_std, np.float32([5.0] * 3))


def test_a_running_maximum_by_doubling_is_that_of_torch():
    x = torch.from_numpy(np.random.Generator(np.random.Philox(0)).integers(0, 1000, (2, 777, 3)))
    for dim in (-2, 1, 2):
        assert torch.equal(running_maximum(x, dim)[0], x.cummax(dim).values)


@pytest.mark.parametrize(
    ("learner", "graphs", "way"),
    [
        ("rl2", ["act", "sample"], "adapts while it acts.*graph 'act'"),
        ("es_maml", ["act", "sample", "parameters", "act_with_parameters"], "takes no gradient.*'act_with_parameters'"),
    ],
)
def test_a_learner_without_a_step_of_gradient_says_how_it_adapts(learner: str, graphs: list[str], way: str):
    learned = learned_of(learner)
    assert [graph.name for graph in graphs_of(learned)] == graphs
    with pytest.raises(InputError, match=f"^{learner} has no adaptation step to export: .*{way}"):
        inner_loop_of(learned)


def test_the_facts_say_what_adaptation_needs():
    facts = facts_of(learned_of("maml", inner=INNER))
    assert facts["step_sizes"] == [0.2, 0.05] and facts["gamma"] == 0.99 and facts["gae_lambda"] == 1.0
    assert facts_of(learned_of("rl2"))["memory"] == {"memory_hidden": [8], "trial_step": []}
