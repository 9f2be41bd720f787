"""Runs: the same seed gives the same bits, however often a run is stopped, resumed, tested or reported on."""

import json
from dataclasses import replace

import pytest
import torch

from drml.algos.gradient.maml import MAMLConfig
from drml.algos.gradient.promp import ProMPConfig
from drml.algos.memory.rl2 import RL2Config
from drml.core.errors import CheckpointError, EnvError, InputError, ResourceError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import tree_leaves
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.loop.evaluate import meta_test
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.run import session
from drml.run.log import read_rows
from drml.tasks.samplers.tested import tasks_to_test

TRAIN = TrainConfig(meta_iters=4, num_tasks=4, copies=4, validate_every=2, validation_tasks=4, checkpoint_every=1)
LEARNERS = {"maml": MAMLConfig(), "fomaml": MAMLConfig(order=1), "promp": ProMPConfig()}


def config_of(learner="promp", suite="navigation-maml-v1", seed=3, **train):
    return session.RunConfig(suite, learner, LEARNERS[learner], MLPConfig(hidden=(8,)), replace(TRAIN, **train), seed)


def bits(progress):
    tree = {"state": progress.state.tree(), "best": dict(progress.best_shared)}
    return {path: value.numpy().tobytes() for path, value in tree_leaves(tree)}


def numbers(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("seconds", "crc32")} for row in rows]


@pytest.mark.parametrize("learner", LEARNERS)
def test_train_four_equals_train_two_save_load_train_two(tmp_path, learner):
    whole, reason = session.start(config_of(learner), tmp_path / "whole")
    assert reason == "budget"
    session.start(config_of(learner, meta_iters=2), tmp_path / "parts")
    session.test(tmp_path / "parts", adapt_steps=2, num_tasks=4, copies=4)  # looking must not change anything
    parts, _ = session.resume(tmp_path / "parts", train=replace(TRAIN, meta_iters=4))
    assert bits(whole) == bits(parts)
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "parts")
    assert whole.best_meta_iter == parts.best_meta_iter


def test_one_seed_one_result_and_two_seeds_two(tmp_path):
    first, _ = session.start(config_of(), tmp_path / "a")
    second, _ = session.start(config_of(), tmp_path / "b")
    other, _ = session.start(config_of(seed=4), tmp_path / "c")
    assert bits(first) == bits(second)
    assert bits(first) != bits(other)


def test_global_generators_are_neither_read_nor_moved(tmp_path):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, _ = session.start(config_of(), tmp_path / "a")
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    second, _ = session.start(config_of(), tmp_path / "b")
    assert bits(first) == bits(second)


class _StopAt:
    """A request to stop that comes with the n-th question for it."""

    def __init__(self, at=0):
        self.at, self.asked = at, 0

    def __call__(self):
        self.asked += 1
        return 0 < self.at <= self.asked


def test_a_run_that_is_interrupted_anywhere_goes_on_to_the_same_bits(tmp_path):
    never, config = _StopAt(), config_of(checkpoint_every=100)
    whole, _ = session.start(config, tmp_path / "whole", stop_requested=never)
    per_iter = never.asked // 4
    assert per_iter > 200  # before each of 100 steps of two phases
    reached = []
    for at in (1, 2, per_iter - 1, per_iter + 2, 2 * per_iter, never.asked - 1, never.asked):
        run, stop = tmp_path / str(at), _StopAt(at)
        half, reason = session.start(config, run, stop_requested=stop)
        assert (reason, stop.asked) == ("interrupted", at)  # at once: nothing is done after the request
        reached.append(half.meta_iter)
        resumed, reason = session.resume(run)
        assert (reason, resumed.meta_iter) == ("budget", 4)
        assert bits(whole) == bits(resumed)
        logs = [read_rows(path) for path in (tmp_path / "whole", run)]
        assert [log[-1]["meta_iter"] for log in logs] == [4, 4] and len({len(log) for log in logs}) == 1
    assert reached == sorted(reached) and reached[0] == 0 and reached[-1] in (3, 4)


def test_a_test_is_a_function_of_the_run_and_its_seed(tmp_path):
    session.start(config_of(), tmp_path / "run")
    first = session.test(tmp_path / "run", adapt_steps=3, num_tasks=6, copies=4)
    again = session.test(tmp_path / "run", adapt_steps=3, num_tasks=6, copies=4)
    assert first == again
    assert json.loads((tmp_path / "run" / "test.json").read_text()) == first
    assert first != session.test(tmp_path / "run", adapt_steps=3, num_tasks=6, copies=4, seed=1)
    assert [point["step"] for point in first["return_by_step"]] == [0, 1, 2, 3]  # more steps than in training
    assert (first["adapt_steps"], first["trained_adapt_steps"]) == (3, 1)
    assert len(first["tasks"]) == 6
    for point in first["return_by_step"]:
        assert (point["over"], point["count"]) == ("tasks", 6) and point["mean_half_width_95"] > 0.0
        per_task = [task["return_by_step"][point["step"]] for task in first["tasks"]]
        assert point["mean"] == pytest.approx(sum(per_task) / 6, rel=1e-5)  # float32 mean of six


