"""Successes at the points of a curve, held against episodes that were written down by hand."""

import json
import math
from dataclasses import replace

import pytest
import torch

from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.algos.memory.rl2 import RL2, RL2Config
from drml.algos.registry import learner_entry
from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec, join_rollouts
from drml.envs.api import EnvOptions
from drml.envs.native import Outcome, native_suite
from drml.learning.adapt import InnerConfig
from drml.loop.config import TrainConfig
from drml.loop.evaluate import meta_test
from drml.loop.meet import meet
from drml.loop.rows import SUCCESS, train_row
from drml.loop.success import episode_successes, successes_by_step
from drml.loop.train import advance, iterate
from drml.loop.trainer import Trainer, init_progress
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice
from drml.tasks.samplers.uniform import UniformSampler

COPIES, HORIZON, RNG = 4, 3, Streams(0)


class Bet:
    """Episodes of 3 steps; action 1 is a success where the task's coin says so, each time that it is taken.

    In task −1 nothing ever is. The reward is 1 for action 1.
    """

    def __init__(self, tasks, copies, rng):
        self.pays, self.copies = tasks.params["pays"].unsqueeze(1) > 0, copies

    def start(self, t):
        return torch.zeros(len(self.pays), self.copies, 1)

    def observe(self, state):
        return state

    def move(self, state, action, t):
        chosen = action == 1
        never = torch.zeros_like(chosen)
        return Outcome(state, chosen.float(), never, chosen & self.pays)


class Silent(Bet):
    """The same, of which nothing is said."""

    def move(self, state, action, t):
        return super().move(state, action, t)._replace(success=None)


class TrueOnly(Bet):
    """The same as some foreign environments have it: told where there is one, and in no step without any."""

    def move(self, state, action, t):
        outcome = super().move(state, action, t)
        return outcome if outcome.success.any() else outcome._replace(success=None)


SPEC = EnvSpec(1, ActionSpec("discrete", 2), HORIZON)
TASKS = TaskDistribution({"pays": Choice((1.0, -1.0))}, held_out=False)


def promp(steps=1):
    return ProMP(SPEC, mlp_policy(SPEC, MLPConfig(hidden=(4,))), ProMPConfig(InnerConfig(num_steps=steps, lr=0.5)))


def rl2(episodes=2):
    config = RL2Config(episodes=episodes)
    return RL2(SPEC, learner_entry("rl2").make_policy(SPEC, MemoryConfig(size=8), config), config)


def collector(physics, learner, env=None, steps=HORIZON):
    env = env or native_suite("bet-v1", "", "", TASKS, SPEC, physics).make(EnvOptions())
    return Collector(env, steps, COPIES, Phases(), one_episode=learner.adapts_on == "episodes")


def met(physics, learner, steps=1, seed=1):
    rng, tasks = Streams(seed), TASKS.all_tasks()
    shared = learner.init(rng).shared
    prior = learner.prior(shared, tasks, COPIES, rng["prior"])
    return meet(learner, prior, tasks, collector(physics, learner), rng, steps)


def by_hand(rollout, pays):
    """Return (any, last) of each copy's three steps, in plain loops."""
    found = []
    for b in range(COPIES):
        actions = rollout.action[0 if pays else 1, :, b].tolist()
        found.append((float(pays and 1 in actions), float(pays and actions[-1] == 1)))
    return found


@pytest.mark.parametrize("learner", [promp(), rl2()], ids=["gradients", "memory"])
def test_any_step_and_last_step_are_counted_by_episode(learner):
    history = met(Bet, learner).history
    found = successes_by_step(history)
    for step, rollout in enumerate(history):
        for k, pays in enumerate((True, False)):
            at = zip(found.any.returns[k, step].tolist(), found.last.returns[k, step].tolist(), strict=True)
            assert list(at) == by_hand(rollout, pays)
    assert 0 < found.last.returns[0].mean() < found.any.returns[0].mean() <= 1  # they do differ here
    assert found.any.returns[1].sum() == 0


def test_only_the_first_episode_of_a_copy_counts_and_unsound_ones_are_not_known():
    rollout = met(Bet, promp()).history[0]
    success = torch.zeros_like(rollout.valid)
    success[0, 0, 0] = success[0, 2, 1] = success[1, 1, 2] = True
    terminated = torch.zeros_like(success)
    terminated[0, 1, 1] = True  # the second copy's first episode ends before its success
    valid = torch.ones_like(success)
    valid[1, :, 3] = False
    found = episode_successes(replace(rollout, success=success, terminated=terminated, valid=valid))
    assert found[0, 0].tolist() == [1.0, 0.0, 0.0, 0.0] and found[1, 0].tolist() == [0.0] * 4
    assert found[0, 1, :3].tolist() == [0.0, 0.0, 1.0] and found[1, 1, :3].tolist() == [0.0] * 3
    assert found[:, 1, 3].isnan().all()


