"""RL² on trials of random MDPs: its loss against the formula, what an unsound episode costs, and that it learns."""

import math
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import final

import pytest
import torch

from drml.algos.registry import learner_entry
from drml.algos.rl2 import RL2, RL2Config, interleaved, one_by_one, packed
from drml.collect import Collector
from drml.core.errors import InputError
from drml.core.phases import Phases
from drml.core.rng import BlockNoise, Streams
from drml.core.tree import flatten, tree_leaves
from drml.core.types import ActionSpec, EnvSpec, join_rollouts
from drml.envs.api import EnvOptions
from drml.envs.bandit import bandit_suite
from drml.envs.episode import Outcome, native_suite
from drml.envs.registry import suite
from drml.evaluate import episode_returns, meta_episode
from drml.policies.memory.registry import MemoryConfig
from drml.returns import RunningScale
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform
from drml.tasks.sampler import UniformSampler

K, B, EPISODES = 5, 2, 3
FAMILY = suite("tabular-mdp-rl2-v1")


def make(family=FAMILY, size=8, head="linear", **changes):
    config = RL2Config(**{"episodes": EPISODES, "epochs": 1, "minibatches": 1, **changes})
    memory = MemoryConfig("gru", size, head=head, head_hidden=4)
    return RL2(family.spec, learner_entry("rl2").make_policy(family.spec, memory, config), config)


def meta_iteration(learner, state, family=FAMILY, num_tasks=K, copies=B, seed=0):
    tasks = UniformSampler().sample({}, family.tasks, "train", num_tasks, Streams(seed)["tasks"])
    collect = Collector(family.make(EnvOptions()), family.spec.horizon, copies, Phases())
    return meta_episode(learner, state, tasks, collect, Streams(seed), learner.adapt_steps)


def history_of(learner):
    state = learner.init(Streams(0)["init"])
    return state, meta_iteration(learner, state)


def test_the_first_loss_is_the_formula_number_by_number():
    learner = make(gamma=0.9, gae_lambda=0.7, value_coef=0.3, entropy_coef=0.05)
    state, history = history_of(learner)
    _, metrics = learner.update(state, history)
    reward = torch.cat([rollout.reward for rollout in history], 1).double()
    values, entropies = [], []
    carry = learner.policy.initial_carry(K, B)  # one episode after the other, as they were acted
    for rollout in history:
        distribution, value = learner.policy.evaluate(state.params, replace(rollout, first_carry=carry))
        values.append(value.double())
        entropies.append(distribution.entropy().double())
        carry = rollout.last_carry
    value, entropy = torch.cat(values, 1).detach(), torch.cat(entropies, 1).detach()
    gain, following, target = torch.zeros_like(value), torch.zeros(K, B).double(), torch.zeros_like(value)
    steps = value.shape[1]
    for t in reversed(range(steps)):  # through the ends of the episodes, to the end of the trial
        after = value[:, t + 1] if t + 1 < steps else 0.0
        following = reward[:, t] + 0.9 * after - value[:, t] + 0.9 * 0.7 * following
        gain[:, t], target[:, t] = following, following + value[:, t]
    normalised = (target - target.mean()) / target.std(unbiased=False)
    # the acting policy is the new one, so the ratio is 1 and normalised advantages have mean 0
    expected = 0.3 * 0.5 * (value - normalised).square().mean() - 0.05 * entropy.mean()
    assert metrics["outer_loss_first"] == pytest.approx(float(expected), rel=1e-4)  # float32 sums of 300 numbers


def test_updates_do_not_depend_on_the_chunks_and_move_the_parameters():
    state, history = history_of(make())
    whole, chunked = (make(trials_per_chunk=n).update(state, history)[0].params for n in (100, 3))
    moved = (flatten(whole) - flatten(state.params)).abs().max()
    assert 1e-4 < float(moved) < 2e-3  # Adam's first step is meta_lr in each coordinate that has a gradient
    # Adam's first step is g/|g|, so rounding moves only coordinates whose gradient is rounding
    assert float((flatten(whole) - flatten(chunked)).abs().median()) < 1e-6


