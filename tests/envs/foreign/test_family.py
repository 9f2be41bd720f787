import math
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from counters import Counter, Tape
from gymnasium.spaces import Box, Dict, Discrete, Sequence
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

import drml
from drml.core.errors import EnvError, InputError
from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import EnvOptions
from drml.envs.foreign.family import GymFamily, family_of, task_family
from drml.envs.foreign.limits import time_limit
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform

FAILED = r"raised RuntimeError: call reset first \(tests/.*:\d+\)"


class OwnSpace(gym.Space):
    def __repr__(self):
        return "OwnSpace"


def fails(env):
    raise RuntimeError("call reset first")


def leaves(env):
    sys.exit(0)


TASKS = TaskDistribution({"task": Uniform(0.0, 1.0)})


@task_family(task=Uniform(0.0, 2.0, ood=(2.0, 3.0)), horizon=9, action_scale=0.5)
def counted(task):
    """Count steps.

    More about it.
    """
    return Counter(task)


class TestDecorator:
    def test_it_says_what_the_family_is(self):
        assert (counted.name, counted.summary, counted.horizon, counted.action_scale) == (
            "counted",
            "Count steps.",
            9,
            0.5,
        )
        assert counted.tasks.params == {"task": Uniform(0.0, 2.0, ood=(2.0, 3.0))}

    def test_the_function_can_still_be_called(self):
        assert counted(task=1.5).task == 1.5

    def test_a_few_tasks_are_shared_if_it_says_so(self):
        family = task_family(task=Choice((0.0, 1.0)), held_out=False, horizon=3)(Counter)
        assert not family.tasks.held_out
        with pytest.raises(InputError, match="held_out=False"):
            task_family(task=Choice((0.0, 1.0)))

    def test_what_is_no_distribution_is_refused(self):
        with pytest.raises(InputError, match=r"task is \(0, 1\), expected a distribution such as Uniform"):
            task_family(task=(0, 1))

    def test_an_option_is_not_a_parameter(self):
        with pytest.raises(InputError, match="'horizon' is an option; to vary a parameter of this name, use GymFamily"):
            task_family(horizon=Uniform(1.0, 2.0))

    def test_the_function_takes_the_parameters(self):
        with pytest.raises(InputError, match=r"make does not take the parameter 'tsk'. Did you mean 'task'"):
            task_family(tsk=Uniform(0.0, 1.0))(Counter)

    def test_any_keywords_will_do(self):
        family = task_family(task=Uniform(0.0, 1.0), horizon=3)(Counter)
        assert family.suite().spec.horizon == 3

    def test_everything_that_a_user_needs_is_in_the_package(self):
        assert drml.task_family is task_family and drml.Uniform is Uniform and "Choice" in dir(drml)
        with pytest.raises(AttributeError, match="no attribute 'Uniformly'"):
            drml.Uniformly  # noqa: B018


class TestClass:
    def test_a_class_and_an_object_of_it_are_the_same_family(self):
        class Counters:
            """Count."""

            params = {"task": Uniform(0.0, 1.0)}  # noqa: RUF012 — as a user writes it
            horizon = 4

            def make(self, task):
                return Counter(task)

        for kind in (Counters, Counters()):
            family = family_of(kind)
            assert (family.name, family.summary, family.horizon) == ("Counters", "Count.", 4)
            assert family.suite().spec == EnvSpec(4, ActionSpec("discrete", 3), 4)


