"""A policy with a memory: what it is shown in a trial, number by number, and its two forms against each other."""

from dataclasses import replace

import pytest
import torch

from drml.collect.collector import Collector
from drml.core.errors import InputError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent, join_rollouts
from drml.envs.api import EnvOptions
from drml.policies.actor_critic import MemoryPolicy, input_size
from drml.policies.heads import LinearHead
from drml.policies.memory.registry import MemoryConfig, head_of, memory_of
from drml.suites.registry import suite
from drml.tasks.samplers.uniform import UniformSampler

K, B, EPISODES = 3, 2, 3
HEADS = ["linear", "hypernetwork"]


class Transcript:
    """A memory that remembers nothing, gives back what it is shown, and keeps a copy of whole sequences."""

    def __init__(self, size):
        self.output_size = size
        self.shown = []

    def init(self, rng):
        return {}

    def start(self, batch, like):
        return {}

    def step(self, params, inputs, state, starts):
        return inputs, state

    def sequence(self, params, inputs, state, starts):
        self.shown.append(inputs)
        return inputs, state


def trial(policy, params, family, episodes=EPISODES):
    """The rollouts of consecutive episodes, each beginning with the carry that the one before ended with."""
    tasks = UniformSampler().sample({}, family.tasks, "train", K, Streams(0)["tasks"])
    collect = Collector(family.make(EnvOptions()), family.spec.horizon, B, Phases())
    agent, history = Agent(params, {}), []
    for episode in range(episodes):
        history.append(collect(policy, agent, tasks, Streams(0)["collect", episode]))
        agent = replace(agent, carry=history[-1].last_carry)
    return history


def policy_for(family, kind="gru", head="linear", size=8, recalled=0):
    config, spec = MemoryConfig(kind, size=size, heads=2, context=100, head=head, head_hidden=6), family.spec
    memory, on_top = (
        memory_of(config, input_size(spec.obs_size, spec.action, recalled)),
        head_of(config, size, spec.obs_size, spec.action.size),
    )
    return MemoryPolicy(memory, on_top, spec.action, EPISODES * spec.horizon, recalled)


def remembering(policy):
    """Parameters with which what is remembered shows in the actions."""
    params = policy.init(Streams(1))
    generators = {name: value for name, value in params.items() if name.startswith("generator.")}
    moved = {name: 0.5 * Streams(2)[name].normal(value.shape) for name, value in generators.items()}
    return params | {"actor.weight": 50.0 * params["actor.weight"]} | moved


@pytest.mark.parametrize("sees_transitions", [False, True])
@pytest.mark.parametrize("name", ["tabular-mdp-rl2-v1", "navigation-maml-v1"])
def test_a_trial_shows_what_came_before_each_step_and_nothing_from_other_trials(name, sees_transitions):
    family = suite(name)
    obs_size, size = family.spec.obs_size, family.spec.action.size
    recalled = obs_size if sees_transitions else 0
    transcript = Transcript(input_size(family.spec.obs_size, family.spec.action, recalled))
    head = LinearHead(transcript.output_size, size)
    policy = MemoryPolicy(transcript, head, family.spec.action, EPISODES * family.spec.horizon, recalled)
    params = policy.init(Streams(0))
    whole = join_rollouts(trial(policy, params, family))
    policy.evaluate(params, whole)
    shown = transcript.shown[0].unflatten(1, (K, B)).transpose(0, 1)  # [K, T, B, F]
    ended = whole.terminated | whole.truncated
    for k, t, b in [(k, t, b) for k in range(K) for t in range(whole.reward.shape[1]) for b in range(B)]:
        row = shown[k, t, b]
        assert torch.equal(row[:obs_size], whole.obs[k, t, b])
        before = row[obs_size:]
        if t == 0:
            assert not before.any()  # nothing came before the trial
            continue
        if sees_transitions:
            assert torch.equal(before[:obs_size], whole.obs[k, t - 1, b])
            before = before[obs_size:]
        action = whole.action[k, t - 1, b]
        expected = torch.eye(size)[action] if family.spec.action.kind == "discrete" else action
        assert torch.equal(before[:size], expected)
        assert before[size] == whole.reward[k, t - 1, b]
        assert before[size + 1] == float(ended[k, t - 1, b])
        assert before[size + 2].item() == pytest.approx(t / whole.reward.shape[1])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", ["gru", "lstm", "mingru", "transformer"])
@pytest.mark.parametrize("name", ["tabular-mdp-rl2-v1", "navigation-pearl-sparse-v1"])
def test_the_whole_trial_at_once_gives_the_probabilities_that_acting_step_by_step_gave(name, kind, head):
    family = suite(name)
    policy = policy_for(family, kind, head, recalled=family.spec.obs_size if kind == "lstm" else 0)
    params = remembering(policy)
    whole = join_rollouts(trial(policy, params, family))
    distribution, value = policy.evaluate(params, whole)
    # sums of some tens of float32 products of size 1, through up to 60 steps
    torch.testing.assert_close(distribution.log_prob(whole.action), whole.log_prob, atol=2e-5, rtol=2e-5)
    assert value.shape == whole.reward.shape


@pytest.mark.parametrize("head", HEADS)
def test_what_an_episode_showed_changes_how_the_next_one_begins(head):
    family = suite("tabular-mdp-rl2-v1")
    policy = policy_for(family, head=head)
    history = trial(policy, remembering(policy), family)
    first, second = (rollout.acting.logits[:, 0] for rollout in history[:2])
    # before anything happened, all trials are alike, up to the rounding of products in different rows of a batch
    torch.testing.assert_close(first[0, 0], first[1, 1], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(second[0, 0], second[1, 1], atol=1e-3)


@pytest.mark.parametrize("head", HEADS)
def test_stacked_parameters_are_refused(head):
    family = suite("tabular-mdp-rl2-v1")
    policy = policy_for(family, head=head)
    params = policy.init(Streams(0))
    (rollout,) = trial(policy, params, family, episodes=1)
    stacked = {name: value.expand(K, *value.shape) for name, value in params.items()}
    with pytest.raises(InputError, match="adapts by its carry"):
        policy.evaluate(stacked, rollout)


def test_gradients_are_cut_where_asked_and_the_numbers_stay():
    family = suite("tabular-mdp-rl2-v1")
    policy = policy_for(family)
    whole = join_rollouts(trial(policy, remembering(policy), family))
    half = whole.reward.shape[1] // 2

    def slopes(bptt_steps):
        """Values, and how the last value and the one before the cut depend on the first memory."""
        carry = whole.first_carry | {"memory": {"hidden": torch.zeros(K, B, 8, requires_grad=True)}}
        _, value = policy.evaluate(remembering(policy), replace(whole, first_carry=carry), bptt_steps)
        start = carry["memory"]["hidden"]
        asked = (value[:, half - 1].sum(), value[:, -1].sum())
        found = [torch.autograd.grad(x, start, retain_graph=True, allow_unused=True)[0] for x in asked]
        return value, *found

    full, before_full, last_full = slopes(0)
    cut, before_cut, last_cut = slopes(half)
    torch.testing.assert_close(cut, full)
    torch.testing.assert_close(before_cut, before_full)
    assert last_full.abs().max() > 0.0
    assert last_cut is None or not last_cut.any()
