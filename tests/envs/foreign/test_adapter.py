"""The adapter, held against what hand-made environments are known to do, number by number."""

import gc
from functools import partial

import counters
import gymnasium as gym
import numpy as np
import pytest
import torch
from counters import ACTION, DRAW, STEP, TASK, Careless, Counter, Tape, draw_of, length_of
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper

from drml.collect.collector import Collector
from drml.core.distribution import Categorical
from drml.core.errors import EnvError, InputError
from drml.core.observation import as_numbers
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent, Noise, Tasks
from drml.envs.api import EnvOptions
from drml.envs.foreign.adapter import EpisodeSeeds
from drml.envs.foreign.family import GymFamily
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform

K, T, B, HORIZON = 3, 23, 4, 20
TASKS = TaskDistribution({"task": Choice((1.0, 2.0, 3.0))}, held_out=False)
ASKED = Tasks({"task": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)}, torch.tensor([7, 3, 5]))
RNG = Streams(4)
MODES = list(AutoresetMode)


def gymnasium_vector(kind, wrapped, mode, task, num_envs):
    envs = kind([partial(Counter, task)] * num_envs, autoreset_mode=mode)
    return VectorWrapper(envs) if wrapped else envs


def vector_make(make):
    return lambda task, num_envs: make(task=task, num_envs=num_envs)


def family(make=Counter, horizon=HORIZON, tasks=TASKS, **options):
    return GymFamily("counters", make, tasks, horizon, **options)


def opened(*args, **kwargs):
    return family(*args, **kwargs).open(EnvOptions())


def seed(task_id, copy, episode):
    seeds = EpisodeSeeds(RNG["seed", task_id], B)
    return [seeds(copy) for _ in range(episode + 1)][-1]


def actions(steps=T):
    """Policy's actions `[T, K, B]`; the space begins at 5."""
    return torch.arange(steps * K * B).reshape(steps, K, B) * 7 % 3


def expected(k, b, horizon=HORIZON):
    """What copy b of task k does under `actions`, written down step by step."""
    rows, episode, t = [], 0, 0
    task = float(ASKED.params["task"][k])
    for act in actions()[:, k, b].tolist():
        draw = draw_of(seed(int(ASKED.ids[k]), b, episode))
        final = [task, draw, t + 1, act + 5]
        ended, cut = t + 1 == length_of(draw), t + 1 == horizon
        row = {"reward": 100 * task + t + act + 5, "final_obs": final, "obs": final}
        row |= {"terminated": ended and draw % 2 == 0}
        row |= {"truncated": (ended and draw % 2 == 1) or (cut and not row["terminated"])}
        t += 1
        if row["terminated"] or row["truncated"]:
            episode, t = episode + 1, 0
            row["obs"] = [task, draw_of(seed(int(ASKED.ids[k]), b, episode)), 0, 0]
        rows.append(row)
    return rows


def check_against_expected(env, horizon=HORIZON):
    first = env.reset(ASKED, B, RNG)
    steps = [env.step(action) for action in actions()]
    for k in range(K):
        for b in range(B):
            draw = draw_of(seed(int(ASKED.ids[k]), b, 0))
            assert first[k, b].tolist() == [float(ASKED.params["task"][k]), draw, 0, 0]
            for t, row in enumerate(expected(k, b, horizon)):
                for name, value in row.items():
                    got = getattr(steps[t], name)[k, b]
                    assert got.tolist() == value, (k, b, t, name)
                assert not steps[t].diverged[k, b] and not steps[t].idle[k, b]


@pytest.mark.parametrize("env", [Counter, Careless])
def test_plain_environments_do_what_is_written_down(env):
    check_against_expected(opened(env))


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_gymnasiums_own_vector_environments_do_the_same_in_every_autoreset_mode(mode, wrapped):
    check_against_expected(opened(vector_make(partial(gymnasium_vector, SyncVectorEnv, wrapped, mode))))


@pytest.mark.parametrize("mode", MODES)
def test_asynchronous_ones_too(mode):
    env = opened(vector_make(partial(gymnasium_vector, AsyncVectorEnv, False, mode)))
    check_against_expected(env)
    env.close()


@pytest.mark.parametrize("mode", [None, *MODES])
def test_our_horizon_cuts_episodes_that_the_environment_does_not(mode):
    make = Counter if mode is None else vector_make(partial(gymnasium_vector, SyncVectorEnv, True, mode))
    check_against_expected(opened(make, horizon=3), horizon=3)


