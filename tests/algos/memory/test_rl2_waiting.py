"""RL² where episodes end early: copies wait, and waiting is neither remembered, learned from nor unsound."""

from dataclasses import dataclass, replace
from functools import partial
from typing import final

import pytest
import torch

from drml.algos.memory.rl2 import RL2, RL2Config, one_by_one, packed
from drml.algos.registry import learner_entry
from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import flatten, tree_leaves
from drml.core.types import ActionSpec, EnvSpec, MetaEpisode, join_rollouts
from drml.envs.api import EnvOptions
from drml.envs.native import Outcome, native_suite
from drml.learning.running_scale import RunningScale
from drml.loop.meet import meta_episode
from drml.policies.memory.registry import MemoryConfig
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice

of = partial(MetaEpisode, (), ())  # of no tasks and agents: the history is all that these learners look at
RNG = Streams(0)


B, EPISODES = 2, 3
GRU = MemoryConfig("gru", 8)


def make(family, memory=GRU):
    config = RL2Config(episodes=EPISODES, epochs=1, minibatches=1)
    return RL2(family.spec, learner_entry("rl2").make_policy(family.spec, memory, config), config)


@final
@dataclass(frozen=True)
class Ending:
    """Episodes of as many steps as the task says, copy 1 one more; observation and reward are the time in it."""

    length: torch.Tensor  # [K, B]

    def start(self, t):
        return torch.zeros(*self.length.shape, 1)

    def observe(self, state):
        return state

    def move(self, state, action, t):
        state = state + 1.0
        return Outcome(state, state[..., 0] + action, state[..., 0] >= self.length)


def ending(lengths, horizon=7):
    tasks = TaskDistribution({"length": Choice(lengths)}, held_out=False)
    spec = EnvSpec(1, ActionSpec("discrete", 2), horizon)
    return native_suite(
        "ending-v1",
        "",
        "",
        tasks,
        spec,
        lambda tasks, copies, rng: Ending(tasks.params["length"].unsqueeze(1) + torch.arange(copies)),
    )


def trials_of(learner, family, seed=0, copies=B):
    state = learner.init(Streams(0)["init"])
    collect = Collector(family.make(EnvOptions()), family.spec.horizon, copies, Phases(), one_episode=True)
    tasks = family.tasks.all_tasks()
    return state, meta_episode(learner, state.shared, tasks, collect, Streams(seed), learner.adapt_steps).history


@pytest.mark.parametrize("kind", ["gru", "lstm", "mingru", "transformer"])
def test_learning_sees_the_memory_that_acted_though_copies_waited(kind):
    family = ending((2.0, 3.0, 5.0))
    learner = make(family, MemoryConfig(kind, 8, heads=2, layers=2, context=EPISODES * 7))
    state, history = trials_of(learner, family)
    trials = packed(one_by_one(join_rollouts(history)))
    lengths = [EPISODES * (length + b) for length in (2, 3, 5) for b in range(B)]
    assert trials.taken.sum((1, 2)).tolist() == lengths
    time = torch.arange(trials.taken.shape[1])
    assert torch.equal(trials.taken[..., 0], time < torch.tensor(lengths).unsqueeze(1))  # in a row, from the start
    assert sum(r.env_steps for r in history) == sum(lengths)
    again = learner.policy.evaluate(state.shared, trials)[0].log_prob(trials.action)
    # two forms of one memory in float32, over 18 steps: 1e-7 · 18, and what two layers make of that
    torch.testing.assert_close(again[trials.taken], trials.log_prob[trials.taken], rtol=0, atol=2e-5)
    assert float(again[trials.taken].std()) > 1e-4, "the memory moves what is compared"


def test_waiting_changes_no_bit_of_an_update():
    learner = make(family := ending((3.0,), horizon=3))
    state, history = trials_of(learner, family, copies=1)  # each episode fills its rollout: nobody waits
    assert all(bool(rollout.taken.all()) for rollout in history)

    def longer(rollout):
        """The same, followed by two steps of waiting."""
        padded = rollout.map(lambda x: torch.cat([x, torch.zeros_like(x[:, :2])], 1))
        assert padded.env_steps == rollout.env_steps
        return padded

    plain, padded = (learner.update(state, of(h), RNG) for h in (history, [longer(rollout) for rollout in history]))
    assert plain[1] == padded[1]
    assert torch.equal(flatten(plain[0].shared), flatten(padded[0].shared))


def test_each_step_of_trials_of_any_length_counts_the_same():
    learner = make(family := ending((2.0, 5.0)))
    state, history = trials_of(learner, family)
    trials = packed(one_by_one(join_rollouts(history)))
    unit = RunningScale(*torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))  # mean 0, standard deviation 1
    whole, _ = learner._targets(state.shared, trials, unit)
    weight = whole.advantages.weight
    assert torch.equal(weight > 0.0, trials.taken)
    steps = [EPISODES * n for n in (2, 3, 5, 6)]
    torch.testing.assert_close(weight[trials.taken], torch.full((sum(steps),), 4.0 / sum(steps)))
    # beyond a trial's last step nothing is earned: its gain is its reward less the value, restored
    value = learner.policy.evaluate(state.shared, trials)[1]
    last = [n - 1 for n in steps]
    rows = torch.arange(4)
    gain = trials.reward[rows, last, 0] - value[rows, last, 0]
    found = whole.advantages.advantage[rows, last, 0]
    torch.testing.assert_close((found - found[0]) / (found[1] - found[0]), (gain - gain[0]) / (gain[1] - gain[0]))


def test_waiting_is_not_unsound_and_an_unsound_episode_that_waited_is():
    learner = make(family := ending((2.0, 5.0)))
    state, history = trials_of(learner, family)
    first = history[0]
    assert not bool(first.valid.all())  # three of four copies waited
    agent = learner.prior(state.shared, family.tasks.all_tasks(), 1, Streams(0))
    before, after = dict(tree_leaves(first.first_carry)), dict(tree_leaves(first.last_carry))
    assert all(
        torch.equal(value, after[name]) for name, value in tree_leaves(learner.adapt(agent, first, 0, RNG).carry)
    )
    lost = torch.zeros_like(first.valid)
    lost[0, :, 0] = True
    history[0] = replace(first, valid=first.valid & ~lost)
    for name, value in tree_leaves(learner.adapt(agent, history[0], 0, RNG).carry):
        assert torch.equal(value[0, 0], before[name][0, 0])
        assert torch.equal(value.flatten(0, 1)[1:], after[name].flatten(0, 1)[1:])
    trials = packed(one_by_one(join_rollouts(history)))
    weight = learner._targets(state.shared, trials, RunningScale.initial())[0].advantages.weight
    assert torch.equal(weight > 0.0, trials.taken & (torch.arange(4) > 0).view(4, 1, 1))
    updated, metrics = learner.update(state, of(history), RNG)
    assert metrics["sound_trials"] == 0.75 and bool(flatten(updated.shared).isfinite().all())
    none = [replace(rollout, valid=torch.zeros_like(rollout.valid)) for rollout in history]
    same, metrics = learner.update(state, of(none), RNG)
    assert metrics["sound_trials"] == 0.0 and torch.equal(flatten(same.shared), flatten(state.shared))
