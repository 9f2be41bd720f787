"""Strikes, quarantine and the share of tasks missed, worked by hand; and what they do to a training."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from drml.algos.gradient.maml import MAML, MAMLConfig
from drml.algos.gradient.promp import ProMP, ProMPConfig
from drml.algos.memory.rl2 import RL2
from drml.algos.registry import learner_entry
from drml.collect.collector import Collector
from drml.core.errors import EnvError
from drml.core.fault import Fault, label
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import tree_leaves
from drml.core.types import Agent, MetaEpisode
from drml.envs.api import EnvOptions
from drml.loop.config import TrainConfig
from drml.loop.evaluate import meta_test
from drml.loop.meet import meet, meta_episode
from drml.loop.progress import stop_reason
from drml.loop.quarantine import DECAY, MAX_STRIKES, Quarantine
from drml.loop.train import meta_train
from drml.loop.trainer import Trainer, init_progress
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.suites.registry import suite
from drml.tasks.distribution import content_hashes
from drml.tasks.samplers.uniform import UniformSampler

of = partial(MetaEpisode, (), ())  # of no tasks and agents: the history is all that these learners look at
RNG = Streams(0)


SUITE = suite("navigation-maml-v1")
TASKS = UniformSampler().sample({}, SUITE.tasks, "train", 8, Streams(0)["tasks"])
BAD = 2
OTHERS = [k for k in range(8) if k != BAD]


def fault(task="a", kind="raised", row=0, **fields):
    return Fault(task, {"goal": 1.5}, row, 0, 0, 3, "step", kind, "", **fields)


def test_strikes_by_hand():
    quarantine = Quarantine()
    for strikes in (1, 2, 3):
        # three faults of one task in one meta-iteration are one strike; the first of a broken call is named
        found = [(0, fault(kind="not finite")), (1, fault(seed=7)), (1, fault())]
        quarantine, incidents = quarantine.strike(found, (), "train")
        assert [(i.fault.seed, i.phase, i.episodes, i.strikes) for i in incidents] == [(7, 1, 3, strikes)]
        assert incidents[0].is_quarantined == (strikes == MAX_STRIKES)
    assert (quarantine.strikes, quarantine.num_quarantined) == ({"a": 3}, 1)


@pytest.mark.parametrize("kind", ["diverged", "not finite"])
def test_numbers_that_are_lost_are_a_strike_where_nothing_else_is_left(kind):
    found = [(0, fault(kind=kind)), (0, fault("b", kind, row=1))]
    quarantine, incidents = Quarantine().strike(found, (1,), "train")
    assert quarantine.strikes == {"b": 1}
    assert [(i.fault.task, i.is_lost) for i in incidents] == [("b", True)]


def test_strikes_of_validation_count_for_validation():
    quarantine = Quarantine()
    for _ in range(3):
        quarantine, _ = quarantine.strike([(0, fault(content_hashes(TASKS)[BAD]))], (), "validation")
    assert quarantine.num_quarantined == 1
    assert quarantine.admitted(TASKS, "train").ids.tolist() == list(range(8))
    assert quarantine.admitted(TASKS, "validation").ids.tolist() == OTHERS


def test_the_share_by_hand():
    quarantine = Quarantine().count(8, 7)
    assert quarantine.share == 1 / 8
    quarantine = quarantine.count(8, 7).count(8, 4)
    met, missed = 8 * (DECAY**2 + DECAY + 1), DECAY**2 + DECAY + 4
    assert quarantine.share == pytest.approx(missed / met, rel=1e-15)
    assert Quarantine().share == 0.0
    for bad in (1, 2):  # one task of 8 goes on for ever, one of 4 stops at once
        endless = Quarantine()
        for _ in range(100):
            endless = endless.count(8, 8 - bad)
        assert endless.share == pytest.approx(bad / 8)


def test_the_quarantined_are_not_admitted_and_the_others_keep_their_ids():
    hashes = content_hashes(TASKS)
    quarantine = Quarantine({hashes[BAD]: 3, hashes[0]: 2})
    left = quarantine.admitted(TASKS, "train")
    assert left.ids.tolist() == OTHERS
    assert content_hashes(left) == [hashes[k] for k in OTHERS]
    assert Quarantine({hashes[0]: 2}).admitted(TASKS, "train") is TASKS
    assert len(Quarantine(dict.fromkeys(hashes, 3)).admitted(TASKS, "train")) == 0
    assert Quarantine.from_facts(quarantine.count(8, 7).facts()) == quarantine.count(8, 7)


def test_labels():
    assert label({"goal": [0.25, 1.0], "mass": 2}) == "goal=(0.25, 1), mass=2"
    said = fault(seed=9, action=(0.5,)).describe()
    assert said == "raised in step 3 of episode 0, copy 0, seed 9"


class Planted:
    """A navigation environment in which chosen tasks, by id, go wrong from a step on, after so many resets."""

    def __init__(self, bad=(BAD,), step=0, after=0, kind="raised"):
        self._env, self._bad, self._step = SUITE.make(EnvOptions()), set(bad), step
        self._after, self._kind, self._resets = after, kind, 0
        self.spec = self._env.spec
        self.ids = []
        self._told = []

    def reset(self, tasks, copies, rng):
        self._tasks, self._t = tasks, 0
        self._resets += 1
        self.ids.append(tasks.ids.tolist())
        return self._env.reset(tasks, copies, rng)

    def step(self, action):
        step = self._env.step(action)
        self._t += 1
        rows = [k for k, i in enumerate(self._tasks.ids.tolist()) if i in self._bad and self._resets > self._after]
        if self._t <= self._step or not rows:
            return step
        if self._kind == "not finite":
            reward = step.reward.clone()
            reward[rows] = torch.nan
            return replace(step, reward=reward)
        diverged = step.diverged.clone()
        diverged[rows] = True
        hashes = content_hashes(self._tasks)
        if self._t == self._step + 1:
            self._told = [replace(fault(hashes[k]), row=k, params=self._tasks.plain_params(k)) for k in rows]
        return replace(step, diverged=diverged)

    def take_faults(self):
        told, self._told = tuple(self._told), []
        return told


def learner_of(name):
    if name == "rl2":
        entry = learner_entry("rl2")
        config = replace(entry.default, episodes=2, epochs=1, minibatches=1)
        return RL2(SUITE.spec, entry.make_policy(SUITE.spec, entry.default_policy, config), config)
    kind, config = {"maml": (MAML, MAMLConfig()), "promp": (ProMP, ProMPConfig())}[name]
    return kind(SUITE.spec, mlp_policy(SUITE.spec, MLPConfig(hidden=(8,))), config)


def collector(env, copies=8):
    return Collector(env, SUITE.spec.horizon, copies, Phases())


def tensors(rollout):
    found = {}
    rollout.map(lambda x: found.setdefault(len(found), x))
    rows = next(name for name, x in found.items() if x is rollout.final.at)  # other tasks' ends lie between them
    return found | {rows: rollout.final_obs}


@pytest.mark.parametrize("name", ["maml", "promp", "rl2"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_lost_task_is_left_out_and_the_others_are_as_if_it_had_never_been(name, after):
    learner = learner_of(name)
    state = learner.init(Streams(0)["init"])
    rng = Streams(1)
    met = meet(learner, Agent(state.shared), TASKS, collector(Planted(after=after)), rng, learner.adapt_steps)
    without = TASKS.select(torch.tensor(OTHERS))
    control = meet(learner, Agent(state.shared), without, collector(SUITE.make(EnvOptions())), rng, learner.adapt_steps)
    assert (met.rows.tolist(), met.lost, met.tasks.ids.tolist()) == (OTHERS, (BAD,), OTHERS)
    assert [(phase, f.row) for phase, f in met.faults] == [(after, BAD)]
    for rollout, other in zip(met.history, control.history, strict=True):
        # each matrix product is over 56 rows and more, where the kernels do not depend on their number
        assert all(torch.equal(a, b) for a, b in zip(tensors(rollout).values(), tensors(other).values(), strict=True))
    assert met.env_steps == control.env_steps + (after + 1) * SUITE.spec.horizon * 8
    (params, _), (other, _) = ((learner.update(state, of(m.history), RNG)[0].shared, m) for m in (met, control))
    assert all(torch.equal(params[key], other[key]) for key in params)
    with pytest.raises(EnvError, match=r"task goal=\(.*: every episode failed, the first one raised in step 3"):
        meta_episode(learner, state.shared, TASKS, collector(Planted(after=after)), rng, learner.adapt_steps)


def test_faults_of_later_phases_are_counted_in_the_rows_that_were_asked_for():
    learner = learner_of("maml")
    state = learner.init(Streams(0)["init"])

    class Twice(Planted):
        def step(self, action):
            self._bad = {BAD} if self._resets == 1 else {5}
            return super().step(action)

    met = meet(learner, Agent(state.shared), TASKS, collector(Twice()), Streams(1), 1)
    assert met.lost == (BAD, 5)
    assert [(phase, f.row, f.task) for phase, f in met.faults] == [
        (phase, row, content_hashes(TASKS)[row]) for phase, row in ((0, BAD), (1, 5))
    ]


def test_a_test_measures_what_it_can_and_names_the_rest():
    learner = learner_of("maml")
    state = learner.init(Streams(0)["init"])
    tested = meta_test(learner, state.shared, TASKS, collector(Planted()), Streams(1), 2)
    control = meta_test(
        learner, state.shared, TASKS.select(torch.tensor(OTHERS)), collector(SUITE.make(EnvOptions())), Streams(1), 2
    )
    assert torch.equal(tested.curve.returns, control.curve.returns)
    assert tested.curve.mean() == control.curve.mean()
    (unmeasured,) = tested.unmeasured(TASKS)
    assert unmeasured["params"] == TASKS.plain_params(BAD)
    assert unmeasured["text"].startswith("goal=(")
    nothing = meta_test(learner, state.shared, TASKS, collector(Planted(bad=range(8))), Streams(1), 2)
    assert nothing.curve.returns.shape == (0, 3, 8)
    assert torch.tensor(nothing.curve.mean()).isnan().all()


class Eight:
    """Deals the same eight tasks, in an order of their own each time."""

    def init(self, distribution, rng):
        return {}

    def sample(self, state, distribution, split, num_tasks, rng):
        return TASKS.select(torch.from_numpy(rng.generator().permutation(8)[:num_tasks]))

    def observe(self, state, tasks, scores):
        return state


def trainer_of(env, **config):
    config = TrainConfig(**{"meta_iters": 5, "num_tasks": 8, "copies": 8, "validate_every": 100, **config})
    return Trainer(learner_of("promp"), SUITE.tasks, Eight(), collector(env), config, Streams(3))


def train(env, quarantine=None, **config):
    trainer = trainer_of(env, **config)
    progress = init_progress(trainer)
    progress = replace(progress, quarantine=quarantine or progress.quarantine)
    rows = []
    progress, reason = meta_train(trainer, progress, [lambda _, new: rows.extend(new)])
    return progress, reason, rows


def bits(progress):
    return {path: value.numpy().tobytes() for path, value in tree_leaves(progress.state.tree())}


@pytest.mark.parametrize("kind", ["raised", "not finite"])
def test_training_goes_on_without_the_task_and_is_the_same_as_without_its_episodes(kind, monkeypatch):
    monkeypatch.setattr("drml.loop.validate.StratifiedSampler", Eight)  # validation meets the same eight
    env = Planted(kind=kind)
    progress, reason, rows = train(env)
    never = Quarantine({content_hashes(TASKS)[BAD]: MAX_STRIKES})
    control, _, control_rows = train(SUITE.make(EnvOptions()), never)
    assert (reason, progress.meta_iter) == ("budget", 5)
    assert bits(progress) == bits(control)
    assert [row.get("post_return") for row in rows] == [row.get("post_return") for row in control_rows]
    met = [BAD in ids for ids in env.ids]
    # 3 strikes: phase 0 of three meta-iterations; then never again, not even in the validation at the end
    assert met == [True, False] * 3 + [False, False] * 2 + [False, False]
    told = [[(f["task"], f["strikes"], f["quarantined"]) for f in row.get("faults", ())] for row in rows]
    task = content_hashes(TASKS)[BAD]
    assert told == [[(task, 1, False)], [(task, 2, False)], [(task, 3, True)], [], [], []]
    assert [row["quarantined_tasks"] for row in rows] == [0, 0, 1, 1, 1, 1]
    assert rows[0]["faulty_share"] == 1 / 8
    assert rows[0]["faults"][0]["params"] == TASKS.plain_params(BAD)
    assert rows[2]["faults"][0]["text"].endswith("; quarantined")


def test_episodes_that_diverge_now_and_then_are_no_strike():
    class Rare(Planted):
        def step(self, action):
            step = self._env.step(action)
            diverged = step.diverged.clone()
            diverged[BAD % len(diverged), 0] = True
            return replace(step, diverged=diverged)

    progress, reason, rows = train(Rare())
    assert (reason, progress.quarantine.strikes) == ("budget", {})
    assert all(row["dropped_episodes"] for row in rows if row["kind"] == "train")


def test_too_many_faulty_tasks_stop_the_run():
    progress, reason, rows = train(Planted(bad=(1, 2)))
    assert (reason, progress.meta_iter) == ("faulty", 1)  # 2 of 8 are more than 20 %
    assert rows[0]["kind"] == "train" and len(rows[0]["faults"]) == 2
    _, reason, _ = train(Planted(bad=(1, 2)), max_faulty_share=0.3)
    assert reason == "budget"


def test_all_tasks_lost_is_no_update():
    progress, reason, rows = train(Planted(bad=range(8)))
    assert (reason, progress.meta_iter) == ("faulty", 1)
    start = init_progress(trainer_of(Planted()))
    assert bits(progress) == bits(start)
    assert math.isnan(rows[0]["post_return"])
    everything = Quarantine(dict.fromkeys(content_hashes(TASKS), MAX_STRIKES))
    progress, reason, _ = train(SUITE.make(EnvOptions()), everything, max_faulty_share=1.0, meta_iters=2)
    assert (reason, progress.meta_iter, progress.env_steps) == ("budget", 2, 0)  # nobody is left to meet


def test_one_bad_moment_of_a_machine_does_not_stop_a_long_run():
    healthy = Quarantine()
    for _ in range(50):
        healthy = healthy.count(8, 8)
    progress = replace(init_progress(trainer_of(Planted())), quarantine=healthy.count(8, 0))
    assert stop_reason(TrainConfig(), progress) == ""  # a tenth of the recent ones
    progress = replace(progress, quarantine=progress.quarantine.count(8, 0).count(8, 0))
    assert stop_reason(TrainConfig(), progress) == "faulty"
