"""Normalised observations: moments as NumPy has them, one meaning for acting and learning, frozen in tests."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

import drml
from drml.algos.evolution.es_maml import ESMAMLConfig
from drml.algos.gradient.promp import ProMPConfig
from drml.algos.normalised import NormaliseConfig, NormalisedLearner
from drml.algos.registry import LEARNERS
from drml.core.config import to_dict
from drml.core.errors import InputError
from drml.core.observation import Part
from drml.core.rng import Streams
from drml.core.tree import tree_leaves
from drml.core.types import Agent, FinalObs, MetaEpisode, Rollout
from drml.envs.api import EnvOptions
from drml.export.keras import keras_model
from drml.export.registry import export
from drml.loop.config import TrainConfig
from drml.loop.train import iterate
from drml.loop.trainer import init_progress
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.policies.normalised import Moments, Normaliser, own
from drml.run import session
from drml.run.config import kept_config, read_config
from drml.run.log import read_rows
from drml.run.session import make_trainer
from drml.run.setup import set_up
from drml.spaces.interface import Interface
from drml.suites.registry import suite
from drml.tasks.samplers.uniform import UniformSampler

TRAIN = TrainConfig(meta_iters=4, num_tasks=3, copies=2, validate_every=2, validation_tasks=2, checkpoint_every=1)
ON = NormaliseConfig(observations=True)


def config_of(learner, normalise=ON):
    policy = MemoryConfig(size=8) if learner == "rl2" else MLPConfig(hidden=(8,))
    mine = ESMAMLConfig(queries=1) if learner == "es_maml" else LEARNERS[learner].default
    return session.RunConfig("navigation-maml-v1", learner, mine, policy, TRAIN, 3, normalise=normalise)


def bits(progress):
    tree = {"state": progress.state.tree(), "best": dict(progress.best_shared)}
    return {path: value.numpy().tobytes() for path, value in tree_leaves(tree)}


def merged(*batches):
    moments = Moments.none(batches[0].shape[1])
    for batch in batches:
        moments = moments.merged(torch.as_tensor(batch))
    return moments


def test_moments_of_batches_are_those_of_all_together():
    rng = np.random.default_rng(0)
    batches = [rng.normal(5.0, 3.0, (n, 4)) for n in (7, 1, 0, 400)]
    whole, moments = np.concatenate(batches), merged(*batches)
    assert float(moments.total) == 408
    np.testing.assert_allclose(moments.mean, whole.mean(0), rtol=1e-13)
    np.testing.assert_allclose(moments.m2 / moments.total, whole.var(0), rtol=1e-12)


def test_a_small_signal_on_a_large_constant_is_seen():
    signal = np.random.default_rng(1).normal(size=(1000, 1))
    values = (1e6 + 4.0 * signal).astype(np.float32)
    seen = merged(values[:300], values[300:]).normalise(torch.from_numpy(values)).numpy()
    exact = values.astype(np.float64)
    np.testing.assert_allclose(seen, (exact - exact.mean()) / exact.std(), atol=1e-5)


def test_a_number_that_never_changed_keeps_its_unit_and_what_is_far_is_held():
    moments = merged(np.full((50, 2), 1e6 + 0.1, dtype=np.float32), np.full((9, 2), 1e6 + 0.1, dtype=np.float32))
    constant = np.float32(1e6 + 0.1)
    seen = moments.normalise(torch.tensor([[constant, constant + 2.0], [constant - 3.0, 0.0]]))
    torch.testing.assert_close(seen, torch.tensor([[0.0, 2.0], [-3.0, -10.0]]))
    assert Moments.none(2).normalise(torch.tensor([1.5, -20.0])).tolist() == [1.5, -10.0]


def test_pictures_beside_numbers_stay_as_they_are():
    parts = (Part("picture", (2,)), Part("numbers", (2,)), Part("bits", (1,)))
    normaliser = Normaliser(parts, 11)
    numbers = torch.tensor([[1.0, 30.0], [3.0, 10.0]])
    pictures, flags = torch.tensor([[7, 255], [0, 9]]).byte(), torch.tensor([[1], [0]]).byte()
    obs = torch.cat([pictures, numbers.view(torch.uint8), flags], -1)
    assert torch.equal(normaliser.numbers(obs), numbers)
    seen = normaliser.see(merged(numbers), obs)
    assert torch.equal(seen[:, :2], pictures)
    assert torch.equal(seen[:, 10:], flags)
    assert normaliser.numbers(seen).tolist() == [[-1.0, 1.0], [1.0, -1.0]]


def test_large_rollouts_are_normalised_a_few_rows_at_a_time_with_the_same_bits(monkeypatch):
    moments = merged(np.random.default_rng(2).normal(3.0, 40.0, (50, 3)))
    obs = torch.from_numpy(np.random.default_rng(3).normal(3.0, 90.0, (2, 5, 4, 3)).astype(np.float32))
    whole = moments.normalise(obs)
    by_hand = ((obs.double() - moments.mean) / (moments.m2 / moments.total).sqrt()).clamp(-10.0, 10.0)
    assert torch.equal(whole, by_hand.float())
    monkeypatch.setattr("drml.policies.normalised.CHUNK", 7)
    assert torch.equal(moments.normalise(obs.transpose(0, 1)).transpose(0, 1), whole)


def family_of_marks():
    space = spaces.Dict(
        {
            "cell": spaces.Discrete(3),
            "speed": spaces.Box(-np.inf, np.inf, (2,), np.float32),
            "switches": spaces.MultiBinary(2),
            "worn": spaces.Box(0, 1, (1,), np.bool_),
        }
    )
    return Interface(space, spaces.Discrete(2), 1.0, 4).spec


def test_flags_and_one_hot_entries_stay_as_they_are():
    spec = family_of_marks()
    assert spec.flags == (0, 1, 2, 5, 6, 7) and not spec.parts
    assert spec == replace(spec, flags=())  # a family may declare its spec without them
    entry = LEARNERS["promp"]
    learner = NormalisedLearner(
        spec, entry.make(spec, entry.make_policy(spec, MLPConfig((4,)), ProMPConfig()), ProMPConfig())
    )
    state = learner.init(Streams(0))
    rollout = acted(learner, spec, state)
    updated, _ = learner.update(state, MetaEpisode((), [Agent(state.shared)] * 2, [rollout, rollout]), Streams(1))
    moments = Moments.of(updated.shared)
    numbers = rollout.obs.flatten(0, 2)[:, 3:5].double()
    torch.testing.assert_close(moments.mean[3:5], numbers.mean(0))
    assert float(moments.mean[3]) == pytest.approx(50.0, rel=0.1)
    seen, marks = learner.normaliser.see(moments, rollout.obs), list(spec.flags)
    assert torch.equal(seen[..., marks], rollout.obs[..., marks])
    torch.testing.assert_close(seen[..., 3:5].flatten(0, 2).std(0, unbiased=False), torch.ones(2))


def acted(learner, spec, state):
    """A rollout `[2, 4, 3]` of random flags, and of speeds around 50."""
    rng = torch.Generator().manual_seed(0)
    obs = torch.randint(0, 2, (2, 4, 3, spec.obs_size), generator=rng).float()
    obs[..., 3:5] = 50.0 + 5.0 * torch.randn((2, 4, 3, 2), generator=rng)
    with torch.no_grad():
        acting, _ = learner.policy.step(state.shared, obs.flatten(1, 2), {})
    acting = acting.replace({name: x.unflatten(1, (4, 3)) for name, x in acting.tensors().items()})
    flags, action = torch.zeros(2, 4, 3, dtype=torch.bool), torch.randint(0, 2, (2, 4, 3), generator=rng)
    last = flags | (torch.arange(4) == 3).view(1, -1, 1)
    return Rollout(
        obs=obs,
        action=action,
        reward=torch.randn((2, 4, 3), generator=rng),
        terminated=flags,
        truncated=last,
        valid=~flags,
        final=FinalObs.of_ends(obs, last),
        elapsed=torch.arange(4).view(1, -1, 1).expand(2, 4, 3),
        log_prob=acting.log_prob(action),
        acting=acting,
        first_carry={},
        last_carry={},
    )


def test_built_in_marks_are_said_to_be_marks():
    """Suites whose observations hold nothing but 0, 1 and -1 say so of each column that is no position."""
    for name in ("tabular-mdp-rl2-v1", "dark-room-ad-v1", "object-memory-n5-l5-v1", "tmaze-passive-v1"):
        family = suite(name)
        env = family.make(EnvOptions(threads=1))
        tasks = UniformSampler().sample({}, family.tasks, "train", 3, Streams(0))
        assert set(env.reset(tasks, 2, Streams(1)).unique().tolist()) <= {-1.0, 0.0, 1.0}
        assert family.spec.flags == env.spec.flags == tuple(range(family.spec.obs_size)), name
    assert suite("rule-world-small-v1").spec.flags and suite("dark-key-to-door-v1").spec.flags
    assert not any(suite(name).spec.flags for name in ("gridnavi-varibad-v1", "cartpole-varied-v1", "dark-room-dpt-v1"))


@pytest.mark.parametrize("learner", LEARNERS)
def test_stopped_tested_and_resumed_has_the_bits_of_a_whole_run(tmp_path, learner):
    config = config_of(learner)
    whole, _ = session.start(config, tmp_path / "whole")
    session.start(replace(config, train=replace(TRAIN, meta_iters=2)), tmp_path / "parts")
    session.test(tmp_path / "parts", adapt_steps=1, num_tasks=2, copies=2)
    parts, _ = session.resume(tmp_path / "parts", train=TRAIN)
    assert bits(whole) == bits(parts)
    assert float(Moments.of(whole.state.shared).total) == whole.env_steps
    rows = read_rows(tmp_path / "whole")
    by_then = [row["env_steps"] for row in rows if row["kind"] == "train" and row["meta_iter"] == whole.best_meta_iter]
    assert [float(Moments.of(whole.best_shared).total)] == by_then


@pytest.mark.parametrize("learner", LEARNERS)
def test_learning_sees_what_acting_saw(learner):
    trainer = make_trainer(set_up(config_of(learner)), EnvOptions(threads=1), lambda: False)
    progress = init_progress(trainer)
    for _ in range(2):
        progress, _ = iterate(trainer, progress)
    mine = trainer.learner
    assert isinstance(mine, NormalisedLearner)
    tasks = trainer.sampler.sample(progress.sampler, trainer.distribution, "train", 3, Streams(0)["tasks"])
    met = trainer.play(mine, progress.state, tasks, trainer.collect, Streams(5))
    moments, shared = Moments.of(progress.state.shared), own(progress.state.shared)
    for agent, rollout in zip(met.episode.agents, met.history, strict=True):
        with torch.no_grad():
            new = mine.policy.unroll(agent.params, rollout)
        off = (new.log_prob(rollout.action) - rollout.log_prob).abs()[rollout.valid]
        assert float(off.max()) < 1e-4
        by_hand = ((rollout.obs.double() - moments.mean) / (moments.m2 / moments.total).sqrt()).clamp(-10.0, 10.0)
        torch.testing.assert_close(mine.normaliser.see_rollout(moments, rollout).obs, by_hand.float())
    dropped = [replace(r, valid=r.valid & (torch.arange(r.valid.shape[2]) > 0)) for r in met.history]
    episode = replace(met.episode, history=dropped)
    updated, _ = mine.update(progress.state, episode, Streams(9))
    seen = [mine.normaliser.see_rollout(moments, rollout) for rollout in dropped]
    agents = [replace(agent, params=own(agent.params)) for agent in episode.agents]
    plain = replace(progress.state, shared=shared)
    expected, _ = mine.learner.update(plain, replace(episode, agents=agents, history=seen), Streams(9))
    assert all(torch.equal(value, expected.shared[name]) for name, value in own(updated.shared).items())
    counted = sum(int(rollout.valid.sum()) for rollout in dropped)
    assert 0 < counted < met.env_steps
    assert float(Moments.of(updated.shared).total) == float(moments.total) + counted


def test_runs_of_before_are_without_and_a_folder_holds_it(tmp_path):
    session.start(config_of("promp"), tmp_path / "run")
    learned = drml.load(tmp_path / "run").learned
    with pytest.raises(InputError, match="--to onnx"):
        keras_model(learned)
    export(learned, "folder", tmp_path / "folder")
    again = drml.load(tmp_path / "folder").learned
    assert all(torch.equal(value, learned.shared[name]) for name, value in again.shared.items())
    config = read_config(tmp_path / "run")
    assert config.normalise == ON
    old = {name: value for name, value in to_dict(config).items() if name != "normalise"}
    assert kept_config(old, "config") == replace(config, normalise=NormaliseConfig())