class Taped:
    """The plain form of `Tape`: draw counts the episodes."""

    def __init__(self):
        self.made = -1

    def __call__(self, task):
        self.made += 1
        return _TapedCounter(task, 10 * ((self.made - 1) % B) - 1)  # the first one built is only looked at


class _TapedCounter(Counter):
    def __init__(self, task, draw):
        super().__init__(task)
        self.draw = draw

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.draw += 1
        self.shown[DRAW] = self.draw
        return self.see(), {}


class ByDraw:
    """A policy that acts by what it sees, and remembers what came of it."""

    noise = Noise("uniform", ())

    def initial_carry(self, num_tasks, copies):
        return {"sum": torch.zeros(num_tasks, copies)}

    def step(self, params, obs, carry):
        logits = torch.stack([obs[..., DRAW] % 3, obs[..., STEP] % 2, carry["sum"] % 5], -1)
        return Categorical(torch.log_softmax(logits, -1)), carry

    def remember(self, carry, action, reward, ended):
        return {"sum": carry["sum"] + reward + action + 3.0 * ended}


def collected(env, tasks=ASKED):
    return Collector(env, T, B, Phases())(ByDraw(), Agent({}, {}), tasks, RNG)


@pytest.mark.parametrize("mode", MODES)
def test_a_third_partys_vector_environment_gives_the_same_rollout_in_every_autoreset_mode(mode):
    plain = collected(opened(Taped()))
    taped = collected(opened(vector_make(partial(Tape, mode=mode))))
    assert plain.obs[..., DRAW].max() > 10 * (B - 1) + 2, "some copies see several episodes"
    for name in ("obs", "action", "reward", "terminated", "truncated", "valid", "final_obs", "elapsed", "log_prob"):
        assert torch.equal(getattr(plain, name), getattr(taped, name)), name
    assert torch.equal(plain.acting.tensors()["logits"], taped.acting.tensors()["logits"])
    assert torch.equal(plain.last_carry["sum"], taped.last_carry["sum"])
    assert taped.valid.all()


@pytest.mark.parametrize("mode", MODES)
def test_a_tasks_rollout_does_not_depend_on_the_tasks_beside_it(mode):
    order = torch.tensor([2, 0])
    env = vector_make(partial(Tape, mode=mode))
    together, apart = collected(opened(env)), collected(opened(env), ASKED.select(order))
    for name in ("obs", "action", "reward", "terminated", "truncated", "final_obs", "elapsed", "log_prob"):
        assert torch.equal(getattr(together, name)[order], getattr(apart, name)), name
    assert torch.equal(together.last_carry["sum"][order], apart.last_carry["sum"])


def test_a_step_that_only_resets_says_so_and_is_worth_nothing():
    env = opened(vector_make(partial(Tape, mode=AutoresetMode.NEXT_STEP)))
    env.reset(ASKED, B, RNG)
    steps = [env.step(action) for action in actions()]
    idle = torch.stack([step.idle for step in steps])
    ended = torch.stack([step.terminated | step.truncated for step in steps])
    alone = ended & ~ended.all(-1, keepdim=True)  # where all copies of a task end together, they are reset at once
    assert idle.any() and torch.equal(idle[1:], alone[:-1])
    for t, k, b in idle.nonzero().tolist():
        assert steps[t].reward[k, b] == 0.0 and not ended[t, k, b]
        assert steps[t].obs[k, b, STEP] == 0.0 and steps[t - 1].obs[k, b, STEP] > 0.0


def test_a_vector_environment_that_cannot_be_cut_is_refused_and_the_way_out_named():
    env = opened(vector_make(partial(Tape, mode=AutoresetMode.NEXT_STEP)), horizon=3)
    env.reset(ASKED, B, RNG)
    with pytest.raises(EnvError, match="max_episode_steps"):
        [env.step(action) for action in actions()]


def test_a_vector_environment_has_to_declare_how_it_resets():
    with pytest.raises(EnvError, match="declares no autoreset mode"):
        opened(vector_make(partial(Tape, mode=None))).reset(ASKED, B, RNG)


