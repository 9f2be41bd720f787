"""MiniGrid and BabyAI: levels stay over a trial, are apart in what they hold, and are seen as symbols and words."""

import importlib.util

import numpy as np
import pytest
import torch

from drml.core.errors import EnvError, InputError
from drml.core.observation import split
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import BYTES, EnvOptions
from drml.envs.foreign.family import GymFamily
from drml.suites.packages import minigrid
from drml.suites.packages.levels import NUM_LEVELS, Levels
from drml.suites.registry import SUITES
from drml.tasks.samplers.uniform import UniformSampler

pytest.importorskip("minigrid")
ANY = pytest.mark.parametrize("name", minigrid.WORLDS)
HIDDEN = "minigrid-hidden-goal-v1"


def drawn(name, which, count, seed=1):
    return UniformSampler().sample({}, SUITES[name].tasks, which, count, Streams(seed))


def random_actions(suite, t, tasks, copies):
    return torch.from_numpy(Streams(5)[t].generator().integers(suite.spec.action.size, size=(tasks, copies)))


def level(name, number=3):
    return minigrid.environment(name, number)


@ANY
def test_the_environments_are_what_the_suites_declare_the_time_limit_included(name):
    suite = SUITES[name]
    env = suite.make(EnvOptions())  # compares the spec that is written down with what is built
    assert env.spec == suite.spec and suite.interface().horizon == suite.spec.horizon
    assert suite.facts()[BYTES] == "symbols (other bounds) as they are"


@ANY
def test_all_episodes_of_a_task_begin_with_the_same_level_to_the_bit_and_tasks_differ(name):
    suite = SUITES[name]
    env = suite.make(EnvOptions())
    tasks = drawn(name, "train", 6)
    first = env.reset(tasks, 2, Streams(2))
    assert torch.equal(first[:, 0], first[:, 1])
    assert torch.equal(first, env.reset(tasks, 2, Streams(99)))  # another seed, and copies used again
    begun = 0
    for t in range(suite.spec.horizon):
        step = env.step(random_actions(suite, t, 6, 2))
        ended = step.terminated | step.truncated
        assert torch.equal(step.obs[ended], first[ended])
        begun += int(ended.sum())
    assert begun >= 12 and len(torch.unique(first[:, 0], dim=0)) > 1


@ANY
def test_what_training_meets_is_not_what_testing_meets(name):
    world, suite = minigrid.WORLDS[name], SUITES[name]
    env = minigrid._make(world, Levels(suite.tasks), 0)
    met = {}
    for which, count in (("train", 150), ("test", 30), ("validation", 30)):
        numbers = drawn(name, which, count).params["level"].tolist()
        contents = set()
        for number in numbers:
            env.turn(int(number))
            contents.add(env._content(env._seed))
        met[which] = contents
    assert (
        not met["train"] & met["test"] and not met["train"] & met["validation"] and not met["test"] & met["validation"]
    )
    assert len(met["train"]) > 50 and len(met["test"]) > 5


@ANY
def test_a_success_is_the_step_that_is_paid(name):
    suite = SUITES[name]
    env = suite.make(EnvOptions())
    env.reset(drawn(name, "train", 10), 4, Streams(3))
    steps = [env.step(random_actions(suite, t, 10, 4)) for t in range(100)]
    assert all(torch.equal(step.success, step.reward > 0.0) for step in steps)


def test_the_hidden_goal_is_one_of_all_cells_never_seen_and_walking_there_is_paid_as_the_definition_says():
    goals = {goal_of(level(HIDDEN, number)) for number in range(200)}
    assert len(goals) == 16  # of 4 x 4 cells
    env = level(HIDDEN)
    seen, _ = env.reset()
    grid = env.unwrapped
    (x, y), taken, hidden = goal_of(env), 0, 0
    while True:
        hidden += int((grid.gen_obs()["image"][..., 0] == minigrid.GOAL).any())
        assert set(seen["image"][..., 0].ravel()) == {1, 2}  # empty cells and walls
        dx, dy = x - grid.agent_pos[0], y - grid.agent_pos[1]
        wanted = (0 if dx > 0 else 2) if dx else (1 if dy > 0 else 3)
        seen, reward, terminated, _, info = env.step(2 if grid.agent_dir == wanted else 1)
        taken += 1
        if terminated:
            break
    assert hidden > 0  # the package itself would have shown it
    assert reward == pytest.approx(1.0 - 0.9 * taken / 30) and info["success"]


def goal_of(env):
    (cell,) = [i for i, thing in enumerate(env.unwrapped.grid.grid) if thing is not None and thing.type == "goal"]
    return cell % env.unwrapped.width, cell // env.unwrapped.width


def test_what_is_seen_is_the_packages_own_picture_direction_and_mission():
    name = "babyai-pick-up-v1"
    env, suite = level(name), SUITES[name]
    batch = suite.make(EnvOptions())
    row = batch.reset(Tasks({"level": torch.tensor([3.0])}, torch.tensor([0])), 1, Streams(0))[0, 0]
    env.reset()
    seen = env.unwrapped.gen_obs()
    direction, image, mission = split(suite.spec.parts, row)
    assert direction.argmax() == seen["direction"] and direction.sum() == 1
    assert np.array_equal(image.numpy().reshape(7, 7, 3), seen["image"])
    numbers = mission.reshape(9, -1).argmax(-1).tolist()
    assert " ".join(minigrid.WORDS[number - 1] for number in numbers if number) == seen["mission"]


def test_missions_are_words_in_order_and_strange_or_too_many_ones_are_named():
    words = minigrid.numbers_of("go to a red ball, then", 8)
    assert [minigrid.WORDS[n - 1] if n else "" for n in words] == ["go", "to", "a", "red", "ball", ",", "then", ""]
    with pytest.raises(EnvError, match=r"'go to a cat' has the word 'cat', which is none of the 54 known"):
        minigrid.numbers_of("go to a cat", 5)
    with pytest.raises(EnvError, match=r"'go to a red ball' has 5 words, more than words=4"):
        minigrid.numbers_of("go to a red ball", 4)


def test_any_other_environment_of_the_package_is_a_family_in_one_line():
    family = minigrid.levels("MiniGrid-MultiRoom-N4-S5-v1")
    assert isinstance(family, GymFamily) and family.suite().spec.horizon == 80  # 20 for each of 4 rooms: found
    assert minigrid.levels("BabyAI-GoToObj-v0", words=5, horizon=20).suite().spec.horizon == 20


def test_nothing_is_printed_where_levels_are_drawn_again(capfd):
    family = minigrid.levels("BabyAI-PutNextLocal-v0", words=9)
    for number in range(20):
        family(level=number).reset()
    assert capfd.readouterr().out == ""


def test_without_the_package_the_extra_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "minigrid" else find(name, *a))
    with pytest.raises(InputError, match=r'needs minigrid: pip install "drml\[minigrid\]"'):
        minigrid.levels("MiniGrid-Empty-8x8-v0").suite()
    with pytest.raises(InputError, match=r'pip install "drml\[minigrid\]"'):
        minigrid.picture(HIDDEN)
    assert SUITES[HIDDEN].tasks.params["level"].num_values == NUM_LEVELS  # still listed
