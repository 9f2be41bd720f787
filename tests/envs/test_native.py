"""Episodes of native environments: the clock, the restarts, and what holds for each suite."""

import copy
from dataclasses import dataclass, fields
from functools import partial

import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import ActionSpec, EnvSpec, Step, Tasks
from drml.envs.api import EnvOptions, Suite
from drml.envs.native import NativeEnv, Outcome
from drml.suites import bandit, grid, navigation, probe, tabular
from drml.suites.games import lake, object_memory, rule_world
from drml.tasks.samplers.uniform import UniformSampler

FAMILIES = (navigation, bandit, tabular, grid, lake, object_memory, rule_world, probe)
SUITES = tuple(suite for family in FAMILIES for suite in family.SUITES)
HORIZON = 5


@dataclass(frozen=True)
class Countdown:
    """Episodes that count 0, 1, 2, ... and terminate at the task's length; each pays what the action says."""

    length: torch.Tensor
    copies: int
    first_only: bool
    """Whether only a first episode terminates."""

    def start(self, t):
        return torch.zeros(len(self.length), self.copies)

    def observe(self, state):
        return state.unsqueeze(-1)

    def move(self, state, action, t):
        counted = torch.full_like(state, t + 1.0) if self.first_only else state + 1.0
        return Outcome(state + 1.0, action.squeeze(-1), counted == self.length.unsqueeze(1))


def countdown_env(horizon_terminates: bool = False, first_only: bool = False) -> NativeEnv:
    spec = EnvSpec(1, ActionSpec("continuous", 1), HORIZON)
    return NativeEnv(
        spec,
        {"length": ()},
        lambda tasks, copies, rng: Countdown(tasks.params["length"], copies, first_only),
        EnvOptions(),
        horizon_terminates=horizon_terminates,
    )


def lengths(*values: float) -> Tasks:
    return Tasks({"length": torch.tensor(values, dtype=torch.float64)}, torch.arange(len(values)))


def sample(suite: Suite, num_tasks: int) -> Tasks:
    return UniformSampler().sample({}, suite.tasks, "train", num_tasks, Streams(7)["tasks"])


def random_action(suite: Suite, tasks: Tasks, copies: int, t: int) -> torch.Tensor:
    """Return an action that is a function of (task id, copy, t)."""
    if suite.spec.action.kind == "discrete":
        return (tasks.ids[:, None] + 3 * torch.arange(copies) + t) % suite.spec.action.size
    rows = [Streams(3)["action", int(k), t].normal((copies, suite.spec.action.size)) for k in tasks.ids]
    return 0.1 * torch.stack(rows)


def roll(suite: Suite, tasks: Tasks, copies: int, steps: int, rng: Streams) -> list[Step]:
    env = suite.make(EnvOptions())
    env.reset(tasks, copies, rng)
    return [env.step(random_action(suite, tasks, copies, t)) for t in range(steps)]


def test_episodes_of_different_lengths_end_and_restart_copy_by_copy():
    env = countdown_env()
    first = env.reset(lengths(2.0, 3.0, 99.0), 1, Streams(0))
    steps = [env.step(torch.full((3, 1, 1), float(t))) for t in range(12)]
    assert first.flatten().tolist() == [0.0, 0.0, 0.0]
    # Columns are the tasks of length 2, 3 and 99; the last one only ever meets the horizon, 5.
    obs = torch.stack([step.obs.flatten() for step in steps])
    final_obs = torch.stack([step.final_obs.flatten() for step in steps])
    terminated = torch.stack([step.terminated.flatten() for step in steps])
    truncated = torch.stack([step.truncated.flatten() for step in steps])
    assert obs[:, 0].tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert final_obs[:, 0].tolist() == [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2]
    assert obs[:, 1].tolist() == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert final_obs[:, 1].tolist() == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]
    assert obs[:, 2].tolist() == [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2]
    assert final_obs[:, 2].tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]
    assert terminated.nonzero()[:, 0].tolist() == [1, 2, 3, 5, 5, 7, 8, 9, 11, 11]
    assert not terminated[:, 2].any()
    assert truncated.nonzero().tolist() == [[4, 2], [9, 2]]
    assert [step.reward.flatten().tolist() for step in steps] == [[float(t)] * 3 for t in range(12)]


def test_the_horizon_counts_from_the_start_of_each_copys_own_episode():
    env = countdown_env(first_only=True)
    env.reset(lengths(3.0, 99.0), 1, Streams(0))
    for _ in range(3):
        step = env.step(torch.zeros(2, 1, 1))
    assert step.terminated.flatten().tolist() == [True, False]
    flags = torch.stack([env.step(torch.zeros(2, 1, 1)).truncated.flatten() for _ in range(HORIZON)])
    assert flags.nonzero().tolist() == [[1, 1], [4, 0]]  # five steps after the reset, and after the third step


def test_a_task_that_ends_exactly_at_the_horizon_is_terminated_not_truncated():
    env = countdown_env()
    env.reset(lengths(float(HORIZON)), 2, Streams(0))
    steps = [env.step(torch.zeros(1, 2, 1)) for _ in range(HORIZON)]
    assert steps[-1].terminated.all()
    assert not steps[-1].truncated.any()


def test_a_horizon_that_is_the_end_of_the_task_terminates():
    env = countdown_env(horizon_terminates=True)
    env.reset(lengths(99.0), 1, Streams(0))
    steps = [env.step(torch.zeros(1, 1, 1)) for _ in range(HORIZON)]
    assert [step.terminated.item() for step in steps] == [False] * (HORIZON - 1) + [True]
    assert not any(step.truncated.item() for step in steps)