def test_step_size_and_entropy_weight_fall_to_zero():
    learner = make(decay_iters=2)
    state, history = history_of(learner)
    params = [state.params]
    for _ in range(3):
        state, _ = learner.update(state, history)
        params.append(state.params)
    sizes = [float((flatten(b) - flatten(a)).abs().max()) for a, b in pairwise(params)]
    assert sizes[0] > sizes[1] > 0.0 and sizes[2] == 0.0


def test_of_a_trial_with_an_unsound_episode_nothing_is_learned_and_nothing_remembered():
    learner = make()
    state, history = history_of(learner)
    valid = history[1].valid.clone()
    valid[0, :, 1] = False
    broken = replace(history[1], valid=valid, reward=history[1].reward.masked_fill(~valid, 0.0))
    other = replace(broken, reward=broken.reward + 100.0 * (~valid))
    updates = [learner.update(state, [history[0], x, history[2]])[0].params for x in (broken, other)]
    assert torch.equal(flatten(updates[0]), flatten(updates[1]))
    carry = learner.adapt(learner.prior(state, None, Streams(0)), broken, 0).carry
    kept = dict(tree_leaves(broken.last_carry))
    for name, value in tree_leaves(carry):
        assert not value[0, 1].any()
        assert torch.equal(value[1], kept[name][1]) and (value[1].any() or not value.numel())


def test_minibatches_deal_out_every_trial_once():
    hands = [list(range(10))[part] for part in interleaved(10, 3)]
    assert sorted(chain(*hands)) == list(range(10))
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
    assert interleaved(2, 5) == [slice(0, None, 5), slice(1, None, 5)]


def test_a_hypernetwork_is_trained_from_the_first_update_and_the_memory_below_it_from_the_second():
    learner = make(head="hypernetwork")
    state = learner.init(Streams(0)["init"])
    generator_norms, memory_moves = [], []
    for i in range(2):
        after, metrics = learner.update(state, meta_iteration(learner, state, seed=i))
        assert math.isfinite(metrics["outer_loss_last"])
        generator_norms.append(float(_part(after.params, "generator.").norm()))
        memory_moves.append(float((_part(after.params, "memory.") - _part(state.params, "memory.")).norm()))
        state = after
    assert 0.0 < generator_norms[0] < generator_norms[1]
    assert memory_moves[0] == 0.0 < memory_moves[1]  # while the generator is zero, nothing depends on the memory


def _part(params, prefix):
    return flatten({name: value for name, value in params.items() if name.startswith(prefix)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"episodes": 0}, "episodes is 0"), ({"gamma": 1.5}, "gamma is 1.5"), ({"minibatches": 0}, "minibatches is 0")],
)
def test_bad_hyper_parameters_are_named(changes, words):
    with pytest.raises(InputError, match=words):
        make(**changes)


@pytest.mark.slow
def test_it_learns_to_find_the_better_of_two_arms():
    """Two arms, ten pulls: chance is 5; after some 200,000 pulls it is far above it."""
    family = bandit_suite(2, 10)
    learner = make(family, 32, episodes=1, epochs=4, minibatches=4, meta_lr=3e-3, gamma=1.0, gae_lambda=0.9)
    state = learner.init(Streams(0)["init"])
    for i in range(40):
        history = meta_iteration(learner, state, family, num_tasks=500, copies=1, seed=i)
        state, _ = learner.update(state, history)
    final = meta_iteration(learner, state, family, num_tasks=2000, copies=1, seed=10**6)
    score = episode_returns(final[0])
    # 2000 trials with a standard deviation below 3: the standard error is 0.07, and chance plus 5 of them 5.35
    assert float(score.mean()) > 5.35


@final
@dataclass(frozen=True)
class Dealer:
    """Each step asks for one of two actions at random; reward 1 if right. Whether it shows which is up to `is_open`."""

    answer: BlockNoise
    is_open: bool

    def start(self, t):
        return self.answer.row(t)[..., None]

    def observe(self, state):
        return state if self.is_open else torch.ones_like(state)

    def move(self, state, action, t):
        right = (self.answer.row(t) < 0.5) == (action == 1)
        return Outcome(self.start(t + 1), right.float(), torch.zeros_like(right))


