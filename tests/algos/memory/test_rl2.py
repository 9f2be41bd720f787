"""RL² on trials of random MDPs: its loss against the formula, what an unsound episode costs, and that it learns."""

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, pairwise
from typing import final

import pytest
import torch

from drml.algos.memory.rl2 import RL2, RL2Config, interleaved, one_by_one
from drml.algos.registry import learner_entry
from drml.collect.collector import Collector
from drml.core.errors import InputError
from drml.core.phases import Phases
from drml.core.rng import BlockNoise, Streams
from drml.core.tree import flatten, tree_leaves
from drml.core.types import ActionSpec, EnvSpec, MetaEpisode, join_rollouts
from drml.envs.api import EnvOptions
from drml.envs.native import Outcome, native_suite
from drml.learning.returns import episode_returns
from drml.learning.running_scale import RunningScale
from drml.loop.curve import returns_by_step
from drml.loop.meet import meta_episode
from drml.policies.memory.registry import MemoryConfig
from drml.suites.bandit import bandit_suite
from drml.suites.registry import suite
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Uniform
from drml.tasks.samplers.uniform import UniformSampler

of = partial(MetaEpisode, (), ())  # of no tasks and agents: the history is all that these learners look at
RNG = Streams(0)


K, B, EPISODES = 5, 2, 3
FAMILY = suite("tabular-mdp-rl2-v1")


def make(family=FAMILY, size=8, head="linear", **changes):
    config = RL2Config(**{"episodes": EPISODES, "epochs": 1, "minibatches": 1, **changes})
    memory = MemoryConfig("gru", size, head=head, head_hidden=4)
    return RL2(family.spec, learner_entry("rl2").make_policy(family.spec, memory, config), config)


def meta_iteration(learner, state, family=FAMILY, num_tasks=K, copies=B, seed=0):
    tasks = UniformSampler().sample({}, family.tasks, "train", num_tasks, Streams(seed)["tasks"])
    collect = Collector(family.make(EnvOptions()), family.spec.horizon, copies, Phases())
    return meta_episode(learner, state.shared, tasks, collect, Streams(seed), learner.adapt_steps).history


def history_of(learner):
    state = learner.init(Streams(0)["init"])
    return state, meta_iteration(learner, state)


def test_the_first_loss_is_the_formula_number_by_number():
    learner = make(gamma=0.9, gae_lambda=0.7, value_coef=0.3, entropy_coef=0.05)
    state, history = history_of(learner)
    _, metrics = learner.update(state, of(history), RNG)
    reward = torch.cat([rollout.reward for rollout in history], 1).double()
    values, entropies = [], []
    carry = learner.policy.initial_carry(K, B)  # one episode after the other, as they were acted
    for rollout in history:
        distribution, value = learner.policy.evaluate(state.shared, replace(rollout, first_carry=carry))
        values.append(value.double())
        entropies.append(distribution.entropy().double())
        carry = rollout.last_carry
    output, entropy = torch.cat(values, 1).detach(), torch.cat(entropies, 1).detach()
    steps = output.shape[1]
    target, following = torch.zeros_like(output), torch.zeros(K, B).double()
    for t in reversed(range(steps)):  # through the ends of the episodes; before any trial the critic counts as 0
        following = reward[:, t] + 0.9 * 0.7 * following
        target[:, t] = following
    normalised = (target - target.mean()) / target.std(unbiased=False)
    # the acting policy is the new one, so the ratio is 1 and normalised advantages have mean 0
    expected = 0.3 * 0.5 * (output - normalised).square().mean() - 0.05 * entropy.mean()
    assert metrics["outer_loss_first"] == pytest.approx(float(expected), rel=1e-4)  # float32 sums of 300 numbers


def test_updates_do_not_depend_on_the_chunks_and_move_the_parameters():
    state, history = history_of(make())
    whole, chunked = (make(trials_per_chunk=n).update(state, of(history), RNG)[0].shared for n in (100, 3))
    moved = (flatten(whole) - flatten(state.shared)).abs().max()
    assert 1e-4 < float(moved) < 2e-3  # Adam's first step is meta_lr in each coordinate that has a gradient
    # Adam's first step is g/|g|, so rounding moves only coordinates whose gradient is rounding
    assert float((flatten(whole) - flatten(chunked)).abs().median()) < 1e-6


def test_step_size_and_entropy_weight_fall_to_zero():
    learner = make(decay_iters=2)
    state, history = history_of(learner)
    params = [state.shared]
    for _ in range(3):
        state, _ = learner.update(state, of(history), RNG)
        params.append(state.shared)
    sizes = [float((flatten(b) - flatten(a)).abs().max()) for a, b in pairwise(params)]
    assert sizes[0] > sizes[1] > 0.0 and sizes[2] == 0.0