def test_reset_begins_anew():
    env = countdown_env()
    env.reset(lengths(99.0), 1, Streams(0))
    for _ in range(3):
        env.step(torch.zeros(1, 1, 1))
    assert env.reset(lengths(99.0, 99.0), 2, Streams(0)).shape == (2, 2, 1)
    flags = [env.step(torch.zeros(2, 2, 1)).truncated.any().item() for _ in range(HORIZON)]
    assert flags == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("tasks", "copies", "message"),
    [
        (lengths(1.0), 0, "copies is 0, expected at least 1"),
        (
            Tasks({"lenght": torch.ones(1)}, torch.arange(1)),
            1,
            "unknown task parameter 'lenght'. Did you mean 'length'?",
        ),
        (Tasks({}, torch.arange(2)), 1, r"task parameter 'length' is missing, expected shape \[2\]"),
        (Tasks({"length": torch.ones(2, 3)}, torch.arange(2)), 1, r"'length' has shape \[2, 3\], expected \[2\]"),
    ],
)
def test_reset_refuses_what_it_cannot_run(tasks, copies, message):
    with pytest.raises(InputError, match=message):
        countdown_env().reset(tasks, copies, Streams(0))


def test_step_before_reset_is_an_input_error():
    with pytest.raises(InputError, match="step was called before reset"):
        countdown_env().step(torch.zeros(1, 1, 1))


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (torch.zeros(2, 3, 2), r"action has shape \[2, 3, 2\], expected \[K=2, B=3, A=1\]"),
        (torch.zeros(2, 3), r"action has shape \[2, 3\]"),
        (torch.zeros(2, 3, 1, dtype=torch.float64), "dtype torch.float64, expected torch.float32"),
    ],
)
def test_the_first_continuous_action_is_checked(action, message):
    env = countdown_env()
    env.reset(lengths(1.0, 2.0), 3, Streams(0))
    with pytest.raises(InputError, match=message):
        env.step(action)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (torch.zeros(2, 3), "dtype torch.float32, expected torch.int64"),
        (torch.zeros(2, 3, 1, dtype=torch.int64), r"expected \[K=2, B=3\]"),
        (torch.full((2, 3), 5), "actions lie between 5 and 5, expected 0 to 4"),
        (torch.full((2, 3), -1), "actions lie between -1 and -1, expected 0 to 4"),
    ],
)
def test_the_first_discrete_action_is_checked(action, message):
    suite = tabular.SUITES[0]
    env = suite.make(EnvOptions())
    env.reset(sample(suite, 2), 3, Streams(0))
    with pytest.raises(InputError, match=message):
        env.step(action)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_shapes_and_types_are_those_of_the_spec(suite):
    num_tasks, copies = 3, 2
    env = suite.make(EnvOptions())
    assert env.spec == suite.spec
    obs = env.reset(sample(suite, num_tasks), copies, Streams(0))
    step = env.step(random_action(suite, sample(suite, num_tasks), copies, 0))
    for value in (obs, step.obs, step.final_obs):
        assert (value.shape, value.dtype) == ((num_tasks, copies, suite.spec.obs_size), torch.float32)
    assert (step.reward.shape, step.reward.dtype) == ((num_tasks, copies), torch.float32)
    for flag in (step.terminated, step.truncated, step.diverged):
        assert (flag.shape, flag.dtype) == ((num_tasks, copies), torch.bool)
    assert not step.diverged.any()


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_tasks_data_do_not_depend_on_the_tasks_beside_it(suite):
    tasks = sample(suite, 6)
    index = torch.tensor([4, 1, 5])
    steps = min(2 * suite.spec.horizon + 1, 45)
    together = roll(suite, tasks, 3, steps, Streams(1))
    apart = roll(suite, tasks.select(index), 3, steps, Streams(1))
    for a, b in zip(together, apart, strict=True):
        for field in fields(Step):
            whole, part = getattr(a, field.name), getattr(b, field.name)
            assert part is None if whole is None else torch.equal(whole[index], part), field.name


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_same_streams_give_the_same_data(suite):
    tasks = sample(suite, 2)
    runs = [roll(suite, tasks, 2, 12, Streams(seed)) for seed in (1, 1, 2)]
    same = [
        all(torch.equal(a.reward, b.reward) and torch.equal(a.obs, b.obs) for a, b in zip(runs[0], run, strict=True))
        for run in runs[1:]
    ]
    noisy = (
        "bandit",
        "tabular",
        "dark-key",
        "tmaze",
        "object-memory",
        "rule-world",
        "probe-observation",
        "probe-policy",
        "navigation-promp",
    )
    random = suite.name.startswith(noisy)
    assert same == [True, not random]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_what_was_returned_is_not_changed_by_later_steps(suite):
    tasks = sample(suite, 2)
    env = suite.make(EnvOptions())
    returned = [env.reset(tasks, 2, Streams(0))]
    for t in range(min(2 * suite.spec.horizon + 1, 45)):
        step = env.step(random_action(suite, tasks, 2, t))
        returned += [value for field in fields(Step) if (value := getattr(step, field.name)) is not None]
        if t == 0:
            before = copy.deepcopy(returned)
    for then, now in zip(before, returned, strict=False):
        assert torch.equal(then, now)


def test_suite_names_are_unique_and_versioned():
    names = [suite.name for suite in SUITES]
    assert len(set(names)) == len(names)
    assert all(name.endswith("-v1") for name in names)
    assert all(suite.summary.endswith(".") or "?" in suite.summary for suite in SUITES)


def test_makers_are_plain_partials_so_that_suites_can_be_sent_to_workers():
    assert all(isinstance(suite.make, partial) and suite.make.func is NativeEnv for suite in SUITES)
