"""What our suites call a success: random play, held against the rewards that mean the same; and who says nothing."""

import pytest
import torch

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.registry import SUITES
from drml.tasks.samplers.uniform import UniformSampler

# By suite, the rewards that come with a success and with nothing else (see the definitions in the gallery).
PAYS = {
    "gridnavi-varibad-v1": lambda step: step.reward == 1.0,
    "dark-room-dpt-v1": lambda step: step.reward == 1.0,
    "dark-room-ad-v1": lambda step: step.reward == 1.0,
    "meta-frozen-lake-4x4-v1": lambda step: step.reward == 1.0,
    "object-memory-n3-l5-v1": lambda step: step.reward == 1.0,
    "tmaze-passive-v1": lambda step: step.reward == 1.0,
    "rule-world-trivial-v1": lambda step: step.reward == 1.0,
    "dark-key-to-door-v1": lambda step: step.terminated,
    "navigation-pearl-sparse-v1": lambda step: step.reward > 0.0,
}


@pytest.mark.parametrize("name", PAYS)
def test_a_success_is_what_pays(name):
    suite, rng = SUITES[name], Streams(1)
    tasks = UniformSampler().sample({}, suite.tasks, "train", 20, rng["tasks"])
    env = suite.make(EnvOptions())
    env.reset(tasks, 10, rng["env"])
    steps = [env.step(action) for action in actions(suite, rng, 20, 10, max(60, suite.spec.horizon))]
    assert all(torch.equal(step.success, PAYS[name](step)) for step in steps)
    if name != "tmaze-passive-v1":  # random walks do not get there
        assert any(step.success.any() for step in steps)


def actions(suite, rng, tasks, copies, steps):
    if suite.spec.action.kind == "discrete":
        return [
            torch.from_numpy(rng["action", t].generator().integers(suite.spec.action.size, size=(tasks, copies)))
            for t in range(steps)
        ]
    drift = rng["drift"].normal((tasks, copies, suite.spec.action.size))
    return [drift + 0.1 * rng["action", t].normal(drift.shape) for t in range(steps)]


def test_the_right_arm_is_a_success_at_the_last_step_alone():
    suite = SUITES["tmaze-passive-v1"]
    env = suite.make(EnvOptions())
    obs = env.reset(Tasks({"meaning": torch.tensor([1.0])}, torch.tensor([0])), 8, Streams(0))
    up = obs[0, :, 1] > 0
    assert up.any() and not up.all()
    steps = [env.step(torch.full((1, 8), action)) for action in [0] * 10 + [1]]  # right, and up at the end
    assert not any(step.success.any() for step in steps[:-1])
    assert torch.equal(steps[-1].success[0], up) and torch.equal(steps[-1].reward[0] == 1.0, up)


@pytest.mark.parametrize("name", SUITES)
def test_a_definition_says_what_a_success_is_where_one_is_told_and_only_there(name):
    suite, rng = SUITES[name], Streams(1)
    try:
        env = suite.make(EnvOptions(threads=1))
    except Exception as error:  # an extra that is not installed
        pytest.skip(str(error))
    tasks = UniformSampler().sample({}, suite.tasks, "train", 1, rng["tasks"])
    env.reset(tasks, 2, rng["env"])
    step = env.step(actions(suite, rng, 1, 2, 1)[0])
    assert (step.success is not None) == ("success" in suite.definition)
    assert step.success is None or (step.success.dtype, step.success.shape) == (torch.bool, step.reward.shape)
