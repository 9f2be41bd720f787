"""What acts in the user's own loop is what `drml test` has tested: the same returns per task and step, to the bit."""

import numpy as np
import pytest
import torch

import drml
from drml.act.loading import load
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.run import measure
from drml.spaces.interface import as_shown
from drml.suites.registry import suite
from drml.tasks.samplers.tested import tasks_to_test

from .seeing import BOARDS

COPIES, STEPS = 4, 2
RUNS = {
    "maml": ("navigation-maml-v1", {}),
    "fomaml": ("navigation-maml-v1", {}),
    "promp": ("half-cheetah-dir-promp-v1", {}),
    "maml-normalised": ("navigation-maml-v1", {"normalise": drml.NormaliseConfig(observations=True)}),
    "reptile": ("navigation-maml-v1", {}),
    "es_maml": ("navigation-maml-v1", {}),
    "promp-seeing": (BOARDS, {}),
    "rl2-seeing": (BOARDS, {"policy": drml.MemoryConfig(size=8, sees_transitions=True)}),
    "rl2": ("gridnavi-varibad-v1", {"policy": drml.MemoryConfig(size=8)}),
    "rl2-normalised": (
        "gridnavi-varibad-v1",
        {"policy": drml.MemoryConfig(size=8), "normalise": drml.NormaliseConfig(observations=True)},
    ),
    "rl2-transformer": ("bandit-bernoulli-k5-n10-v1", {"policy": drml.MemoryConfig("transformer", size=8, context=40)}),
}


@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    name, options = RUNS[request.param]
    out = tmp_path_factory.mktemp("runs") / request.param
    learner = request.param.split("-")[0]
    sizes = {"meta_iters": 1, "num_tasks": 2, "copies": 2, "validate_every": 1, "validation_tasks": 2}
    if learner == "es_maml":
        options = {"learner_config": drml.ESMAMLConfig(queries=1)}
    return drml.train(name, learner, out=out, verbose=False, seed=3, **options, **sizes)


def in_own_loop(run, num_tasks):
    """Return the returns `[K, S + 1]` of test tasks, met observation by observation."""
    family = suite(run.config.suite)
    rng = Streams(0)["test", "test"]
    tasks, is_whole = tasks_to_test(family.tasks, "test", num_tasks, rng["tasks"])
    tasks = tasks.repeated(max(2, num_tasks // len(tasks))) if is_whole else tasks
    agent = load(run.path).start(COPIES, sessions=tasks.ids.tolist(), max_steps=(STEPS + 1) * family.spec.horizon)
    env = family.make(EnvOptions(one_episode=agent.learned.learner.adapts_on == "episodes"))
    returns = np.zeros((len(tasks), STEPS + 1, COPIES))
    for phase in range(STEPS + 1):
        obs = env.reset(Tasks(tasks.params, tasks.ids), COPIES, rng["collect", phase]["env"])
        running = torch.ones(len(tasks), COPIES, dtype=torch.bool)
        for t in range(family.spec.horizon):
            action = torch.from_numpy(np.asarray(agent.act(as_shown(family.spec, obs.numpy()))))
            step = env.step(action)
            truncated = step.truncated.numpy() | (t == family.spec.horizon - 1)  # the environment is reset after that
            final_obs = as_shown(family.spec, step.final_obs.numpy())
            agent.observe(step.reward.numpy(), step.terminated.numpy(), truncated, final_obs)
            returns[:, phase] += (step.reward * running).numpy()
            running &= ~(step.terminated | step.truncated)
            obs = step.obs
        agent.adapt()
    means = returns.mean(-1).tolist()
    if not is_whole:
        return means
    rounds = 2
    return [np.mean(means[k : k + rounds], 0).tolist() for k in range(0, len(means), rounds)]


def test_returns_by_task_and_step_are_those_of_drml_test(run):
    tested = measure.test(run.path, STEPS, 2, COPIES)
    expected = [task["return_by_step"] for task in tested["tasks"]]
    np.testing.assert_allclose(in_own_loop(run, 2), expected, rtol=0, atol=0)