def test_a_tasks_data_do_not_depend_on_the_tasks_beside_it():
    together = opened().reset(ASKED, B, RNG)
    order = torch.tensor([2, 0])
    env = opened()
    apart = env.reset(ASKED.select(order), B, RNG)
    assert torch.equal(together[order], apart)
    beside = opened()
    beside.reset(ASKED, B, RNG)
    for action in actions():
        assert torch.equal(env.step(action[order]).obs, beside.step(action).obs[order])


def test_the_same_stream_gives_the_same_data_and_another_one_others():
    env = opened()
    first, again = env.reset(ASKED, B, RNG).clone(), env.reset(ASKED, B, RNG)
    assert torch.equal(first, again)
    assert not torch.equal(first, env.reset(ASKED, B, RNG["other"]))


def test_no_two_episodes_share_a_seed():
    seeds = [EpisodeSeeds(RNG["seed", task_id], 20) for task_id in range(20)]
    drawn = [of(copy) for of in seeds for copy in range(20) for _ in range(20)]
    assert len(set(drawn)) > 8000 - 40  # 8000²/2 pairs in 2³¹: 0.015 collisions expected
    assert min(drawn) >= 0 and max(drawn) < 2**31


def test_what_was_handed_out_is_not_changed_by_later_steps():
    env = opened()
    first = env.reset(ASKED, B, RNG)
    kept, steps, copies = first.clone(), [], []
    for action in actions():
        steps.append(env.step(action))
        copies.append((steps[-1].obs.clone(), steps[-1].final_obs.clone(), steps[-1].reward.clone()))
    assert torch.equal(first, kept)
    for step, copied in zip(steps, copies, strict=True):
        assert all(torch.equal(x, y) for x, y in zip((step.obs, step.final_obs, step.reward), copied, strict=True))


class TestSlots:
    """Environments are built when a task changes, and only then."""

    @pytest.fixture
    def built(self):
        made = []

        def make(task):
            made.append(task)
            return Counter(task)

        env = opened(make)
        made.clear()  # the one that was only looked at
        return env, made

    def test_the_same_tasks_keep_their_environments_in_any_order(self, built):
        env, made = built
        env.reset(ASKED, B, RNG)
        assert made == [1.0] * B + [2.0] * B + [3.0] * B
        env.reset(ASKED.select(torch.tensor([2, 0, 1])), B, RNG)
        assert len(made) == K * B

    def test_another_task_gets_new_ones_and_the_old_ones_are_closed(self, built):
        env, made = built
        env.reset(ASKED.select(torch.tensor([0, 1])), B, RNG)
        Counter.closed = 0
        env.reset(ASKED.select(torch.tensor([0, 2])), B, RNG)
        assert made == [1.0] * B + [2.0] * B + [3.0] * B and Counter.closed == B
        env.close()
        assert Counter.closed == 3 * B

    def test_a_task_twice_in_a_batch_gets_two(self, built):
        env, made = built
        env.reset(ASKED.select(torch.tensor([0, 0])), B, RNG)
        assert made == [1.0] * 2 * B

    def test_another_number_of_copies_is_built_anew(self, built):
        env, made = built
        env.reset(ASKED, B, RNG)
        env.reset(ASKED, 2, RNG)
        assert len(made) == K * (B + 2)

    def test_environments_are_closed_when_they_are_forgotten(self):
        env = opened()
        env.reset(ASKED, B, RNG)
        Counter.closed = 0
        del env
        gc.collect()
        assert Counter.closed == K * B

    def test_those_that_can_be_turned_to_another_task_are_built_once(self):
        made, given = [], []

        def make(task):
            made.append(task)
            return Counter(0.0)

        def give(env, task):
            given.append(task["task"])
            env.task = task["task"]

        env = opened(make, give=give)
        made.clear()
        assert env.reset(ASKED.select(torch.tensor([0])), B, RNG)[0, :, TASK].tolist() == [1.0] * B
        assert env.reset(ASKED.select(torch.tensor([1])), B, RNG)[0, :, TASK].tolist() == [2.0] * B
        assert made == [1.0] * B and given == [1.0] * B + [2.0] * B


