"""What a meta-episode holds, against tensors that are measured, and the ways out that are offered."""

import re
from dataclasses import replace

import pytest
import torch

from drml.algos.gradient.maml import MAMLConfig
from drml.algos.memory.rl2 import RL2Config
from drml.collect.collector import Collector
from drml.core import check
from drml.core.errors import ResourceError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import tree_leaves
from drml.core.types import ActionSpec, Agent, EnvSpec
from drml.envs.api import EnvOptions
from drml.policies.memory.registry import MemoryConfig, memory_of
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.policies.normalised import Moments, Normaliser
from drml.run.footprint import Plan, check_fit
from drml.suites.registry import suite
from drml.tasks.samplers.uniform import UniformSampler

PICTURES = EnvSpec(64 * 64 * 3, ActionSpec("discrete", 4), 50)
PLAN = Plan(PICTURES, MAMLConfig(), MLPConfig(), num_tasks=20, copies=20, adapt_steps=1, learns=True)
GB = 10**9


def gigabytes(plan):
    return 4 * sum(plan.numbers().values()) / GB


def test_observations_are_counted_as_they_are_held():
    family = suite("half-cheetah-dir-promp-v1")
    tasks = UniformSampler().sample({}, family.tasks, "train", 3, Streams(0))
    policy = mlp_policy(family.spec, MLPConfig())
    collect = Collector(family.make(EnvOptions()), family.spec.horizon, 2, Phases())
    rollout = collect(policy, Agent(policy.init(Streams(0)), {}), tasks, Streams(0))
    names = ("obs", "action", "reward", "elapsed", "log_prob", "terminated", "truncated", "valid", "taken")
    tensors = [getattr(rollout, name) for name in names] + [rollout.final.at, *rollout.acting.tensors().values()]
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    plan = Plan(family.spec, MAMLConfig(), MLPConfig(), 3, 2, 0, learns=False)
    counted = 4 * plan.numbers()["observations and actions"]
    # the deviation, which all copies share, is not counted
    assert 0.9 * held <= counted <= held


@pytest.mark.parametrize("kind", ["gru", "lstm", "mingru", "transformer", "none"])
def test_memories_are_counted_as_they_are_held(kind):
    config = MemoryConfig(kind, 8, layers=2, heads=2, context=10)
    held = sum(leaf[0].numel() for _, leaf in tree_leaves(memory_of(config, 5).start(1, torch.zeros(1))))
    assert config.num_held <= held <= config.num_held + 1  # a transformer counts its steps


def test_the_baseline_counts_in_the_form_that_is_smaller(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    few, one = replace(PLAN, num_tasks=5, copies=2), replace(PLAN, num_tasks=1, copies=1)
    # 5 tasks x 100 rows x 24,580 features, twice, and 100 x 100, twice; in numbers of 8 bytes
    assert few.numbers()["the value baseline"] == 2 * 5 * (2 * 100 * 24_580 + 2 * 100**2)
    assert gigabytes(one) < 0.1  # the normal equations alone were 4.8 GB


def test_what_does_not_fit_is_refused_with_the_flag_that_helps(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    monkeypatch.setattr("drml.run.footprint.machine_memory", lambda: 5 * GB)
    monkeypatch.setattr(check, "machine_memory", lambda: 5 * GB)
    with pytest.raises(ResourceError) as refused:
        check_fit(replace(PLAN, num_tasks=10))
    line = str(refused.value)
    assert "10 tasks x 20 episodes of 50 steps with 12288 numbers each" in line
    assert "most of it for the value baseline" in line
    assert line.endswith("--learner.tasks-per-chunk 1 would fit")
    smaller = replace(PLAN, num_tasks=10, learner=MAMLConfig(tasks_per_chunk=1))
    check_fit(smaller)  # it does
    with pytest.raises(ResourceError, match=r"--episodes (\d+) would fit") as refused:
        check_fit(replace(smaller, copies=100))
    copies = int(re.search(r"--episodes (\d+)", str(refused.value))[1])
    check_fit(replace(smaller, copies=copies))
    with pytest.raises(ResourceError):
        check_fit(replace(smaller, copies=2 * copies))


def test_trials_of_a_transformer_count_its_keys_and_values(monkeypatch):
    spec = EnvSpec(4, ActionSpec("discrete", 4), 1000)
    memory = MemoryConfig("transformer", 256, context=4000)
    plan = Plan(spec, RL2Config(episodes=4), memory, 40, 20, 3, learns=False)
    # keys and values of 4,000 steps for 800 copies, before, after and last: 3 x 2 x 4,000 x 256 x 800 numbers
    assert plan.numbers()["memories"] == 3 * 2 * 4000 * 256 * 800
    monkeypatch.setattr("drml.run.footprint.machine_memory", lambda: 8 * GB)
    monkeypatch.setattr(check, "machine_memory", lambda: 8 * GB)
    with pytest.raises(ResourceError, match="most of it for memories; --episodes 5 would fit"):
        check_fit(plan)


def test_where_nothing_helps_the_line_says_what_would(monkeypatch):
    monkeypatch.setattr("drml.run.footprint.machine_memory", lambda: 1000)
    monkeypatch.setattr(check, "machine_memory", lambda: 1000)
    with pytest.raises(ResourceError, match="show the agent fewer numbers, in fewer tasks"):
        check_fit(PLAN)


def test_normalised_observations_are_counted_once_more_as_they_are_held():
    plain = replace(PLAN, num_tasks=3, copies=2)
    added = {name: n for name, n in replace(plain, normalised=True).numbers().items() if name not in plain.numbers()}
    rollout = torch.zeros(3, 50, 2, PICTURES.obs_size)
    seen = Normaliser((), PICTURES.obs_size).see(Moments.none(PICTURES.obs_size), rollout)
    assert seen.dtype == torch.float32 and seen.data_ptr() != rollout.data_ptr()
    assert added == {"observations once more, normalised": 2 * seen.numel()}  # before and after adaptation
    acting = replace(plain, normalised=True, learns=False).numbers()
    assert acting["observations once more, normalised"] == seen.numel()