class TestSuite:
    def test_one_environment_of_the_middle_task_shows_the_spaces(self):
        made = []

        def make(task):
            made.append(task)
            return Counter(task)

        family = GymFamily("counters", make, TASKS, horizon=7)
        assert made == []
        suite = family.suite()
        assert suite.spec == EnvSpec(4, ActionSpec("discrete", 3), 7) and made == [0.5]
        family.suite()
        suite.make(EnvOptions())
        assert made == [0.5]

    def test_a_declared_spec_builds_nothing_until_it_is_run_and_is_checked_then(self):
        made = []

        def make(task):
            made.append(task)
            return Counter(task)

        spec = EnvSpec(4, ActionSpec("discrete", 3), 7)
        assert GymFamily("counters", make, TASKS, 7, spec=spec).suite().spec == spec and made == []
        wrong = GymFamily("counters", make, TASKS, 7, spec=EnvSpec(5, ActionSpec("discrete", 3), 7)).suite()
        with pytest.raises(InputError, match=r"the environment has .*obs_size=4.*, the family declares .*obs_size=5"):
            wrong.make(EnvOptions())

    def test_a_constructor_that_raises_is_bad_input(self):
        def make(task):
            raise ValueError("no motor")

        with pytest.raises(
            InputError, match=r"making the environment of task=0.5 raised ValueError: no motor \(tests/.*:\d+\)"
        ):
            GymFamily("counters", make, TASKS, 7).suite()

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda task: 3, "a int is not an environment, expected a gymnasium.Env"),
            (lambda task: SyncVectorEnv([Counter]), "returns a vector environment, so it has to take num_envs"),
            (lambda task, num_envs: Counter(task), "takes num_envs=1 and returns Counter, expected a VectorEnv of 1"),
            (
                lambda task, num_envs: SyncVectorEnv([Counter] * 3),
                "takes num_envs=1 and returns a vector environment of 3",
            ),
        ],
    )
    def test_what_is_no_environment_is_refused(self, make, message):
        with pytest.raises(InputError, match=message):
            GymFamily("counters", make, TASKS, 7).suite()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"observation_space": Sequence(Discrete(2))}, "observation space Sequence.*no fixed number of entries"),
            ({"observation_space": None}, "observation space None is no Box"),
            ({"observation_space": Box}, "observation space <class .*Box'> is no Box"),
            ({"observation_space": OwnSpace()}, "observation space OwnSpace is no Box"),
            ({"observation_space": Box(0.0, 1.0, (0,))}, r"observations in Box\(.* hold no number"),
            ({"observation_space": Dict({})}, r"observations in Dict\(\) hold no number"),
            ({"action_space": OwnSpace()}, "action space OwnSpace is not supported"),
            ({"action_space": Box(0.0, 1.0, (0,))}, r"action space Box\(.* holds no number"),
            ({"observation_space": property(fails)}, rf"looking at the environment of task=0.5 {FAILED}"),
            ({"close": fails}, rf"closing the environment of task=0.5 {FAILED}"),
            ({"close": leaves}, r"closing the environment of task=0.5 raised SystemExit: 0 \(tests/.*:\d+\)"),
        ],
    )
    def test_an_environment_that_does_not_fit_is_refused_by_name(self, changes, message):
        with pytest.raises(InputError, match=f"^counters: {message}"):
            GymFamily("counters", type("Odd", (Counter,), changes), TASKS, 7).suite()

    @pytest.mark.parametrize("mode", [None, "whatever"])
    def test_how_a_vector_environment_resets_is_asked_before_any_training(self, mode):
        with pytest.raises(InputError, match=r"tapes: vector environment .* declares no autoreset mode"):
            GymFamily("tapes", lambda task, num_envs: Tape(num_envs, task, mode), TASKS, 9).suite()

    def test_a_vector_environment_without_metadata_is_told_the_same(self):
        def make(task, num_envs):
            tape = Tape(num_envs, task, None)
            tape.metadata = None
            return tape

        with pytest.raises(InputError, match=r"tapes: vector environment .* declares no autoreset mode"):
            GymFamily("tapes", make, TASKS, 9).suite()

    @pytest.mark.parametrize("space", [Sequence(Discrete(2)), None])
    def test_another_task_with_a_space_of_no_use_is_the_environments_fault(self, space):
        """The run is saved where a family breaks its contract, unlike where it was never sound."""

        class Changing(Counter):
            def __init__(self, task):
                super().__init__(task)
                self.observation_space = space if task > 0.5 else Counter.observation_space

        with pytest.raises(EnvError, match=r"counters: the environment of task=0.75: observation space"):
            GymFamily("counters", Changing, TASKS, 7).copies({"task": 0.75}, 1)

    @pytest.mark.parametrize("horizon", [20.0, 20.5, "20", None, -1])
    def test_a_horizon_is_a_whole_number(self, horizon):
        with pytest.raises(InputError, match=f"c: horizon is {horizon!r}, must be a whole number"):
            GymFamily("c", Counter, TASKS, horizon)

    @pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "a", None])
    def test_the_scale_of_actions_is_a_positive_number(self, scale):
        with pytest.raises(InputError, match=f"c: action_scale is {scale!r}, must be a number above 0"):
            GymFamily("c", Counter, TASKS, 7, action_scale=scale)

    def test_numbers_of_numpy_are_numbers(self):
        assert GymFamily("c", Counter, TASKS, np.int64(7), np.float32(0.5)).suite().spec.horizon == 7


