"""The same bits on any number of threads, from the first weights to the test: two processes that differ in it alone."""

import os
import subprocess
import sys

import pytest

CORES = len(os.sched_getaffinity(0))
SCRIPT = """
import hashlib
import torch
from drml.algos.registry import LEARNERS
from drml.core.rng import Streams
from drml.core.tree import tree_leaves
from drml.envs.api import EnvOptions
from drml.suites.registry import suite
from drml.loop.evaluate import meta_test
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.run.session import make_trainer
from drml.run.setup import set_up
from drml.run.config import RunConfig
from drml.loop.train import meta_train
from drml.loop.trainer import init_progress
from drml.loop.config import TrainConfig
from torch import nn

def show(name, tensors):
    digest = hashlib.blake2b()
    for value in tensors:
        digest.update(value.contiguous().numpy().tobytes())
    print(name, digest.hexdigest())

print("threads", torch.get_num_threads())
spec = suite("bandit-bernoulli-k5-n20-v1").spec
for kind in ("gru", "lstm", "mingru", "transformer", "none"):
    for size in (48, 64, 256):
        for head in ("linear", "hypernetwork"):
            entry, shape = LEARNERS["rl2"], MemoryConfig(kind, size, layers=2, head=head)
            learner = entry.make(spec, entry.make_policy(spec, shape, entry.default), entry.default)
            show(f"init {kind} {size} {head}", [v for _, v in tree_leaves(learner.init(Streams(0)["init"]).tree())])

RUNS = {
    "gru": ("bandit-bernoulli-k5-n20-v1", "rl2", MemoryConfig("gru", 64)),
    "lstm": ("bandit-bernoulli-k5-n20-v1", "rl2", MemoryConfig("lstm", 48, head="hypernetwork")),
    "transformer": ("bandit-bernoulli-k5-n20-v1", "rl2", MemoryConfig("transformer", 64)),
    "mingru": ("bandit-bernoulli-k5-n20-v1", "rl2", MemoryConfig("mingru", 64)),
    "maml": ("navigation-maml-v1", "maml", MLPConfig((100, 100))),
    "promp": ("navigation-maml-v1", "promp", MLPConfig((100, 100))),
}
for name, (family, learner, policy) in RUNS.items():
    size = TrainConfig(meta_iters=1, num_tasks=6, copies=20, validation_tasks=3)
    setup = set_up(RunConfig(family, learner, LEARNERS[learner].default, policy, size))
    trainer = make_trainer(setup, EnvOptions(), lambda: False)
    rows = []
    progress, _ = meta_train(trainer, init_progress(trainer), [lambda _, new: rows.extend(new)])
    show(name, [v for _, v in tree_leaves(progress.state.tree())])
    print([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    tasks = trainer.sampler.sample({}, trainer.distribution, "test", 4, Streams(1))
    tested = meta_test(trainer.learner, progress.state.shared, tasks, trainer.collect, Streams(2), 1)
    show(name + " tested", [tested.curve.returns, torch.tensor(tested.curve.mean())])
"""


def lines(threads: int) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.skipif(CORES < 2, reason="one core runs one thread")
def test_initial_weights_training_and_testing_have_the_same_bits_on_one_thread_and_on_two():
    (one_thread, *one), (two_threads, *two) = lines(1), lines(2)
    assert (one_thread, two_threads) == ("threads 1", "threads 2")
    assert len(one) == 30 + 3 * 6
    assert one == two
