"""`adapt_to` on the tasks of a test: the returns per task and step are those of `drml test`, whatever learns and where.

A matrix product's kernel depends on the batch, so the last bit of a number may depend on how many tasks are met beside
it. One task alone is the same to the bit; of those that are met together, float32 returns agree up to what rounding of
the parameters, 2⁻²⁴ relative, has grown to in an adaptation and an episode.
"""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import drml
from drml.gym.tested import tasks_under_test
from drml.run import measure

from .seeing import BOARDS, LIGHTS

COPIES, STEPS = 4, 2
ENCODER = drml.EncoderConfig(features=16)
SEEING = drml.MLPConfig((8,), encoder=ENCODER)
MEMORY = {
    "gru": drml.MemoryConfig(size=8),
    "lstm": drml.MemoryConfig("lstm", size=8),
    "mingru": drml.MemoryConfig("mingru", size=8),
    "transformer": drml.MemoryConfig("transformer", size=8, context=40),
    "hypernetwork": drml.MemoryConfig(size=8, head="hypernetwork"),
}
RUNS = {
    "maml": ("navigation-maml-v1", "maml", {}),
    "fomaml": ("navigation-maml-v1", "fomaml", {}),
    "promp": ("half-cheetah-vel-promp-v1", "promp", {}),
    "reptile": ("pendulum-varied-v1", "reptile", {}),
    "es_maml": ("navigation-maml-v1", "es_maml", {"learner_config": drml.ESMAMLConfig(queries=1)}),
    "maml-cartpole": ("cartpole-varied-v1", "maml", {}),
    "promp-boards": (BOARDS, "promp", {}),
    "maml-lights": (LIGHTS, "maml", {"policy": SEEING}),
    "rl2-lights": (LIGHTS, "rl2", {"policy": drml.MemoryConfig(size=8, sees_transitions=True, encoder=ENCODER)}),
    "promp-corners": ("navigation-promp-corners-v1", "promp", {}),
    "rl2-pendulum": ("pendulum-varied-v1", "rl2", {"policy": MEMORY["gru"]}),
    "rl2-cheetah": ("half-cheetah-vel-promp-v1", "rl2", {"policy": MEMORY["gru"]}),
    "rl2-grid": ("gridnavi-varibad-v1", "rl2", {"policy": MEMORY["gru"]}),
    **{f"rl2-{kind}": ("bandit-bernoulli-k5-n10-v1", "rl2", {"policy": MEMORY[kind]}) for kind in MEMORY},
}
LISTED = ("promp-corners",)  # families of a few tasks, each met in two rounds: four sessions at once
SIZES = {"meta_iters": 1, "num_tasks": 2, "copies": 2, "validate_every": 1, "validation_tasks": 2}


@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    suite, learner, options = RUNS[request.param]
    out = tmp_path_factory.mktemp("runs") / request.param
    return drml.train(suite, learner, out=out, verbose=False, seed=3, **options, **SIZES)


def tolerance(run):
    return 1e-4 if run.path.name in LISTED else 0.0


def expected(run, num_tasks=1):
    return [task["return_by_step"] for task in measure.test(run.path, STEPS, num_tasks, COPIES)["tasks"]]


def by_task(tasks, returns):
    rows = [
        np.mean([r for task, r in zip(tasks, returns, strict=True) if task.row == row], 0) for row in rows_of(tasks)
    ]
    return [row.tolist() for row in rows]


def rows_of(tasks):
    return sorted({task.row for task in tasks})


def curve_of(meta, task, steps=STEPS):
    agent, curve = meta.adapt_to(task.env, COPIES, steps, session=task.session, verbose=False)
    return agent, curve.returns.nanmean(-1).tolist()


def test_returns_by_task_and_step_are_those_of_drml_test(run):
    meta, tasks = drml.load(run.path), tasks_under_test(run.config.suite, 1, COPIES)
    found = by_task(tasks, [curve_of(meta, task)[1] for task in tasks])
    np.testing.assert_allclose(found, expected(run), rtol=tolerance(run), atol=0)


def test_an_agent_that_was_saved_half_way_goes_on_to_the_same_returns(run, tmp_path):
    meta = drml.load(run.path)
    found = []
    tasks = tasks_under_test(run.config.suite, 1, COPIES)
    for task in tasks:
        first, _ = meta.adapt_to(
            task.env, COPIES, 1, session=task.session, verbose=False, max_steps=3 * meta.learned.interface.horizon
        )
        first.save(tmp_path / "half-way")
        first = drml.load_agent(tmp_path / "half-way")
        rest = 0 if meta.learned.adapts_while_acting else 1  # a memory has adapted to its last episode by then
        agent, curve = first.adapt_to(task.env, COPIES, rest, verbose=False)
        assert agent.steps == (3,) if meta.learned.adapts_while_acting else (2,)
        found.append(curve.returns[-1].nanmean().tolist())
    np.testing.assert_allclose(by_task(tasks, found), [row[-1] for row in expected(run)], rtol=tolerance(run), atol=0)


FRESH = """
import json, sys, drml
from drml.gym.tested import tasks_under_test
run, suite, copies, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
task = tasks_under_test(suite, 1, copies)[0]
curve = drml.load(run).adapt_to(task.env, copies, steps, session=task.session)[1]
print(json.dumps(curve.returns.nanmean(-1).tolist()))
"""


def test_a_fresh_process_gives_the_same(run):
    if run.path.name not in ("maml", "promp", "reptile", "es_maml", "rl2-gru"):
        pytest.skip("one of a kind is enough")
    words = [sys.executable, "-c", FRESH, str(run.path), run.config.suite, str(COPIES), str(STEPS)]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == expected(run)[0]
    assert re.findall(r"^step (\d): 4 episodes, mean return ", said.stderr, re.MULTILINE) == ["0", "1", "2"]


@pytest.mark.parametrize("kind", ["maml", "rl2"])
def test_one_copy_agrees_with_many_within_the_intervals(kind, tmp_path):
    """One episode after the other has other noise than side by side, so means differ: by less than four standard
    errors of their difference at each of 2 points, which chance exceeds once in 8,000."""
    suite, options = ("gridnavi-varibad-v1", {"policy": MEMORY["gru"]} if kind == "rl2" else {})
    run = drml.train(suite, kind, out=tmp_path / kind, verbose=False, seed=3, **options, **SIZES)
    meta, task = drml.load(run.path), tasks_under_test(suite, 1, 60)[0]
    single = tasks_under_test(suite, 1, 1)[0].env
    side = meta.adapt_to(task.env, 60, 1, verbose=False)[1].returns.numpy()
    one_by_one = meta.adapt_to(single, 60, 1, verbose=False)[1].returns.numpy()
    assert side.shape == one_by_one.shape == (2, 60)
    error = np.sqrt((side.var(1, ddof=1) + one_by_one.var(1, ddof=1)) / 60)
    assert (np.abs(side.mean(1) - one_by_one.mean(1)) <= 4.0 * error + 1e-9).all()