class TestHorizon:
    def test_it_is_the_environments_own_time_limit(self):
        assert GymFamily("c", lambda task: TimeLimit(Counter(task), 11), TASKS).suite().spec.horizon == 11
        made = GymFamily("c", lambda task: gym.make("CartPole-v1", max_episode_steps=12), TASKS)
        assert made.suite().spec.horizon == 12

    def test_a_wrapper_around_it_hides_nothing(self):
        env = gym.wrappers.TransformReward(TimeLimit(Counter(), 11), lambda reward: reward)
        assert time_limit(env) == 11 and time_limit(gym.make("Pendulum-v1")) == 200 and time_limit(Counter()) == 0

    def test_vector_environments_have_theirs(self):
        sync = SyncVectorEnv([lambda: TimeLimit(Counter(), 11)])
        own = gym.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point", max_episode_steps=13)
        assert time_limit(sync) == 11 and time_limit(own) == 13
        assert time_limit(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")) == 500
        processes = AsyncVectorEnv([lambda: gym.make("CartPole-v1", max_episode_steps=14)])
        assert time_limit(processes) == 14
        processes.close()
        wrapped = AsyncVectorEnv([lambda: TimeLimit(Counter(), 15)])
        assert time_limit(wrapped) == 15
        wrapped.close()

    @pytest.mark.parametrize("limit", [-1, math.inf, math.nan, "20", lambda env: 20])
    def test_what_is_no_number_of_steps_is_no_limit(self, limit):
        assert time_limit(type("Odd", (Counter,), {"max_episode_steps": limit})()) == 0
        assert time_limit(TimeLimit(type("Odd", (Counter,), {"max_episode_steps": limit})(), 11)) == 11

    @pytest.mark.parametrize("inner", [{"envs": 4}, {"envs": []}, {"env": property(lambda env: env)}])
    def test_attributes_that_hold_no_other_environment_lead_nowhere(self, inner):
        assert time_limit(type("Odd", (Counter,), inner)()) == 0

    def test_a_limit_that_cannot_be_read_is_refused_unless_there_is_a_horizon(self):
        kind = type("Odd", (Counter,), {"max_episode_steps": property(fails)})
        with pytest.raises(InputError, match=f"c: looking at the environment of task=0.5 {FAILED}"):
            GymFamily("c", kind, TASKS).suite()
        assert GymFamily("c", kind, TASKS, 7).suite().spec.horizon == 7

    def test_without_either_there_is_none_and_the_way_out_is_named(self):
        with pytest.raises(InputError, match="no time limit, so the family needs a horizon: horizon=STEPS"):
            GymFamily("c", Counter, TASKS).suite()
        with pytest.raises(InputError, match="horizon is -1"):
            GymFamily("c", Counter, TASKS, horizon=-1)

    @pytest.mark.parametrize("limit", [3, 5, 8])
    def test_a_time_limit_and_our_horizon_agree_on_what_is_truncated(self, limit):
        """An episode of 5 steps or more is cut at min(limit, 5); the draw of this seed takes 5 and truncates."""

        class Endless(Counter):
            def step(self, action):
                obs, reward, *_ = super().step(action)
                return obs, reward, False, False, {}

        family = GymFamily("c", lambda task: TimeLimit(Endless(task), limit), TASKS, horizon=5)
        env = family.open(EnvOptions())
        env.reset(Tasks({"task": torch.zeros(1, dtype=torch.float64)}, torch.tensor([0])), 1, Streams(0))
        steps = [env.step(torch.zeros((1, 1), dtype=torch.int64)) for _ in range(12)]
        truncated = [t for t, step in enumerate(steps) if bool(step.truncated)]
        period = min(limit, 5)
        assert truncated == list(range(period - 1, 12, period)) and not any(bool(step.terminated) for step in steps)


def test_a_third_partys_vector_environment_is_a_family_too():
    family = GymFamily("tapes", lambda task, num_envs: Tape(num_envs, task, AutoresetMode.DISABLED), TASKS, 9)
    env = family.suite().make(EnvOptions())
    obs = env.reset(Tasks({"task": torch.tensor([0.25], dtype=torch.float64)}, torch.tensor([0])), 3, Streams(0))
    assert obs.tolist() == [[[0.25, 0, 0, 0], [0.25, 10, 0, 0], [0.25, 20, 0, 0]]]


def test_termination_at_the_horizon_is_termination():
    class Last(Counter):
        def step(self, action):
            obs, reward, *_ = super().step(action)
            return obs, np.float32(reward), np.bool_(obs[2] == 4), np.bool_(obs[2] == 4), {}

    env = GymFamily("c", Last, TASKS, horizon=4).open(EnvOptions())
    env.reset(Tasks({"task": torch.zeros(1, dtype=torch.float64)}, torch.tensor([0])), 1, Streams(0))
    steps = [env.step(torch.zeros((1, 1), dtype=torch.int64)) for _ in range(4)]
    assert [bool(step.terminated) for step in steps] == [False, False, False, True]
    assert not any(bool(step.truncated) for step in steps)