@pytest.mark.slow
@pytest.mark.parametrize("is_open", [False, True])
def test_what_cannot_be_known_is_not_known_after_training_either(is_open):
    """Would a policy see the reward, the task or the noise of its own step, it would rise above chance."""
    spec = EnvSpec(obs_size=1, action=ActionSpec("discrete", 2), horizon=5)
    tasks = TaskDistribution({"unused": Uniform(0.0, 1.0)})

    def begin(tasks, copies, rng):
        return Dealer(BlockNoise(rng, tasks.ids, copies, "uniform", (), 20), is_open)

    family = native_suite("dealer-v1", "", "", tasks, spec, begin)
    learner = make(family, 32, epochs=4, minibatches=4, meta_lr=3e-3, entropy_coef=0.0)
    state = learner.init(Streams(0)["init"])
    for i in range(30):
        state, _ = learner.update(state, meta_iteration(learner, state, family, num_tasks=200, copies=1, seed=i))
    rewards = torch.cat([r.reward for r in meta_iteration(learner, state, family, 5000, 1, seed=10**6)], 1)
    if is_open:
        assert float(rewards.mean()) > 0.8  # so this training would have found it
    else:  # answers are independent coins, so the mean of n rewards has standard error 0.5/√n whatever the policy
        assert abs(float(rewards.mean()) - 0.5) < 1.96 * 0.5 / rewards.numel() ** 0.5


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
    return state, meta_episode(learner, state, tasks, collect, Streams(seed), learner.adapt_steps)


@pytest.mark.parametrize("kind", ["gru", "lstm", "mingru", "transformer"])
def test_learning_sees_the_memory_that_acted_though_copies_waited(kind):
    family = ending((2.0, 3.0, 5.0))
    config = RL2Config(episodes=EPISODES)
    memory = MemoryConfig(kind, 8, heads=2, layers=2, context=EPISODES * 7)
    learner = RL2(family.spec, learner_entry("rl2").make_policy(family.spec, memory, config), config)
    state, history = trials_of(learner, family)
    trials = packed(one_by_one(join_rollouts(history)))
    lengths = [EPISODES * (length + b) for length in (2, 3, 5) for b in range(B)]
    assert trials.taken.sum((1, 2)).tolist() == lengths
    time = torch.arange(trials.taken.shape[1])
    assert torch.equal(trials.taken[..., 0], time < torch.tensor(lengths).unsqueeze(1))  # in a row, from the start
    assert sum(r.env_steps for r in history) == sum(lengths)
    again = learner.policy.evaluate(state.params, trials)[0].log_prob(trials.action)
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

    plain, padded = (learner.update(state, h) for h in (history, [longer(rollout) for rollout in history]))
    assert plain[1] == padded[1]
    assert torch.equal(flatten(plain[0].params), flatten(padded[0].params))


def test_each_step_of_trials_of_any_length_counts_the_same():
    learner = make(family := ending((2.0, 5.0)))
    state, history = trials_of(learner, family)
    trials = packed(one_by_one(join_rollouts(history)))
    whole, _ = learner._targets(state.params, trials, RunningScale.initial())
    weight = whole.advantages.weight
    assert torch.equal(weight > 0.0, trials.taken)
    steps = [EPISODES * n for n in (2, 3, 5, 6)]
    torch.testing.assert_close(weight[trials.taken], torch.full((sum(steps),), 4.0 / sum(steps)))
    # beyond a trial's last step nothing is earned: its gain is its reward less the value, restored
    value = learner.policy.evaluate(state.params, trials)[1]
    last = [n - 1 for n in steps]
    rows = torch.arange(4)
    gain = trials.reward[rows, last, 0] - value[rows, last, 0]
    found = whole.advantages.advantage[rows, last, 0]
    torch.testing.assert_close((found - found[0]) / (found[1] - found[0]), (gain - gain[0]) / (gain[1] - gain[0]))
