"""Meta-training: stop rules, validation, and learning on probes whose optimum is known."""

from dataclasses import replace

import pytest
import torch

from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.collect.collector import Collector
from drml.core.errors import EnvError, InputError, NumericError
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent, MetaEpisode
from drml.envs.api import EnvOptions
from drml.learning.adapt import InnerConfig
from drml.loop.config import TrainConfig
from drml.loop.evaluate import meta_test
from drml.loop.meet import Meeting
from drml.loop.progress import Progress, stop_reason
from drml.loop.train import MAX_UNSOUND_SHARE, advance, meta_train
from drml.loop.trainer import Trainer, init_progress
from drml.loop.validate import validate
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.suites.registry import suite
from drml.tasks.samplers.pool import PoolSampler
from drml.tasks.samplers.stratified import StratifiedSampler
from drml.tasks.samplers.uniform import UniformSampler

RNG = Streams(0)


def make_trainer(name="probe-goal-flip-v1", seed=0, config=None, **maml):
    chosen = suite(name)
    policy = mlp_policy(chosen.spec, MLPConfig(hidden=(8,)))
    learner = MAML(chosen.spec, policy, MAMLConfig(**maml))
    config = config or TrainConfig(meta_iters=2, num_tasks=2, copies=4, validate_every=1, validation_tasks=2)
    collect = Collector(chosen.make(EnvOptions()), chosen.spec.horizon, config.copies, Phases())
    return Trainer(learner, chosen.tasks, StratifiedSampler(), collect, config, Streams(seed))


def test_each_stop_rule_names_itself():
    config = make_trainer().config
    progress = replace(init_progress(make_trainer()), meta_iter=1, env_steps=100, seconds=5.0, validations_since_best=3)
    assert stop_reason(config, progress) == ""
    assert stop_reason(replace(config, meta_iters=1), progress) == "budget"
    assert stop_reason(replace(config, max_env_steps=100), progress) == "budget"
    assert stop_reason(replace(config, max_env_steps=101), progress) == ""
    assert stop_reason(replace(config, patience=3), progress) == "converged"
    assert stop_reason(replace(config, patience=4), progress) == ""
    assert stop_reason(replace(config, max_seconds=5.0), progress) == "time"
    assert stop_reason(replace(config, max_seconds=5.1), progress) == ""
    trainer = replace(make_trainer(), stop_requested=lambda: True)
    assert meta_train(trainer, init_progress(trainer), [])[1] == "interrupted"


def test_whatever_ends_a_training_the_last_policy_is_validated():
    config = TrainConfig(num_tasks=2, copies=4, validate_every=100, validation_tasks=2, max_env_steps=1)
    trainer = make_trainer(config=config)
    rows = []
    progress, reason = meta_train(trainer, init_progress(trainer), [lambda _, new: rows.extend(new)])
    assert (reason, progress.best_meta_iter) == ("budget", 1)
    assert [row["kind"] for row in rows] == ["train", "validation"]


def test_counts_of_one_meta_iteration():
    trainer = make_trainer(config=TrainConfig(meta_iters=1, num_tasks=3, copies=4, validation_tasks=2))
    rows = []
    progress, reason = meta_train(trainer, init_progress(trainer), [lambda _, new: rows.extend(new)])
    horizon = suite("probe-goal-flip-v1").spec.horizon
    assert (reason, progress.meta_iter) == ("budget", 1)
    assert (
        progress.env_steps == 2 * 3 * horizon * 4
    )  # two phases, K tasks, T steps, B copies; validation is not counted
    assert [row["kind"] for row in rows] == ["train", "validation"]  # the last iteration is always validated
    assert rows[0]["env_steps"] == progress.env_steps


def test_validation_keeps_the_best_parameters_and_counts_patience():
    trainer = make_trainer()
    start = init_progress(trainer)
    first, row = validate(trainer, start)
    assert row["is_best"] and first.best_return == row["return_by_step"][-1] and first.validations_since_best == 0
    again, row = validate(trainer, replace(first, best_return=first.best_return + 1.0, meta_iter=7))
    assert not row["is_best"] and again.validations_since_best == 1 and again.best_meta_iter == first.best_meta_iter
    same, _ = validate(trainer, first)  # an equal return is no improvement
    assert same.validations_since_best == 1


