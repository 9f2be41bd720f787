"""Trials seen through a sentinel: an environment whose observation says which task, copy, episode and step it is."""

from dataclasses import dataclass, replace
from typing import final

import pytest
import torch

from drml.algos.memory.rl2 import RL2Config, one_by_one
from drml.algos.registry import learner_entry
from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec, Tasks, join_rollouts
from drml.envs.api import EnvOptions
from drml.envs.native import Outcome, native_suite
from drml.loop.meet import meta_episode
from drml.policies.actor_critic import MemoryPolicy
from drml.policies.heads import LinearHead
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice

K, B, EPISODES, HORIZON = 3, 2, 3, 4
OBS = 4  # task, copy, rollout, step
ENDS = {0: None, 1: 3, 2: 2}  # the step after which a task's episodes terminate; None: only the horizon ends them


@final
@dataclass(frozen=True)
class Sentinel:
    """Says where it is; the reward is a number that no other place has."""

    task: torch.Tensor
    rollout: int

    def start(self, t):
        copy = torch.arange(B).float().expand(K, B)
        return torch.stack(
            [self.task.expand(K, B), copy, torch.full_like(copy, self.rollout), torch.full_like(copy, t)], -1
        )

    def observe(self, state):
        return state

    def move(self, state, action, t):
        task, copy, rollout, step = state.unbind(-1)
        ends = torch.tensor([ENDS[k] or -1 for k in range(K)]).unsqueeze(1)
        terminated = step + 1 == ends
        reward = 1000 * task + 100 * copy + 10 * rollout + step
        return Outcome(torch.stack([task, copy, rollout, step + 1], -1), reward, terminated)


@final
class Recorder:
    """A memory whose state is all that it was shown, oldest first, and how much that is."""

    output_size = 1

    def init(self, rng):
        return {}

    def start(self, batch, like):
        return {"shown": like.new_zeros(batch, EPISODES * HORIZON, OBS + 2 + 3), "count": like.new_zeros(batch)}

    def step(self, params, inputs, state, starts):
        assert starts is None or not starts.any()  # a trial is cleared by its first carry, never inside
        shown, count = state["shown"].clone(), state["count"]
        assert len(count.unique()) == 1
        shown[:, int(count[0])] = inputs
        return inputs[:, :1], {"shown": shown, "count": count + 1}

    def sequence(self, params, inputs, state, starts):
        outputs = []
        for x, starts_t in zip(inputs, starts, strict=True):
            y, state = self.step(params, x, state, starts_t)
            outputs.append(y)
        return torch.stack(outputs), state


@pytest.fixture
def trials():
    """The rollouts of one meta-episode, and the learner."""
    resets = iter(range(EPISODES))
    spec = EnvSpec(OBS, ActionSpec("discrete", 2), HORIZON)
    tasks = TaskDistribution({"name": Choice((0.0, 1.0, 2.0))}, held_out=False)
    family = native_suite(
        "sentinel-v1",
        "",
        "",
        tasks,
        spec,
        lambda tasks, copies, rng: Sentinel(tasks.params["name"].unsqueeze(1), next(resets)),
    )
    policy = MemoryPolicy(Recorder(), LinearHead(1, 2), spec.action, EPISODES * HORIZON)
    learner = learner_entry("rl2").make(spec, policy, RL2Config(episodes=EPISODES))
    state = learner.init(Streams(0))
    asked = Tasks({"name": torch.tensor([0.0, 1.0, 2.0])}, torch.arange(K))
    collect = Collector(family.make(EnvOptions()), HORIZON, B, Phases())
    return learner, state, meta_episode(learner, state.shared, asked, collect, Streams(1), EPISODES - 1).history


def expected_inputs(history, k, b):
    """What task k's copy b should have been shown, written down step by step."""
    rows, before = [], torch.zeros(2 + 3)
    for episode, rollout in enumerate(history):
        step = 0
        for t in range(HORIZON):
            now = torch.tensor([k, b, episode, step], dtype=torch.float32)
            elapsed = torch.tensor([len(rows) / (EPISODES * HORIZON)])
            rows.append(torch.cat([now, before[:4], elapsed]))
            ended = t == HORIZON - 1 or step + 1 == ENDS[k]
            reward = 1000 * k + 100 * b + 10 * episode + step
            action = torch.eye(2)[rollout.action[k, t, b]]
            before = torch.cat([action, torch.tensor([float(reward), float(ended)])])
            step = (0 if t == HORIZON - 1 else t + 1) if ended else step + 1  # a restart inside starts at its own time
    return torch.stack(rows)


def test_acting_remembers_the_whole_trial_of_its_own_task_and_copy_and_nothing_else(trials):
    history = trials[2]
    for k in range(K):
        for b in range(B):
            shown = history[-1].last_carry["memory"]["shown"][k, b]
            assert torch.equal(shown, expected_inputs(history, k, b)), (k, b)
    assert torch.equal(history[-1].last_carry["memory"]["count"], torch.full((K, B), float(EPISODES * HORIZON)))


def test_each_episode_begins_with_what_the_one_before_left_and_a_trial_with_nothing(trials):
    history = trials[2]
    first = history[0].first_carry
    assert not any(bool(first[branch][name].any()) for branch in ("memory", "before") for name in first[branch])
    for episode in range(1, EPISODES):
        count = history[episode].first_carry["memory"]["count"]
        assert torch.equal(count, torch.full((K, B), float(episode * HORIZON)))


def test_learning_sees_what_acting_saw(trials):
    learner, state, history = trials
    whole = one_by_one(join_rollouts(history))
    policy = learner.policy
    inputs = whole.obs.new_zeros(0)

    class Spy:
        output_size = 1

        def sequence(self, params, x, state, starts):
            nonlocal inputs
            inputs = x
            return policy.memory.sequence(params, x, state, starts)

    replace(policy, memory=Spy()).evaluate(state.shared, whole)
    rows = inputs.transpose(0, 1)  # [K·B, T, F]
    for k in range(K):
        for b in range(B):
            assert torch.equal(rows[k * B + b], expected_inputs(history, k, b)), (k, b)