def test_of_a_trial_with_an_unsound_episode_nothing_is_learned_and_of_that_episode_nothing_remembered():
    learner = make()
    state, history = history_of(learner)
    valid = history[1].valid.clone()
    valid[0, :, 1] = False
    broken = replace(history[1], valid=valid, reward=history[1].reward.masked_fill(~valid, 0.0))
    other = replace(broken, reward=broken.reward + 100.0 * (~valid))
    updates = [learner.update(state, of([history[0], x, history[2]]), RNG)[0].shared for x in (broken, other)]
    assert torch.equal(flatten(updates[0]), flatten(updates[1]))
    agent = learner.adapt(learner.prior(state.shared, None, 1, Streams(0)), history[0], 0, RNG)
    carry = learner.adapt(agent, replace(broken, first_carry=agent.carry), 1, RNG).carry
    before, after = dict(tree_leaves(history[0].last_carry)), dict(tree_leaves(broken.last_carry))
    for name, value in tree_leaves(carry):
        assert torch.equal(value[0, 1], before[name][0, 1])  # the episodes before the unsound one stay in memory
        assert torch.equal(value[0, 0], after[name][0, 0]) and torch.equal(value[1:], after[name][1:])


def test_a_copy_that_lost_an_episode_is_measured_by_the_episodes_in_its_memory():
    _, history = history_of(make())
    valid = history[1].valid.clone()
    valid[0, :, 1] = False
    broken = [history[0], replace(history[1], valid=valid), history[2]]
    whole, found = returns_by_step(history), returns_by_step(broken)
    # the third episode of this copy is played with one episode in memory, and none is played with two
    assert found[0, :2, 1].tolist() == whole[0, [0, 2], 1].tolist() and math.isnan(found[0, 2, 1])
    assert torch.equal(found[0, :, 0], whole[0, :, 0]) and torch.equal(found[1:], whole[1:])
    of_gradients = [replace(rollout, first_carry={}) for rollout in broken]  # there all copies adapt together
    assert math.isnan(returns_by_step(of_gradients)[0, 1, 1])


def test_where_no_trial_is_sound_there_is_nothing_to_learn_from():
    learner = make()
    state, history = history_of(learner)
    lost = []
    for e, rollout in enumerate(history):  # each trial loses one episode, and each task keeps some in each phase
        valid = torch.ones_like(rollout.valid)
        for k in range(K):
            valid[k, :, (k + e) % B] = e == 2
        lost.append(replace(rollout, valid=valid, reward=rollout.reward.masked_fill(~valid, 0.0)))
    assert all(bool(rollout.valid.flatten(1).any(1).all()) for rollout in lost)
    after, metrics = learner.update(state, of(lost), RNG)
    assert after.shared is state.shared and metrics["sound_trials"] == 0.0
    assert float(after.training["num_updates"]) == 1.0  # step size and entropy weight fall by the meta-iteration


def test_before_any_trial_the_critic_says_nothing():
    learner = make(gamma=0.9)
    state, history = history_of(learner)
    trials = one_by_one(join_rollouts(history))
    loud = {**state.shared, **{k: v + 3.0 for k, v in state.shared.items() if k.startswith("critic")}}
    assert not torch.equal(flatten(loud), flatten(state.shared))
    (one, _), (other, _) = (learner._targets(p, trials, RunningScale.initial()) for p in (state.shared, loud))
    assert torch.equal(one.advantages.advantage, other.advantages.advantage)
    assert torch.equal(one.target, other.target)
    gain = torch.zeros(K * B, trials.reward.shape[1] + 1).double()  # and an action counts for the rewards after it
    for t in reversed(range(trials.reward.shape[1])):
        gain[:, t] = trials.reward[:, t, 0].double() + 0.9 * 0.3 * gain[:, t + 1]
    gain = gain[:, :-1]
    expected = (gain - gain.mean()) / gain.std(unbiased=False)
    torch.testing.assert_close(one.advantages.advantage[..., 0].double(), expected, rtol=0, atol=1e-5)