class TestFaults:
    def test_an_environment_that_raises_is_named_with_its_task_and_the_line(self):
        class Broken(Counter):
            def step(self, action):
                raise KeyError("engine")

        env = opened(Broken)
        env.reset(ASKED, B, RNG)
        env.step(actions()[0])
        faults = env.take_faults()
        assert [(f.row, f.copy, f.episode, f.step, f.moment, f.kind) for f in faults] == [
            (k, 0, 0, 0, "step", "raised") for k in range(K)
        ]
        assert [f.params["task"] for f in faults] == [1.0, 2.0, 3.0]
        assert faults[0].message.startswith("KeyError: 'engine' (tests/envs/foreign/test_adapter.py:")
        assert faults[1].seed == seed(3, 0, 0)
        env.step(actions()[0])
        assert env.take_faults() == ()  # told once

    def test_a_constructor_that_raises_is_named_with_its_task(self):
        def make(task):
            if task == 2.0 and made:
                raise ValueError("no such robot")
            made.append(task)
            return Counter(task)

        made = []
        env = opened(make)
        obs = env.reset(ASKED, B, RNG)
        healthy = opened()
        assert torch.equal(obs[[0, 2]], healthy.reset(ASKED, B, RNG)[[0, 2]])
        step, expected_step = env.step(actions()[0]), healthy.step(actions()[0])
        (found,) = env.take_faults()
        assert (found.row, found.copy, found.moment, found.kind) == (1, -1, "construct", "raised")
        assert found.params == {"task": 2.0}
        assert found.message.startswith("ValueError: no such robot (tests/envs/foreign/test_adapter.py:")
        assert torch.equal(step.obs[[0, 2]], expected_step.obs[[0, 2]])
        assert step.diverged.tolist() == [[False] * B, [True] * B, [False] * B]

    def test_a_slot_that_failed_is_built_anew_by_the_next_reset(self):
        class Worn(Counter):
            made = 0

            def __init__(self, task):
                super().__init__(task)
                Worn.made += 1
                self.is_first = Worn.made == 2  # after the one that is built to be looked at

            def reset(self, **kwargs):
                if self.is_first:
                    raise RuntimeError("worn")
                return super().reset(**kwargs)

        env = opened(Worn)
        env.reset(ASKED, B, RNG)
        env.step(actions()[0])
        assert [(f.row, f.copy, f.moment, f.seed) for f in env.take_faults()] == [(0, 0, "reset", seed(7, 0, 0))]
        made, closed = Worn.made, Counter.closed
        again = env.reset(ASKED, B, RNG)
        assert (Worn.made - made, Counter.closed - closed) == (B, B)  # the others are used again
        assert torch.equal(again, opened().reset(ASKED, B, RNG))
        step = env.step(actions()[0])
        assert not step.diverged.any() and env.take_faults() == ()

    def test_a_fault_in_the_reset_after_an_episode_spares_that_episode(self):
        class Tired(Counter):
            resets = 0

            def reset(self, **kwargs):
                self.resets += 1
                if self.task == 2.0 and self.resets == 2:
                    raise RuntimeError("tired")
                return super().reset(**kwargs)

        env = opened(Tired)
        env.reset(ASKED, B, RNG)
        steps, faults = zip(*((env.step(action), env.take_faults()) for action in actions()), strict=True)
        t = next(t for t, found in enumerate(faults) if found)
        assert bool((steps[t].terminated | steps[t].truncated)[1].any()) and not steps[t].diverged.any()
        assert steps[t + 1].diverged.tolist() == [[False] * B, [True] * B, [False] * B]
        assert (faults[t][0].moment, faults[t][0].episode) == ("reset", 1)

    def test_spaces_that_differ_between_tasks_are_refused(self):
        class Wide(Counter):
            observation_space = gym.spaces.Box(-1.0, 1.0, (6,))

        class Strong(Counter):
            action_space = gym.spaces.Discrete(4)

        for other, what in ((Wide, "observations"), (Strong, "actions")):
            with pytest.raises(EnvError, match=rf"task=3\.0* has {what} in .*same spaces"):
                opened(lambda task, other=other: (other if task == 3.0 else Counter)(task)).reset(ASKED, B, RNG)

    def test_an_observation_of_another_shape_is_not_spread_over_the_vector(self):
        class Short(Counter):
            def see(self):
                return self.shown[:1]

        env = opened(Short)
        env.reset(ASKED, B, RNG)
        env.step(actions()[0])
        faults = env.take_faults()
        assert [(f.row, f.moment) for f in faults] == [(k, "reset") for k in range(K)]
        assert faults[0].message.startswith("ValueError: an observation has shape [1], expected [4]")

    def test_misuse(self):
        env = opened()
        with pytest.raises(InputError, match="before reset"):
            env.step(actions()[0])
        with pytest.raises(InputError, match="copies is 0"):
            env.reset(ASKED, 0, RNG)
        with pytest.raises(InputError, match="parameters"):
            env.reset(Tasks({"other": torch.ones(1)}, torch.tensor([0])), B, RNG)
        env.reset(ASKED, B, RNG)
        with pytest.raises(InputError, match=r"action has shape \[3, 3\], expected \[3, 4\]"):
            env.step(torch.zeros((3, 3), dtype=torch.int64))