def test_a_memory_that_lost_an_episode_comes_to_its_points_later():
    history = [*met(Bet, rl2(3), steps=2).history]
    broken = replace(history[1], valid=history[1].valid.clone())
    broken.valid[0, :, 1] = False
    whole = successes_by_step(history).any.returns
    found = successes_by_step([history[0], broken, history[2]]).any.returns
    assert found[0, 1, 1] == whole[0, 2, 1] and found[0, 2, 1].isnan()
    kept = ~found.isnan()
    kept[0, 1, 1] = False
    assert torch.equal(found[kept], whole[kept])


def test_rollouts_of_one_family_are_joined_whether_they_say_anything_or_not():
    silent, said = (met(physics, promp()).history[0] for physics in (Silent, Bet))
    assert silent.success is None and silent.select_tasks(torch.tensor([1])).success is None
    joined = join_rollouts([silent, said, silent])
    assert torch.equal(joined.success[:, HORIZON : 2 * HORIZON], said.success)
    assert not joined.success[:, :HORIZON].any() and not joined.success[:, 2 * HORIZON :].any()
    assert torch.equal(said.select_tasks(torch.tensor([1])).success, said.success[1:])


def rows_of(physics, iterations=2):
    learner = promp()
    config = TrainConfig(meta_iters=iterations, num_tasks=2, copies=COPIES, validate_every=1, validation_tasks=2)
    trainer = Trainer(learner, TASKS, UniformSampler(), collector(physics, learner), config, RNG)
    progress, rows = init_progress(trainer), []
    for _ in range(iterations):
        progress, new = iterate(trainer, progress)
        rows += new
    return progress, rows


def test_a_row_has_the_shares_and_only_where_success_is_said():
    silent, says = rows_of(Silent), rows_of(Bet)
    assert not silent[0].says_success and says[0].says_success
    told = {*SUCCESS, "success_any_by_step", "success_last_by_step"}
    assert not any(told & set(row) for row in silent[1])
    for row, other in zip(says[1], silent[1], strict=True):  # and nothing else differs
        assert {k: v for k, v in row.items() if k not in told and k != "seconds"} == {
            k: v for k, v in other.items() if k != "seconds"
        }
    for row in says[1]:
        shares = [row[k] for k in SUCCESS] if row["kind"] == "train" else row["success_any_by_step"]
        assert all(0.0 <= share <= 1.0 for share in shares)
    json.dumps(says[1])


def test_a_family_that_tells_of_successes_alone_has_none_from_the_first_one_on():
    quiet = met(TrueOnly, promp())
    none = replace(quiet, episode=replace(quiet.episode, history=[replace(r, success=None) for r in quiet.history]))
    progress = rows_of(Silent)[0]
    before, after = advance(progress, none, 0.0), advance(advance(progress, quiet, 0.0), none, 0.0)
    assert not before.says_success and after.says_success
    assert not set(SUCCESS) & set(train_row(before, none, {}))
    assert [train_row(after, none, {})[name] for name in SUCCESS] == [0.0] * 4
    lost = replace(none, episode=none.episode.select(torch.tensor([], dtype=torch.int64)), rows=torch.tensor([]))
    empty = replace(lost, episode=replace(lost.episode, history=[]))
    assert all(math.isnan(train_row(after, empty, {})[name]) for name in SUCCESS)


def result_of(physics, learner, rng=RNG, **how):
    tasks = TASKS.all_tasks().repeated(2)
    shared = learner.init(Streams(1)).shared
    return meta_test(learner, shared, tasks, collector(physics, learner), rng, 1, **how)


def test_a_test_says_it_by_task_and_over_all_with_intervals_over_the_rounds():
    found = result_of(Bet, promp(), Streams(4))
    facts = found.facts(TASKS.all_tasks(), 2)
    any_ = found.successes.any.returns  # [4, 2, B]: two rounds of each task
    assert facts["tasks"][0]["success_any_by_step"] == pytest.approx(any_[:2].mean((0, 2)).tolist())
    assert facts["tasks"][1]["success_last_by_step"] == [0.0, 0.0]
    point = facts["success_any_by_step"][0]
    assert point["mean"] == pytest.approx(any_[:, 0].mean().item()) and point["over"] == "episodes"
    # two rounds of the first task with means a and b: the variance of their mean is ((a − b)/2)², of the task's share
    # in the mean of two tasks a quarter of it, with one degree of freedom; the second task does not vary
    a, b = any_[0, 0].mean().item(), any_[1, 0].mean().item()
    assert a != b
    assert point["mean_half_width_95"] == pytest.approx(12.7062 * abs(a - b) / 2 / 2, rel=1e-4)


