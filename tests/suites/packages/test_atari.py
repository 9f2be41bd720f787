"""Atari: the cartridges' own versions and hidden wirings as tasks, the same to the bit whoever turned the console."""

import importlib.util

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import BYTES, EnvOptions
from drml.suites.packages import atari
from drml.suites.registry import SUITES
from drml.tasks.distribution import content_hashes
from drml.tasks.samplers.uniform import UniformSampler

ale_py = pytest.importorskip("ale_py")
ANY = pytest.mark.parametrize("name", atari.CARTRIDGES)
QBERT, BREAKOUT, PICTURES = (
    "atari-qbert-wiring-v1",
    "atari-breakout-modes-v1",
    "atari-breakout-modes-pictures-v1",
)


def played(env, actions, seed=3):
    """Observations and rewards of an episode."""
    rows, rewards = [env.reset(seed=seed)[0]], []
    for action in actions:
        seen, reward, terminated, truncated, _ = env.step(action)
        rows.append(seen)
        rewards.append(reward)
        if terminated or truncated:
            break
    return np.stack(rows), rewards


@ANY
def test_the_environments_are_what_the_suites_declare_the_time_limit_included(name):
    suite = SUITES[name]
    env = suite.make(EnvOptions())  # compares the spec that is written down with what is built
    assert env.spec == suite.spec and suite.facts()[BYTES] == "pictures (0 to 255) divided by 255"


@ANY
def test_a_task_is_the_same_whoever_meets_it_and_its_episodes_end_at_the_horizon_or_before(name):
    suite = SUITES[name]
    tasks = UniformSampler().sample({}, suite.tasks, "train", 2, Streams(1))
    env, rounds = suite.make(EnvOptions()), []
    for others in (None, UniformSampler().sample({}, suite.tasks, "test", 2, Streams(2))):
        if others is not None:  # the consoles are turned to other tasks, and back
            env.reset(others, 2, Streams(8))
            env.step(torch.ones((2, 2), dtype=torch.int64))
        steps = [env.reset(tasks, 2, Streams(5))]
        steps += [env.step(torch.full((2, 2), t % suite.spec.action.size)).obs for t in range(12)]
        rounds.append(torch.stack(steps))
    assert torch.equal(*rounds) and not env.take_faults()
    assert len({rounds[0][:, k, b].numpy().tobytes() for k in range(2) for b in range(2)}) > 1


@pytest.mark.parametrize("name", [name for name, cartridge in atari.CARTRIDGES.items() if cartridge.modes])
def test_versions_are_those_of_the_cartridge_and_differ(name):
    cartridge = atari.CARTRIDGES[name]
    ale = ale_py.ALEInterface()
    ale.loadROM(ale_py.roms.get_rom_path(cartridge.game))
    assert list(cartridge.modes) == list(ale.getAvailableModes())
    assert list(cartridge.difficulties) == list(ale.getAvailableDifficulties())
    actions = [t % cartridge.num_actions for t in range(40)]
    versions = [(cartridge.modes[0], d) for d in cartridge.difficulties] + [(m, 0) for m in cartridge.modes[1:4]]
    seen = {v: played(atari.environment(name, mode=v[0], difficulty=v[1]), actions)[0].tobytes() for v in versions}
    assert len({*seen.values()}) > 1 and seen[versions[0]] != seen[versions[-1]]


def test_training_and_testing_share_no_version_and_no_wiring():
    for name in atari.CARTRIDGES:
        met = {
            which: set(content_hashes(UniformSampler().sample({}, SUITES[name].tasks, which, 60, Streams(1))))
            for which in ("train", "validation", "test")
        }
        assert not (met["train"] & met["test"] or met["train"] & met["validation"] or met["test"] & met["validation"])


def test_a_wired_joystick_presses_what_it_is_wired_to():
    wiring = np.array([3, 0, 4, 2, 1])
    straight, wired = (atari.environment(QBERT, wiring=w) for w in (np.arange(5), wiring))
    wanted = [4, 2, 0, 1, 4]  # down and to the sides: cubes are paid for
    ours = [int(np.flatnonzero(wiring == action)[0]) for action in wanted]
    expected, rewards = played(straight, wanted)
    rows, paid = played(wired, ours)
    assert np.array_equal(rows, expected) and paid == rewards and sum(rewards) > 0
    assert not np.array_equal(played(wired, wanted)[0][: len(expected)], expected)


def test_no_two_buttons_of_the_wired_game_do_the_same():
    begun = {action: played(atari.environment(QBERT, wiring=np.arange(5)), [4, 2, action])[0] for action in range(5)}
    assert len({rows.tobytes() for rows in begun.values()}) == 5


def test_the_start_is_drawn_by_the_seed_and_by_nothing_else():
    env = atari.environment(BREAKOUT, mode=0, difficulty=0)
    starts = {seed: env.reset(seed=seed)[0].tobytes() for seed in range(20)}
    assert 4 <= len(set(starts.values())) <= 8  # 0 to 7 steps without an action
    for _ in range(30):
        env.step(1)
    assert all(env.reset(seed=seed)[0].tobytes() == start for seed, start in starts.items())


def test_small_pictures_are_means_over_the_pixels_below():
    assert (atari.small(np.full((210, 160), 77, np.uint8)) == 77).all()
    picture = np.arange(168 * 84 * 3).reshape(168, 252) % 200
    by_hand = picture.reshape(84, 2, 84, 3).mean((1, 3)).round().astype(np.uint8)
    np.testing.assert_allclose(atari.small(picture).astype(int), by_hand, atol=1)  # a half may round either way
    rows = atari._means(210)
    np.testing.assert_allclose(rows.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(rows.sum(0), 84 / 210, atol=1e-6)  # each pixel counts the same


def test_pictures_are_the_last_four_in_order():
    rows, _ = played(atari.environment(PICTURES, mode=0, difficulty=0), [1, 2, 3, 2, 3, 2, 3, 3])
    assert rows.shape[1:] == (4, 84, 84)
    assert all(np.array_equal(rows[t + 1][:3], rows[t][1:]) for t in range(len(rows) - 1))
    assert not np.array_equal(rows[-1][2], rows[-1][3])


def test_without_the_package_the_extra_and_its_licence_are_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "ale_py" else find(name, *a))
    with pytest.raises(InputError, match=r'ale-py is under the GPL-2\.0\) needs ale_py: pip install "drml\[atari\]"'):
        atari.environment(BREAKOUT, mode=0, difficulty=0)


def test_an_unknown_suite_is_named():
    with pytest.raises(InputError, match="atari-qbert"):
        atari.environment("atari-qbert-wirings-v1", wiring=np.arange(5))


def test_tasks_by_hand_reach_the_console():
    env = SUITES[BREAKOUT].make(EnvOptions())
    tasks = Tasks({"mode": torch.tensor([0.0, 8.0]), "difficulty": torch.tensor([0.0, 1.0])}, torch.tensor([0, 0]))
    first = env.reset(tasks, 1, Streams(0))
    assert not torch.equal(first[0], first[1])