class TestUnitsOfReward:
    @pytest.mark.parametrize("seen", [None, [1.0, 4.0, 9.0]])
    @pytest.mark.parametrize("unit", [1e-9, 1e-4, 1e9])
    def test_advantages_and_targets_are_those_of_unit_rewards(self, unit, seen):
        def scale_in(c):
            start = RunningScale.initial()
            return start if seen is None else start.observe(c * torch.tensor(seen).double(), torch.ones(3))

        learner = make(gamma=0.9)
        state, history = history_of(learner)
        plain, scaled = ([replace(r, reward=c * r.reward) for r in history] for c in (1.0, unit))
        found = [learner._targets(state.shared, one_by_one(join_rollouts(plain)), scale_in(1.0))]
        # what the memory takes in is the reward itself: the critic's outputs are held to those of unit rewards
        learner.policy = Frozen(learner.policy, one_by_one(join_rollouts(plain)))
        found += [learner._targets(state.shared, one_by_one(join_rollouts(scaled)), scale_in(unit))]
        (one, scale), (other, other_scale) = found
        # rewards are rounded to 2^-24, and gains of size 1/30 are differences of numbers of size 1
        torch.testing.assert_close(other.advantages.advantage, one.advantages.advantage, rtol=0, atol=1e-4)
        torch.testing.assert_close(other.target, one.target, rtol=0, atol=1e-4)
        again = torch.tensor([1.0, 2.0], dtype=torch.float64)
        torch.testing.assert_close(other_scale.normalise(unit * again), scale.normalise(again), rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, -1e9])
    @pytest.mark.parametrize("copies", [1, B])
    def test_of_constant_rewards_the_policy_learns_nothing(self, reward, copies):
        learner = make(entropy_coef=0.01, epochs=2)
        state = learner.init(Streams(0)["init"])
        history = meta_iteration(learner, state, copies=copies)
        history = [replace(rollout, reward=torch.full_like(rollout.reward, reward)) for rollout in history]
        after, metrics = learner.update(state, of(history), RNG)
        assert metrics["tasks_without_difference"] == 1.0
        assert after.shared is state.shared

    def test_one_trial_that_earned_more_is_a_difference(self):
        learner = make()
        state, history = history_of(learner)
        flat = [replace(rollout, reward=torch.ones_like(rollout.reward)) for rollout in history]
        flat[1].reward[2, 3, 1] += 1e-4
        after, metrics = learner.update(state, of(flat), RNG)
        assert metrics["tasks_without_difference"] == 0.0
        assert not torch.equal(after.shared["actor.bias"], state.shared["actor.bias"])

    def test_rewards_that_depend_on_the_task_alone_teach_no_policy(self):
        learner = make()
        state, history = history_of(learner)
        by_task = torch.arange(1.0, K + 1).view(-1, 1, 1)
        history = [replace(rollout, reward=by_task.expand_as(rollout.reward).contiguous()) for rollout in history]
        assert learner.update(state, of(history), RNG)[1]["tasks_without_difference"] == 1.0


@final
@dataclass(frozen=True)
class Frozen:
    """A policy whose critic answers as on other trials."""

    policy: object
    trials: object

    def evaluate(self, params, trials, bptt_steps=0):
        return self.policy.evaluate(params, self.trials, bptt_steps)


def test_minibatches_deal_out_every_trial_once():
    hands = [list(range(10))[part] for part in interleaved(10, 3)]
    assert sorted(chain(*hands)) == list(range(10))
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
    assert interleaved(2, 5) == [slice(0, None, 2), slice(1, None, 2)]


def test_a_hypernetwork_is_trained_from_the_first_update_and_the_memory_below_it_from_the_second():
    learner = make(head="hypernetwork")
    state = learner.init(Streams(0)["init"])
    generator_norms, memory_moves = [], []
    for i in range(2):
        after, metrics = learner.update(state, of(meta_iteration(learner, state, seed=i)), RNG)
        assert math.isfinite(metrics["outer_loss_last"])
        generator_norms.append(float(_part(after.shared, "generator.").norm()))
        memory_moves.append(float((_part(after.shared, "memory.") - _part(state.shared, "memory.")).norm()))
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
        state, _ = learner.update(state, of(history), RNG)
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
        state, _ = learner.update(
            state, of(meta_iteration(learner, state, family, num_tasks=200, copies=1, seed=i)), RNG
        )
    rewards = torch.cat([r.reward for r in meta_iteration(learner, state, family, 5000, 1, seed=10**6)], 1)
    if is_open:
        assert float(rewards.mean()) > 0.8  # so this training would have found it
    else:  # answers are independent coins, so the mean of n rewards has standard error 0.5/√n whatever the policy
        assert abs(float(rewards.mean()) - 0.5) < 1.96 * 0.5 / rewards.numel() ** 0.5


def test_more_minibatches_than_trials_are_one_trial_each():
    assert interleaved(3, 10**20) == interleaved(3, 3) == [slice(0, None, 3), slice(1, None, 3), slice(2, None, 3)]
