"""The learner seam, by learners that use all of it: the one of CONTRIBUTING.md, and one that keeps everything."""

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from drml import session
from drml.algos.api import LearnerState
from drml.algos.registry import LEARNERS, LearnerEntry
from drml.cli.main import main
from drml.core.rng import Streams
from drml.core.segments import grown_by
from drml.core.tree import stack_shared, tree_leaves
from drml.core.types import Agent
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.loop.evaluate import meta_test
from drml.loop.train import meta_train
from drml.loop.trainer import init_progress
from drml.policies.mlp import MLPConfig
from drml.run.log import read_rows
from drml.run.session import make_trainer
from drml.run.setup import set_up
from drml.tasks.samplers.registry import SamplerConfig
from drml.tasks.samplers.uniform import UniformSampler

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
SMALL = TrainConfig(meta_iters=3, num_tasks=5, copies=2, validate_every=2, validation_tasks=3, checkpoint_every=1)
OPTIONS = EnvOptions(threads=1)


def config_of(learner, **changes):
    entry = LEARNERS[learner]
    config = session.RunConfig("navigation-maml-v1", learner, entry.default, MLPConfig(hidden=(4,)), SMALL, seed=1)
    return replace(config, **changes)


@pytest.fixture
def search(monkeypatch):
    """A stranger's learner: the page's file, and its line in the registry."""
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (line,) = re.findall(r'`"search": (LearnerEntry\(.*?\))`', text, re.DOTALL)
    module = type(sys)("search")
    monkeypatch.setitem(sys.modules, "search", module)
    vars(module)["__name__"] = "search"
    exec(compile(code, str(PAGE), "exec"), vars(module))
    entry = eval(line, {"LearnerEntry": LearnerEntry, **vars(module)})
    monkeypatch.setitem(LEARNERS, "search", entry)
    return module


