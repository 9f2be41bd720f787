"""Rounds: one is what the collector does, to the bit; several are those rounds side by side, each with its memory."""

import torch

from drml.algos.memory.rl2 import RL2Config
from drml.collect.collector import Collector
from drml.collect.rounds import Rounds, side_by_side
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import tree_leaves, tree_map
from drml.core.types import Agent
from drml.envs.api import EnvOptions
from drml.policies.memory.registry import MemoryConfig
from drml.run.config import RunConfig, learner_of
from drml.suites.registry import suite
from drml.tasks.samplers.uniform import UniformSampler

GRID = suite("gridnavi-varibad-v1")
TASKS = UniformSampler().sample({}, GRID.tasks, "train", 1, Streams(0)["tasks"])
RNG = Streams(0)["rollout"]

POLICY = learner_of(RunConfig(GRID.name, "rl2", RL2Config(), MemoryConfig(size=4)), GRID.spec).policy
COPIES = 2


def collector(steps=GRID.spec.horizon):
    return Collector(GRID.make(EnvOptions()), steps, COPIES, Phases(), one_episode=True)


def agent(rounds):
    """Return an agent whose memory is another one in each copy."""
    blank = POLICY.initial_carry(1, rounds * COPIES)
    carry = tree_map(lambda x: x + torch.arange(rounds * COPIES).view(1, -1, *[1] * (x.dim() - 2)).to(x.dtype), blank)
    return Agent(POLICY.init(Streams(1)["params"]), carry)


def same(found, expected):
    for name in ("obs", "action", "reward", "terminated", "truncated", "valid", "taken", "log_prob", "elapsed"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    pairs = zip(tree_leaves(found.last_carry), tree_leaves(expected.last_carry), strict=True)
    assert all(torch.equal(x, y) for (_, x), (_, y) in pairs)


def test_one_round_is_what_the_collector_does():
    found, faults = Rounds(collector(), 1).with_faults(POLICY, agent(1), TASKS, RNG)
    same(found, collector()(POLICY, agent(1), TASKS, RNG))
    assert not faults


def test_each_round_has_its_own_noise_and_the_memory_of_its_copies():
    rounds = Rounds(collector(), 3)
    found, _ = rounds.with_faults(POLICY, agent(3), TASKS, RNG)
    assert rounds.copies == 6 and found.reward.shape[2] == 6
    for r in range(3):
        own = tree_map(lambda x, r=r: x[:, r * COPIES : (r + 1) * COPIES], agent(3).carry)
        expected = collector()(POLICY, Agent(agent(3).params, own), TASKS, RNG["round", r])
        part = found.map(lambda x, r=r: x[:, :, r * COPIES : (r + 1) * COPIES])
        part = part.map_carries(lambda x, r=r: x[:, r * COPIES : (r + 1) * COPIES])
        same(part, expected)
    assert not torch.equal(found.action[:, :, :COPIES], found.action[:, :, COPIES : 2 * COPIES])


def test_shorter_rounds_end_in_steps_that_were_not_taken():
    long, short = (collector(steps)(POLICY, agent(1), TASKS, RNG) for steps in (5, 3))
    found = side_by_side([long, short])
    assert found.taken[0].sum(0).tolist() == [5, 5, 3, 3] and found.env_steps == 16
    assert torch.equal(found.reward[:, :3, COPIES:], short.reward)
    assert not found.valid[:, 3:, COPIES:].any() and not found.reward[:, 3:, COPIES:].any()