def test_a_test_of_a_family_that_never_said_it_has_no_such_key_and_one_that_did_before_has_zeros():
    silent = result_of(Silent, promp()).facts(TASKS.all_tasks(), 2)
    assert "success" not in json.dumps(silent) and "deterministic" not in silent
    known = result_of(Silent, promp(), said=True).facts(TASKS.all_tasks(), 2)
    assert [point["mean"] for point in known["success_any_by_step"]] == [0.0, 0.0]
    assert known["success_any_by_step"][0]["mean_half_width_95"] is None


def certain(learner, logit):
    """Return parameters by which the first agent takes action 1 with probability 1/(1 + e^−logit), whatever it sees."""
    shared = {name: torch.zeros_like(value) for name, value in learner.init(Streams(1)).shared.items()}
    name = next(name for name, value in reversed(shared.items()) if value.shape == (2,))
    shared[name] = torch.tensor([0.0, logit])
    return shared


def test_the_most_likely_actions_are_counted_beside_the_drawn_ones_and_change_none_of_them():
    learner = promp()
    shared, tasks = certain(learner, 0.2), TASKS.all_tasks()
    plain = meta_test(learner, shared, tasks, collector(Bet, learner), RNG, 1)
    both = meta_test(learner, shared, tasks, collector(Bet, learner), RNG, 1, deterministic=True)
    assert torch.equal(both.curve.returns, plain.curve.returns)
    assert torch.equal(both.successes.any.returns, plain.successes.any.returns)
    assert plain.deterministic is None
    # By hand: the most likely action is 1 at each step, so each episode earns 3 and is a success where that pays.
    assert both.deterministic.curve.returns[:, 0].tolist() == [[3.0] * COPIES] * 2
    assert both.deterministic.successes.any.returns[:, 0].tolist() == [[1.0] * COPIES, [0.0] * COPIES]
    assert both.deterministic.successes.last.returns[:, 0].tolist() == [[1.0] * COPIES, [0.0] * COPIES]
    assert both.curve.returns[:, 0].mean() < 3.0  # the drawn ones do otherwise
    facts = both.facts(tasks, 1)["deterministic"]
    assert facts["success_last_by_step"][0]["mean"] == 0.5
    assert facts["tasks"][0]["success_any_by_step"][0] == 1.0
    assert {"episodes", "env_steps"}.isdisjoint(facts["return_by_step"][0]) and "trial_return" not in facts


class Failing:
    """An environment whose rollout of the first task is unsound from a certain reset on."""

    def __init__(self, physics, first_bad):
        self.env = native_suite("bet-v1", "", "", TASKS, SPEC, physics).make(EnvOptions())
        self.resets, self.first_bad = 0, first_bad

    @property
    def spec(self):
        return self.env.spec

    def reset(self, tasks, copies, rng):
        self.resets += 1
        return self.env.reset(tasks, copies, rng)

    def step(self, action):
        step = self.env.step(action)
        diverged = step.diverged.clone()
        diverged[0] = self.resets >= self.first_bad
        return replace(step, diverged=diverged)


def test_a_task_that_only_the_most_likely_actions_lose_counts_in_their_means_alone():
    learner, tasks = promp(), TASKS.all_tasks()
    shared = certain(learner, 0.2)
    env = Failing(Bet, first_bad=3)  # two phases, then two of the most likely actions
    found = meta_test(learner, shared, tasks, collector(Bet, learner, env), RNG, 1, deterministic=True)
    assert found.rows.tolist() == [0, 1] and found.deterministic.rows.tolist() == [1]
    facts = found.facts(tasks, 1)
    assert facts["success_any_by_step"][0]["count"] == 2
    assert facts["deterministic"]["success_any_by_step"][0]["count"] == 1
    assert [task["params"] for task in facts["deterministic"]["tasks"]] == [{"pays": -1.0}]
    nothing = Failing(Bet, first_bad=3)
    nothing_left = meta_test(
        learner, shared, tasks.select(torch.tensor([0])), collector(Bet, learner, nothing), RNG, 1, deterministic=True
    )
    assert nothing_left.facts(tasks, 1)["deterministic"] is None


def test_a_memory_plays_its_most_likely_actions_from_what_it_remembers_of_the_drawn_ones():
    learner = rl2(3)
    tasks = TASKS.all_tasks()
    shared = learner.init(Streams(1)).shared
    found = meta_test(learner, shared, tasks, collector(Bet, learner), RNG, 2, deterministic=True)
    prior = learner.prior(shared, tasks, COPIES, RNG["prior"])
    history = meet(learner, prior, tasks, collector(Bet, learner), RNG, 2)
    for phase, agent in enumerate(history.episode.agents):
        greedy = collector(Bet, learner).deterministic()
        rollout = greedy(learner.policy, agent, tasks, RNG["collect", phase])
        assert torch.equal(found.deterministic.curve.returns[:, phase], rollout.reward.double().sum(1))
        assert torch.equal(rollout.action, rollout.acting.mode())
