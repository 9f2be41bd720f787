"""Memories of objects: what can be earned, by hand, by the recursions and in the environment."""

import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.references.object_memory import best_expected, chance, play
from drml.suites.games.object_memory import SUITES
from drml.tasks.samplers.uniform import UniformSampler


def test_what_can_be_expected_by_hand():
    assert best_expected(2, 3) == pytest.approx([0.5, 1.5, 2.5])  # one choice tells all
    # Three objects: the first choice tells one pair. Then the cue is the same one (1/3), or another, of which the
    # object beside the paired one is the known one half of the time, which tells; else it is 1/2.
    assert best_expected(3, 2) == pytest.approx([1 / 2, 1 / 2 + 1 / 3 + 2 / 3 * 3 / 4])
    # With a second pair known all three are: it is, unless the second cue was the first one and nothing was learned.
    gains = [b - a for a, b in zip(best_expected(3, 5), best_expected(3, 5)[1:], strict=False)]
    assert gains == sorted(gains) and gains[-1] < 1.0
    with pytest.raises(InputError, match="5 objects, expected 2 to 4"):
        best_expected(5, 2)


def test_chance_by_hand():
    # A corridor of one step, of which 2 are taken: right (1/4), then up or down (1/2), half of them right.
    assert chance(1, 2) == pytest.approx(1 / 4 * 1 / 2 * 1 / 2)
    assert chance(1, 3) == pytest.approx(1 / 16 + (3 / 4 * 1 / 4 + 1 / 4 * 1 / 4) * 1 / 4)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_who_knows_the_pairs_is_always_right(suite):
    tasks = UniformSampler().sample({}, suite.tasks, "train", 6, Streams(0))
    assert (play(suite.make(EnvOptions()), 5, tasks, 50, Streams(1)) == 1.0).all()


def test_chance_in_the_environment():
    suite, copies = SUITES[1], 20_000
    tasks = UniformSampler().sample({}, suite.tasks, "train", 1, Streams(0))
    env = suite.make(EnvOptions())
    env.reset(tasks, copies, Streams(0))
    earned, goes_on = torch.zeros(copies), torch.ones(copies, dtype=torch.bool)
    for action in torch.from_numpy(Streams(3)["act"].generator().integers(4, size=(20, 1, copies))):
        step = env.step(action)
        earned += step.reward[0] * goes_on
        goes_on &= ~step.terminated[0]
    expected = chance(5, 20)
    assert abs(earned.mean().item() - expected) < 5 * (expected * (1 - expected) / copies) ** 0.5
