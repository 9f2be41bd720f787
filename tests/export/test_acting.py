"""Acting as a graph gives the policy's own numbers: at any batch, and fed back to itself for a thousand steps."""

import numpy as np
import pytest
import torch

from drml.export.acting import acting_graph, sampling_graph

from .models import BOX, DISCRETE, MEMORIES, OBS, TRIAL, Agent, Model, agent_of, fed_back

KINDS = [("mlp", BOX), ("mlp", DISCRETE), ("module", BOX), ("module", DISCRETE)]
KINDS += [(f"{memory}/linear", BOX) for memory in MEMORIES]
KINDS += [(f"{memory}/hypernetwork", DISCRETE) for memory in MEMORIES]
CLOSE = {"rtol": 0.0, "atol": 2e-6}  # 16 units: 16 roundings of 6e-8 in each of two layers, on numbers of size 1
NORMED = {"rtol": 0.0, "atol": 1e-5}  # a transformer's norms blow roundings up: torch's own are 3e-6 off float64
DRIFT = {"rtol": 1e-5, "atol": 2e-5}  # a thousand steps on: what is remembered of the last hundred roundings
CLOSED_LOOP = 0.8  # of the last observation is left in the next one


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{type(kind[1]).__name__}")
def agent(request) -> Agent:
    return agent_of(*request.param)


@pytest.fixture(scope="module")
def model(agent: Agent) -> Model:
    return Model(acting_graph(agent.policy, agent.actions, OBS, agent.params, with_parameters=False))


class Bodies:
    """A linear world that forgets, in as many copies as wanted: what is done moves it, and it says its distance."""

    def __init__(self, batch: int) -> None:
        self.rng = np.random.Generator(np.random.Philox(0))
        self.state = self.rng.standard_normal((batch, OBS)).astype(np.float32)

    def step(self, moves: np.ndarray, t: int) -> tuple[np.ndarray, np.ndarray]:
        push = np.zeros_like(self.state)
        push[:, : moves.shape[1]] = moves
        self.state = (CLOSED_LOOP * self.state + 0.3 * np.tanh(push) + 0.5 * np.sin(t + np.arange(OBS))).astype("f4")
        return -np.abs(self.state).sum(1), np.full(len(self.state), t % 50 == 49)


def in_torch(agent: Agent, batch: int, steps: int):
    """Yield what the policy itself does, closed over its own actions: mean or logits, and actions in the space."""
    bodies, carry = Bodies(batch), agent.policy.initial_carry(1, batch)
    for t in range(steps):
        with torch.no_grad():
            distribution, carry = agent.policy.step(agent.params, torch.from_numpy(bodies.state).unsqueeze(0), carry)
        action = distribution.mode()
        decoded = agent.actions.decode(action.numpy())[0]
        yield next(iter(distribution.tensors().values()))[0].numpy(), decoded
        reward, ended = bodies.step(decoded.reshape(batch, -1), t)
        told = torch.from_numpy(reward).unsqueeze(0), torch.from_numpy(ended).unsqueeze(0)
        carry = agent.policy.remember(carry, action, *told)


def in_onnx(model: Model, batch: int, steps: int):
    bodies, told = Bodies(batch), model.zeros(batch)
    for t in range(steps):
        outputs = model(**told | {"observation": bodies.state})
        yield outputs.get("action_mean", outputs.get("action_logits")), outputs["action"]
        reward, ended = bodies.step(outputs["action"].reshape(batch, -1), t)
        told = fed_back(outputs) | {"previous_action": outputs["policy_action"], "reward": reward, "ended": ended}


@pytest.mark.parametrize("batch", [1, 3, 257])
def test_the_graph_acts_as_the_policy_does_at_any_batch(agent: Agent, model: Model, batch: int):
    tolerance = NORMED if "memory_keys" in model.inputs else CLOSE
    for (expected, decoded), (given, acted) in zip(in_torch(agent, batch, 5), in_onnx(model, batch, 5), strict=True):
        np.testing.assert_allclose(given, expected, **tolerance)
        assert acted.dtype == decoded.dtype and acted.shape == decoded.shape
        np.testing.assert_allclose(acted, decoded, **tolerance)


def test_the_graph_fed_with_itself_stays_with_the_policy_for_a_thousand_steps(agent: Agent, model: Model):
    stay_together(agent, model, TRIAL if "memory_keys" in model.inputs else 1000)