def test_dictionaries_reach_the_agent_flat_and_true_to_the_last():
    class Dictionary(Counter):
        observation_space = gym.spaces.Dict({"where": counters.OBS, "parity": gym.spaces.Discrete(2)})

        def _seen(self, shown):
            return {"where": shown, "parity": int(shown[STEP]) % 2}

        def reset(self, *, seed=None, options=None):
            return self._seen(super().reset(seed=seed)[0]), {}

        def step(self, action):
            shown, *rest = super().step(action)
            return self._seen(shown), *rest

    def wrapped(task, num_envs):
        return VectorWrapper(SyncVectorEnv([partial(Dictionary, task)] * num_envs, autoreset_mode="SameStep"))

    plain, vector = opened(Dictionary), opened(wrapped)
    flat = opened()
    for env in (plain, vector):
        flat_obs, obs = flat.reset(ASKED, B, RNG), env.reset(ASKED, B, RNG)
        assert torch.equal(obs[..., 2:], flat_obs)  # gymnasium orders the keys: parity comes first
        for action in actions():
            flat_step, step = flat.step(action), env.step(action)
            for name in ("obs", "final_obs"):
                mine, theirs = getattr(step, name), getattr(flat_step, name)
                assert torch.equal(mine[..., 2:], theirs)
                assert torch.equal(mine[..., :2].argmax(-1), theirs[..., STEP].long() % 2)


def test_actions_arrive_in_the_spaces_own_numbers():
    env = opened()
    env.reset(ASKED, B, RNG)
    assert torch.equal(env.step(actions()[0]).final_obs[..., ACTION], actions()[0] + 5.0)


class Buttons(gym.Env):
    """Shows which of its buttons were pressed; each action has to be of the space, in kind and shape."""

    action_space = gym.spaces.MultiDiscrete([2, 3])
    observation_space = gym.spaces.Box(0, 255, (2, 2, 1), np.uint8)

    def __init__(self, task):
        self.task = task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full((2, 2, 1), 255, np.uint8), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        picture = np.zeros((2, 2, 1), np.uint8)
        picture[0, 0], picture[1, 1] = 51 * action
        return picture, 0.0, False, False, {}


@pytest.mark.parametrize("kind", [None, SyncVectorEnv, AsyncVectorEnv])
def test_products_go_in_and_pictures_come_out(kind):
    def many(task, num_envs):
        envs = kind([partial(Buttons, task)] * num_envs)
        return VectorWrapper(envs) if kind is SyncVectorEnv else envs

    env = opened(Buttons if kind is None else many)
    assert (env.spec.obs_size, env.spec.action.counts) == (4, (2, 3))
    one = ASKED.select(torch.tensor([0]))
    assert env.reset(one, 6, RNG).eq(255).all()
    every = torch.tensor([[[first, second] for first in range(2) for second in range(3)]], dtype=torch.float32)
    seen = as_numbers(env.spec.parts, env.step(every).obs)
    expected = [[first / 5, 0.0, 0.0, second / 5] for first in range(2) for second in range(3)]
    torch.testing.assert_close(seen[0], torch.tensor(expected))
    env.close()