@pytest.mark.parametrize("sampler", [StratifiedSampler(), UniformSampler(), PoolSampler(30)])
def test_validation_meets_the_same_tasks_of_its_split_whatever_samples_training(sampler, monkeypatch):
    trainer = make_trainer("navigation-maml-v1", config=TrainConfig(meta_iters=1, copies=1, validation_tasks=8))
    met = []

    def spy(learner, shared, tasks, *rest, **how):
        met.append(tasks)
        return meta_test(learner, shared, tasks, *rest, **how)

    monkeypatch.setattr("drml.loop.validate.meta_test", spy)
    trainer = replace(trainer, sampler=sampler)
    meta_train(trainer, init_progress(trainer), [])
    (tasks,) = met
    expected = StratifiedSampler().sample({}, trainer.distribution, "validation", 8, Streams(0)["validation"]["tasks"])
    assert torch.equal(tasks.params["goal"], expected.params["goal"]) and torch.equal(tasks.ids, expected.ids)


def test_too_many_unsound_episodes_stop_the_run():
    trainer = make_trainer()
    progress = init_progress(trainer)
    tasks = trainer.sampler.sample({}, trainer.distribution, "train", 2, RNG)
    agent = Agent(progress.state.shared)
    rollout = trainer.collect(trainer.learner.policy, agent, tasks, RNG)
    one_task_lost = rollout.valid.clone()
    one_task_lost[0] = False  # half of all steps: more than the allowed share
    assert float((~one_task_lost).float().mean()) > MAX_UNSOUND_SHARE
    episode = MetaEpisode(tasks, [agent], [replace(rollout, valid=one_task_lost)])
    with pytest.raises(EnvError, match=r"^meta-iteration 1: 50% of the steps"):
        advance(progress, Meeting(episode, torch.arange(2), (), (), rollout.env_steps, 0), 0.0)


def test_a_state_that_is_not_finite_ends_the_training_before_anyone_hears_of_it():
    trainer = make_trainer()
    update, heard = trainer.learner.update, []

    def overflowing(state, episode, rng):
        after, metrics = update(state, episode, rng)
        if heard:
            after = replace(after, training={"second": {"log_std": torch.tensor([1.0, torch.inf])}})
        return after, metrics

    trainer.learner.update = overflowing
    message = "^meta-iteration 2, after the update: state/optimiser/second/log_std: 1 of 2 numbers are not finite"
    with pytest.raises(NumericError, match=message):
        meta_train(trainer, init_progress(trainer), [lambda progress, _: heard.append(progress.meta_iter)])
    assert heard == [1]


def test_the_state_of_a_sampler_is_looked_at_as_the_learners_is():
    trainer = make_trainer()

    class Curriculum(StratifiedSampler):
        def observe(self, state, tasks, scores):
            return {"weight": torch.tensor([torch.nan, 1.0])}

    heard = []
    with pytest.raises(NumericError, match=r"^meta-iteration 1, after the update: sampler/weight: 1 of 2 numbers are"):
        meta_train(replace(trainer, sampler=Curriculum()), init_progress(trainer), [lambda *_: heard.append(1)])
    assert not heard


def test_returns_beyond_float32_are_numbers_like_any():
    trainer = make_trainer()
    env = trainer.collect.env

    class Rich:
        def reset(self, *args):
            return env.reset(*args)

        def step(self, action):
            step = env.step(action)
            return replace(step, reward=torch.full_like(step.reward, 3e38))  # two of them have no sum in float32

    trainer = replace(trainer, collect=replace(trainer.collect, env=Rich()))
    progress, row = validate(trainer, init_progress(trainer))
    assert 3e38 <= progress.best_return <= 3e38 * trainer.collect.steps + 1e32 and row["is_best"]


@pytest.mark.parametrize(
    "bad", [{"meta_iters": 0}, {"num_tasks": -1}, {"copies": 0}, {"max_seconds": -1.0}, {"max_seconds": float("nan")}]
)
def test_impossible_sizes_are_refused_by_name(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        TrainConfig(**bad)


def test_one_adaptation_step_solves_the_goal_flip_that_no_prior_can():
    """Un-adapted, the mean return is 0 by symmetry (optimum of any prior); adapted, it can reach the horizon."""
    config = TrainConfig(meta_iters=30, num_tasks=4, copies=20, validation_tasks=2, validate_every=30)
    trainer = make_trainer(config=config, inner=InnerConfig(lr=0.5))
    rows = []
    meta_train(trainer, init_progress(trainer), [lambda _, new: rows.extend(new)])
    pre, post = rows[-1]["return_by_step"]
    horizon = suite("probe-goal-flip-v1").spec.horizon
    assert abs(pre) < 0.3 * horizon  # symmetric tasks: whatever one gains, the other loses
    assert post > 0.6 * horizon


def test_progress_is_a_value():
    trainer = make_trainer()
    start = init_progress(trainer)
    before = {name: value.clone() for name, value in start.state.shared.items()}
    end, _ = meta_train(trainer, start, [])
    assert isinstance(end, Progress)
    assert all(torch.equal(before[name], start.state.shared[name]) for name in before)  # not changed in place
    assert any(not torch.equal(before[name], end.state.shared[name]) for name in before)