def test_a_family_without_held_out_tasks_is_tested_on_all_of_them(tmp_path):
    session.start(config_of(suite="probe-goal-flip-v1"), tmp_path / "run")
    result = session.test(tmp_path / "run", num_tasks=40, copies=4)
    assert result["held_out"] is False
    assert len(result["tasks"]) == 2
    assert {(point["over"], point["count"]) for point in result["return_by_step"]} == {("episodes", 2)}


def test_a_family_that_is_tested_whole_is_met_in_rounds(tmp_path):
    session.start(config_of(suite="probe-goal-flip-v1"), tmp_path / "run")
    for num_tasks, rounds in ((1, 2), (5, 2), (12, 6)):
        result = session.test(tmp_path / "run", 1, num_tasks, copies=2)
        assert result["rounds"] == rounds and len(result["tasks"]) == 2
        for point in result["return_by_step"]:
            per_task = [task["return_by_step"][point["step"]] for task in result["tasks"]]
            assert point["mean"] == pytest.approx(sum(per_task) / 2, rel=1e-5)


@pytest.mark.slow
def test_an_interval_over_episodes_is_as_wide_as_tests_differ(tmp_path):
    # A large step makes of each adaptation another policy, which all episodes after it share. Of 120 intervals 95 %
    # hold the mean of all tests, with a standard error of 2 %; intervals half as wide would hold 65 %.
    config = config_of("maml", "probe-goal-flip-v1")
    steps = replace(config.learner_config, inner=replace(config.learner_config.inner, lr=1.0))
    session.start(replace(config, learner_config=steps), tmp_path / "run")
    tests = [session.test(tmp_path / "run", 1, num_tasks=12, copies=4, seed=seed) for seed in range(120)]
    for points in ([test["return_by_step"][1] for test in tests], [test["gain"] for test in tests]):
        mean = sum(point["mean"] for point in points) / len(points)
        assert sum(abs(point["mean"] - mean) <= point["mean_half_width_95"] for point in points) >= 0.88 * len(points)


def test_config_survives_json(tmp_path):
    config = config_of("fomaml")
    session.start(config, tmp_path / "run")
    assert session.read_config(tmp_path / "run") == config


def test_a_damaged_last_checkpoint_is_made_again(tmp_path):
    run = tmp_path / "run"
    whole, _ = session.start(config_of(checkpoint_every=3), run)  # at 3, and at the end: 4
    state = run / "checkpoints/000004/state.safetensors"
    sound = state.read_bytes()
    state.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    again, _ = session.resume(run)
    assert bits(again) == bits(whole)
    assert state.read_bytes() == sound