def test_the_learner_of_the_page_is_trained_stopped_resumed_tested_and_reported_on(search, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    sizes = "--num-tasks 5 --copies 2 --validation-tasks 2 --meta-iters 2"
    words = f"{sizes} --threads 1 --learner.sigma 0.2 --out run".split()
    assert main(["train", "navigation-maml-v1", "search", *words]) == 0
    assert main(["train", "--resume", "run", "--meta-iters", "4", "--threads", "1"]) == 0
    assert main(["test", "run", "--adapt-steps", "1", "--tasks", "2", "--threads", "1"]) == 0
    assert main(["report", "run"]) == 0
    rows = [row for row in read_rows(Path("run")) if row["kind"] == "train"]
    assert [row["meta_iter"] for row in rows] == [1, 2, 3, 4]
    assert all(isinstance(row["earned"], float) for row in rows)  # one per task, logged as the mean


def test_the_learner_of_the_page_moves_to_what_earned_most(search):
    trainer = make_trainer(set_up(config_of("search")), OPTIONS, bool)
    learner, state = trainer.learner, init_progress(trainer).state
    tasks = trainer.sampler.sample({}, trainer.distribution, "train", 5, Streams(0))
    met = trainer.play(learner, state, tasks, trainer.collect, Streams(1))
    after, metrics = learner.update(state, met.episode, Streams(2))
    earned = [float(met.history[0].reward[k].sum()) for k in range(5)]
    assert metrics["earned"].tolist() == pytest.approx(earned)
    best = earned.index(max(earned))
    for name, value in after.shared.items():
        assert torch.equal(value, met.episode.agents[0].params[name][best])
        assert not torch.equal(value, state.shared[name])


@dataclass(frozen=True)
class KeeperConfig:
    max_bytes: int = 10**6


class Keeper:
    """Uses every part of the seam, and changes nothing that cannot be told from the numbers."""

    adapts_on = "steps"

    def __init__(self, spec, policy, config):
        self.policy, self.config, self.adapt_steps = policy, config, 2

    def init(self, rng):
        return LearnerState({**self.policy.init(rng), "scale": torch.ones(2)}, {"count": torch.zeros(())})

    def _policy_params(self, shared):
        return {name: value for name, value in shared.items() if name != "scale"}

    def prior(self, shared, tasks, copies, rng):
        return Agent(self._policy_params(shared), memo={"steps": torch.zeros(len(tasks), copies)})

    def propose(self, state, tasks, copies, rng):
        agent = self.prior(state.shared, tasks, copies, rng)
        return replace(agent, params=dict(stack_shared(agent.params, len(tasks))), stacked=True)

    def adapt(self, agent, rollout, adapt_step, rng):
        assert agent.memo["steps"].shape[0] == len(rollout.reward)  # the memo loses the tasks that are lost
        noise = float(rng.generator().random())
        return replace(agent, memo={"steps": agent.memo["steps"] + 1.0 + 0.0 * noise})

    def update(self, state, episode, rng):
        ids, last = episode.tasks.ids, episode.agents[-1]
        assert [float(a.memo["steps"].max()) for a in episode.agents] == [0.0, 1.0, 2.0]
        assert len(episode.history) == 3 and len(last.memo["steps"]) == len(ids)
        grown = grown_by(
            state.grown, {"ids": ids, "draw": torch.tensor(rng.generator().random())}, self.config.max_bytes
        )
        count = state.training["count"] + 1.0
        shared = {**state.shared, "scale": state.shared["scale"] * 0.5}
        return LearnerState(shared, {"count": count}, grown), {"ids": ids.float(), "one": 1.0}


@pytest.fixture
def keeper(monkeypatch):
    monkeypatch.setitem(LEARNERS, "keeper", LearnerEntry("keeps everything", KeeperConfig, KeeperConfig(), Keeper))


def everything(progress):
    grown = {f"{s.number}/{path}": value for s in progress.state.grown for path, value in tree_leaves(s.tree)}
    return {name: value.tolist() for name, value in {**dict(tree_leaves(progress.tree())), **grown}.items()}


def test_all_state_survives_a_stop_to_the_bit(keeper, tmp_path):
    config = config_of("keeper", sampler=SamplerConfig("pool", pool_size=8))
    whole, _ = session.start(config, tmp_path / "whole", options=OPTIONS)
    done = []
    session.start(config, tmp_path / "parts", [lambda *_: done.append(1)], OPTIONS, stop_requested=lambda: bool(done))
    assert len(done) == 1
    parts, _ = session.resume(tmp_path / "parts", options=OPTIONS)
    assert [segment.number for segment in whole.state.grown] == [0, 1, 2]
    assert everything(parts) == everything(whole)
    loaded = session.load(tmp_path / "parts").progress
    assert everything(loaded) == everything(whole)
    assert loaded.best_shared["scale"].tolist() == whole.best_shared["scale"].tolist() != [1.0, 1.0]  # kept whole


def test_what_grows_is_bounded_and_what_is_in_it_is_of_tasks_whose_ids_stay(keeper, tmp_path):
    config = config_of(
        "keeper", learner_config=KeeperConfig(2 * (5 * 8 + 4)), sampler=SamplerConfig("pool", pool_size=8)
    )
    progress, _ = session.start(config, tmp_path / "run", options=OPTIONS)
    assert [segment.number for segment in progress.state.grown] == [1, 2]
    for segment in progress.state.grown:
        assert set(segment.tree["ids"].tolist()) < set(range(8))


def test_the_sampler_hears_the_score_of_each_task(keeper):
    heard = []

    class Listening(UniformSampler):
        def observe(self, state, tasks, scores):
            heard.append((tasks.ids, scores))
            return state

    trainer = replace(make_trainer(set_up(config_of("keeper")), OPTIONS, bool), sampler=Listening())
    rows = []
    meta_train(trainer, init_progress(trainer), [lambda _, new: rows.append(new[0])])
    for (ids, scores), row in zip(heard, rows, strict=True):
        assert scores.keys() == {"pre_return", "post_return", "ids"}
        assert torch.equal(scores["ids"], ids.float())
        assert row["ids"] == float(ids.float().mean()) and row["one"] == 1.0
        for name in ("pre_return", "post_return"):
            assert scores[name].shape == (5,) and row[name] == pytest.approx(float(scores[name].mean()), rel=1e-6)


def test_meta_testing_begins_with_the_prior_and_training_with_what_is_proposed(keeper, monkeypatch):
    trainer = make_trainer(set_up(config_of("keeper")), OPTIONS, bool)
    progress, called = init_progress(trainer), []
    for name in ("prior", "propose"):
        verb = getattr(trainer.learner, name)
        monkeypatch.setattr(Keeper, name, lambda self, *a, name=name, verb=verb: called.append(name) or verb(*a))
    tasks = UniformSampler().sample({}, trainer.distribution, "test", 2, Streams(0))
    meta_test(trainer.learner, progress.state.shared, tasks, trainer.collect, Streams(0), 2)
    assert called == ["prior"]
    called.clear()
    meta_train(replace(trainer, config=replace(trainer.config, meta_iters=1, validate_every=10)), progress, [])
    assert called[:2] == ["propose", "prior"]  # the proposal builds on the prior here; then validation


def test_agents_are_selected_by_what_they_say_of_themselves():
    rows = torch.tensor([2, 0])
    shared = Agent({"w": torch.arange(3.0)}, {"h": torch.arange(6.0).view(3, 2)}, {"m": torch.arange(3.0)})
    chosen = shared.select(rows)
    assert chosen.params["w"].tolist() == [0.0, 1.0, 2.0]  # of three weights, not of three tasks
    assert chosen.carry["h"].tolist() == [[4.0, 5.0], [0.0, 1.0]] and chosen.memo["m"].tolist() == [2.0, 0.0]
    assert replace(shared, stacked=True).select(rows).params["w"].tolist() == [2.0, 0.0]