@pytest.mark.slow
@pytest.mark.parametrize(("head", "space"), [("linear", BOX), ("hypernetwork", DISCRETE)])
def test_a_transformer_stays_with_the_policy_for_a_thousand_steps(head: str, space):
    agent = agent_of(f"transformer/{head}", space, trial=1000)
    stay_together(agent, Model(acting_graph(agent.policy, agent.actions, OBS, agent.params, False)), 1000)


def stay_together(agent: Agent, model: Model, steps: int) -> None:
    for (expected, decoded), (given, acted) in zip(in_torch(agent, 3, steps), in_onnx(model, 3, steps), strict=True):
        np.testing.assert_allclose(given, expected, **DRIFT)
        np.testing.assert_allclose(acted, decoded, **DRIFT)


def test_parameters_given_as_inputs_act_as_those_inside(agent: Agent, model: Model):
    if fed_back(dict.fromkeys(model.outputs)):  # type: ignore[arg-type]
        pytest.skip("a memory keeps its parameters")
    open_model = Model(acting_graph(agent.policy, agent.actions, OBS, agent.params, with_parameters=True))
    observation = np.linspace(-1.0, 1.0, 5 * OBS).reshape(5, OBS)
    given = {f"parameter.{name}": value.numpy() for name, value in agent.params.items()}
    inside, outside = model(observation=observation), open_model(observation=observation, **given)
    for name, value in inside.items():
        np.testing.assert_allclose(outside[name], value, **CLOSE)
    moved = open_model(observation=observation, **{name: 1.1 * value for name, value in given.items()})
    assert not np.allclose(next(reversed(moved.values())), next(reversed(inside.values())))


@pytest.mark.parametrize("kind", ["gru/linear", "transformer/hypernetwork", "lstm/linear"])
@pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["box", "discrete"])
def test_where_a_trial_begins_nothing_is_believed_of_the_past(kind: str, space):
    agent = agent_of(kind, space)
    model = Model(acting_graph(agent.policy, agent.actions, OBS, agent.params, with_parameters=False))
    observation = np.ones((2, OBS))
    clean = model(**model.zeros(2) | {"observation": observation})
    stale = {name: np.ones_like(value) for name, value in model.zeros(2).items()}
    began = model(**stale | {"observation": observation, "trial_step": [0, 0]})
    went_on = model(**stale | {"observation": observation, "trial_step": [0, 1]})
    for name, value in clean.items():
        np.testing.assert_array_equal(began[name], value)
    name = "action_mean" if space is BOX else "action_logits"
    np.testing.assert_allclose(went_on[name][0], clean[name][0], **CLOSE)
    assert not np.allclose(went_on[name][1], clean[name][1])


def test_a_transformer_does_not_act_beyond_its_context():
    agent = agent_of("transformer/linear", BOX)
    model = Model(acting_graph(agent.policy, agent.actions, OBS, agent.params, with_parameters=False))
    told = model.zeros(1) | {"memory_position": [TRIAL], "trial_step": [TRIAL]}
    with pytest.raises(Exception, match=r"[Ii]ndices|out of bounds|indice"):
        model(**told)


@pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["box", "discrete"])
def test_sampling_draws_the_policy_s_own_actions(space):
    agent = agent_of("mlp", space)
    act = Model(acting_graph(agent.policy, agent.actions, OBS, agent.params, with_parameters=False))
    sample = Model(sampling_graph(agent.actions))
    rng = np.random.Generator(np.random.Philox(1))
    observation = rng.standard_normal((300, OBS)).astype("f4")
    shape = (300, *agent.policy.noise.shape)
    noise = (rng.standard_normal(shape) if space is BOX else rng.random(shape)).astype("f4")
    outputs = act(observation=observation)
    drawn = sample(**{name: value for name, value in outputs.items() if name in sample.inputs}, noise=noise)
    with torch.no_grad():
        distribution, _ = agent.policy.step(agent.params, torch.from_numpy(observation).unsqueeze(0), {})
    expected = distribution.sample(torch.from_numpy(noise).unsqueeze(0))
    np.testing.assert_allclose(drawn["policy_action"], expected[0], **CLOSE)
    np.testing.assert_allclose(drawn["log_prob"], distribution.log_prob(expected)[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(drawn["action"], agent.actions.decode(expected.numpy())[0], **CLOSE)
    assert len(np.unique(drawn["action"], axis=0)) > 2