def test_only_the_stop_rules_of_a_run_may_change(tmp_path):
    run = tmp_path / "run"
    session.start(config_of(meta_iters=1), run)
    with pytest.raises(InputError, match="num_tasks cannot change within a run"):
        session.resume(run, train=replace(TRAIN, num_tasks=5))
    assert session.read_config(run) == config_of(meta_iters=1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": 1.5}, r"config\.seed is 1\.5, expected int"),
        ({"learner_config": MAMLConfig()}, r"config\.learner_config: unknown key"),
        ({"learner_config": None}, r"config\.learner_config is None, expected an object"),
        ({"policy": MLPConfig(hidden=(4.5,))}, r"config\.policy\.hidden is 4\.5, expected int"),
        ({"policy": MLPConfig(activation="gelu")}, r"config\.policy\.activation is 'gelu', expected 'tanh' or 'relu'"),
        ({"train": TrainConfig(meta_iters=1.5)}, r"config\.train\.meta_iters is 1\.5, expected int"),
        ({"train": TrainConfig(max_seconds=float("inf"))}, r"config\.train\.max_seconds is inf, must be a finite"),
    ],
)
def test_a_configuration_of_wrong_types_is_refused_before_anything_is_written(tmp_path, change, text):
    with pytest.raises(InputError, match=text):
        session.start(replace(config_of("promp"), **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_written_to_is_refused_before_it_is_tested(tmp_path, monkeypatch):
    session.start(config_of(meta_iters=1), tmp_path / "run")
    monkeypatch.setattr("drml.run.measure.os.access", lambda path, mode: False)
    monkeypatch.setattr("drml.run.measure.meta_test", None)
    with pytest.raises(ResourceError, match="cannot be written to, and the result goes there"):
        session.test(tmp_path / "run")


@pytest.mark.parametrize("error", [EnvError, InputError])
def test_a_run_that_its_environment_ends_is_saved_and_goes_on_to_the_same_bits(tmp_path, error):
    def fail(progress, _):
        if progress.meta_iter == 2:
            raise error("the environment is gone")

    config = config_of(checkpoint_every=10)
    with pytest.raises(error):
        session.start(config, tmp_path / "a", [fail])
    assert session.load(tmp_path / "a").progress.meta_iter == 2
    whole, _ = session.start(config, tmp_path / "b")
    assert bits(session.resume(tmp_path / "a")[0]) == bits(whole)


def test_a_run_whose_tasks_have_changed_is_refused(tmp_path):
    session.start(config_of(meta_iters=1), tmp_path / "a")
    path = tmp_path / "a" / "config.json"
    written = json.loads(path.read_text())
    name = next(name for name in written["tasks"] if name.startswith("parameter "))
    for edited in (
        {**written["tasks"], name: "Uniform(0, 1) of shape [2]"},
        {**written["tasks"], "parameter gone": "Uniform(0, 1) of shape []"},
        {key: value for key, value in written["tasks"].items() if key != name},
    ):
        path.write_text(json.dumps(written | {"tasks": edited}))
        for go_on in (session.resume, session.test):
            with pytest.raises(InputError, match=r"its tasks have changed since it was started, parameter \w+ was "):
                go_on(tmp_path / "a")
    path.write_text(json.dumps({key: value for key, value in written.items() if key != "tasks"}))  # an older run
    session.resume(tmp_path / "a", train=replace(TRAIN, meta_iters=2))
    assert json.loads(path.read_text())["tasks"] == written["tasks"]


def test_refusals(tmp_path):
    run = tmp_path / "run"
    session.start(config_of(), run)
    with pytest.raises(InputError, match="already holds a run"):
        session.start(config_of(), run)
    with pytest.raises(InputError, match="not a run directory"):
        session.load(tmp_path)
    stored = json.loads((run / "config.json").read_text())
    for change, error, text in (
        ({"suite": "navigation-maml-v2"}, InputError, "Did you mean 'navigation-maml-v1'"),
        ({"learner": "mamel"}, InputError, "Did you mean 'maml'"),
        ({"policy": {"hiden": [8]}}, InputError, "Did you mean 'hidden'"),
        ({"train": {"meta_iters": "many"}}, InputError, "meta_iters is 'many', expected int"),
        ({"suite": "navigation-pearl-sparse-v1"}, CheckpointError, "belongs to suite 'navigation-maml-v1'"),
        ({"policy": {"hidden": [16]}}, CheckpointError, "layer0"),
    ):
        (run / "config.json").write_text(json.dumps(stored | change))
        with pytest.raises(error, match=text):
            session.load(run)


def test_a_transformer_is_tested_on_trials_longer_than_those_of_training(tmp_path):
    """With a context of 20 steps and trials of 2 x 10: the weights are those of one with room for 40, to the bit."""
    run = tmp_path / "run"
    shape = MemoryConfig("transformer", size=8, heads=2, context=20)
    config = session.RunConfig("bandit-bernoulli-k5-n10-v1", "rl2", RL2Config(), shape, replace(TRAIN, meta_iters=1), 0)
    session.start(config, run)
    with pytest.raises(InputError, match="step 21, but the transformer's context is 20; make it with the longest"):
        trained = session.load(run)
        tasks, _ = tasks_to_test(trained.setup.suite.tasks, "test", 2, Streams(0))
        collect = trained.setup.collector(2, EnvOptions(), Phases())
        meta_test(trained.setup.learner, trained.best, tasks, collect, Streams(0), 2)
    curve = [point["mean"] for point in session.test(run, num_tasks=4, copies=3)["return_by_step"]]
    assert len(curve) == 4  # as many points as `drml test` asks for by itself
    short = session.test(run, adapt_steps=1, num_tasks=4, copies=3)
    assert [point["mean"] for point in short["return_by_step"]] == curve[:2]  # room changes nothing
    text = json.loads((run / "config.json").read_text())
    text["policy"]["context"] = 40
    (run / "config.json").write_text(json.dumps(text))
    roomy = session.test(run, num_tasks=4, copies=3)
    assert [point["mean"] for point in roomy["return_by_step"]] == curve
    assert session.read_config(run).policy == replace(shape, context=40)


def test_what_a_test_took_stands_in_its_result(tmp_path):
    session.start(config_of(), tmp_path / "run")
    result = session.test(tmp_path / "run", adapt_steps=2, num_tasks=3, copies=4)
    assert result["adapts_on"] == "steps"
    assert [point["episodes"] for point in result["return_by_step"]] == [0.0, 4.0, 8.0]  # none ends early there
    assert [point["env_steps"] for point in result["return_by_step"]] == [0.0, 400.0, 800.0]
    train, validation = (row for row in numbers(tmp_path / "run")[-2:])
    assert (train["adapt_episodes"], train["adapt_env_steps"]) == (4.0, 400.0)
    assert (validation["episodes_by_step"], validation["env_steps_by_step"]) == ([0.0, 4.0], [0.0, 400.0])
