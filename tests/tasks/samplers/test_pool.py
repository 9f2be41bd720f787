"""A pool is a fixed set of training tasks, whose ids stay."""

from collections import Counter

import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.tasks.distribution import TaskDistribution, check_leak
from drml.tasks.parameter import Uniform
from drml.tasks.samplers.pool import PoolSampler
from drml.tasks.samplers.registry import SAMPLERS, SamplerConfig, sampler_of
from drml.tasks.samplers.stratified import StratifiedSampler

LINE = TaskDistribution({"x": Uniform(0.0, 1.0)})
SIZE = 6


@pytest.fixture
def pool():
    sampler = PoolSampler(SIZE)
    return sampler, sampler.init(LINE, Streams(3)["sampler"])


def test_a_task_keeps_its_id_and_each_is_met_as_often_as_any_other(pool):
    sampler, state = pool
    seen, times = {}, Counter()
    for i in range(30):
        tasks = sampler.sample(state, LINE, "train", 4, Streams(0)["train", i])
        assert len(set(tasks.ids.tolist())) == 4
        for task, x in zip(tasks.ids.tolist(), tasks.params["x"].tolist(), strict=True):
            assert seen.setdefault(task, x) == x
            times[task] += 1
    assert sorted(seen) == list(range(SIZE)) and len(set(seen.values())) == SIZE
    assert min(times.values()) >= 10 and max(times.values()) <= 30  # 20 each; one in 10^4 draws lies outside


def test_the_whole_pool_is_each_task_once(pool):
    sampler, state = pool
    tasks = sampler.sample(state, LINE, "train", SIZE, Streams(1))
    assert sorted(tasks.ids.tolist()) == list(range(SIZE))
    with pytest.raises(InputError, match=r"^a pool of 6 tasks cannot give 7 different ones at a time; enlarge it"):
        sampler.sample(state, LINE, "train", SIZE + 1, Streams(1))


def test_the_pool_is_of_training_tasks_and_other_splits_have_none(pool):
    sampler, state = pool
    train = sampler.sample(state, LINE, "train", SIZE, Streams(1))
    test = sampler.sample(state, LINE, "test", 50, Streams(1))
    check_leak(train, test)
    expected = StratifiedSampler().sample({}, LINE, "test", 50, Streams(1))
    assert torch.equal(test.params["x"], expected.params["x"])
    assert sampler.observe(state, train, {"post_return": torch.zeros(SIZE)}) is state


@pytest.mark.parametrize("kind", SAMPLERS)
def test_every_sampler_is_in_the_registry(kind):
    sampler = sampler_of(SamplerConfig(kind, pool_size=9))
    state = sampler.init(LINE, Streams(0)["sampler"])
    assert len(sampler.sample(state, LINE, "train", 5, Streams(0)["draw"])) == 5
    with pytest.raises(InputError, match="pool_size"):
        SamplerConfig(kind, pool_size=0)