class Hybrid(gym.Env):
    """Shows what of its hybrid action it was given; each has to be of the space, in kind and shape."""

    action_space = gym.spaces.Dict(
        arm=gym.spaces.Tuple((gym.spaces.Discrete(3, start=5), gym.spaces.Box(-2.0, 2.0, (2,)))),
        grip=gym.spaces.MultiBinary(2),
    )
    observation_space = gym.spaces.Box(-9.0, 9.0, (5,))

    def __init__(self, task):
        self.task = task

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(5, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        (joint, turn), grip = action["arm"], action["grip"]
        return np.array([joint, *grip, *turn], np.float32), 0.0, False, False, {}


@pytest.mark.parametrize("kind", [None, SyncVectorEnv, AsyncVectorEnv])
def test_parts_of_a_hybrid_action_arrive_where_they_belong(kind):
    def many(task, num_envs):
        envs = kind([partial(Hybrid, task)] * num_envs)
        return VectorWrapper(envs) if kind is SyncVectorEnv else envs

    env = opened(Hybrid if kind is None else many)
    env.reset(ASKED, 2, RNG)
    options = torch.arange(K * 2 * 3).view(K, 2, 3) % 2
    numbers = torch.linspace(-1.0, 1.0, K * 2 * 2).view(K, 2, 2)
    step = env.step(torch.cat([options, numbers], -1))
    first = options + torch.tensor([5, 0, 0])
    torch.testing.assert_close(step.obs, torch.cat([first, 2.0 * numbers], -1))
    assert not env.take_faults()
    env.close()


def test_vectors_and_whole_numbers_arrive_as_such():
    seen = []

    def make(goal, legs, mass):
        seen.append((goal, legs, mass))
        return Counter()

    tasks = TaskDistribution({"goal": Uniform(0.0, 1.0, (2,)), "legs": Choice((2, 4)), "mass": Uniform(1.0, 2.0)})
    goal, legs, mass = torch.tensor([[0.25, 0.5]]), torch.tensor([4.0]), torch.tensor([1.5])
    opened(make, tasks=tasks).reset(Tasks({"goal": goal, "legs": legs, "mass": mass}, torch.tensor([0])), 1, RNG)
    goal, legs, mass = seen[-1]
    assert isinstance(goal, np.ndarray) and goal.tolist() == [0.25, 0.5]
    assert (legs, mass) == (4, 1.5) and isinstance(legs, int) and isinstance(mass, float)


class Logged(Counter):
    """Counts the calls of all copies together."""

    calls = {"reset": 0, "step": 0}  # noqa: RUF012

    def reset(self, **kwargs):
        Logged.calls["reset"] += 1
        return super().reset(**kwargs)

    def step(self, action):
        Logged.calls["step"] += 1
        return super().step(action)


def opened_for_one_episode(make):
    return family(make).open(EnvOptions(one_episode=True))


def once(env):
    return Collector(env, HORIZON, B, Phases(), one_episode=True)(ByDraw(), Agent({}, {}), ASKED, RNG)


def test_a_copy_that_waits_is_neither_stepped_nor_reset():
    env = opened_for_one_episode(Logged)
    for _ in range(2):  # a reset wakes all of them
        Logged.calls.update(reset=0, step=0)
        rollout = once(env)
        assert Logged.calls == {"reset": K * B, "step": rollout.env_steps}
        assert torch.equal(rollout.taken.sum(1), length_of(rollout.obs[:, 0, :, DRAW].long()))


def test_a_copy_that_waits_shows_nothing():
    env = opened_for_one_episode(Counter)
    env.reset(ASKED, B, RNG)
    steps = [env.step(action) for action in actions()]  # more of them than the horizon has
    ended = torch.stack([step.terminated | step.truncated for step in steps])
    assert ended.sum(0).eq(1).all()
    for step, waits in zip(steps, ended.cumsum(0) - ended.long() > 0, strict=True):
        assert not step.reward[waits].any() and not step.obs[waits].any() and not step.diverged.any()


@pytest.mark.parametrize("mode", MODES)
def test_one_episode_is_the_same_where_a_vector_environment_cannot_leave_copies_alone(mode):
    plain = once(opened_for_one_episode(Taped()))
    assert not plain.taken.all()
    taped = once(opened_for_one_episode(vector_make(partial(Tape, mode=mode))))
    for name in ("obs", "action", "reward", "terminated", "truncated", "valid", "final_obs", "elapsed", "taken"):
        assert torch.equal(getattr(plain, name), getattr(taped, name)), name
    assert torch.equal(plain.last_carry["sum"], taped.last_carry["sum"])


def test_a_fault_after_the_one_episode_is_never_met():
    class FailsLater(Counter):
        def reset(self, **kwargs):
            self.episodes = getattr(self, "episodes", 0) + 1
            assert self.episodes < 2, "a second episode"
            return super().reset(**kwargs)

    env = opened_for_one_episode(FailsLater)
    assert once(env).valid.any() and env.take_faults() == ()
