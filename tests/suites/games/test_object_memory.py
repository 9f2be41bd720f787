"""Memories of objects against walks worked out by hand."""

import itertools

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.games.object_memory import DOWN, LEFT, RIGHT, SUITES, UP, permutations

THREE, FIVE = SUITES
PAIRS = [[1.0, 2.0, 0.0]]


def begin(copies: int):
    env = THREE.make(EnvOptions())
    obs = env.reset(Tasks({"pairs": torch.tensor(PAIRS)}, torch.tensor([0])), copies, Streams(0))
    return env, obs[0].view(copies, 3, 3), lambda action: env.step(torch.full((1, copies), action))


def test_each_permutation_has_a_number():
    assert permutations(3, np.arange(6)).tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0], [2, 1, 0]]
    assert {tuple(row) for row in permutations(5, np.arange(120))} == set(itertools.permutations(range(5)))


def test_what_is_seen_where():
    copies = 3000
    _, obs, act = begin(copies)
    cue = obs[:, 0].argmax(-1)
    assert (obs[:, 0].sum(-1) == 1).all() and not obs[:, 1:].any()
    # Each of 3 cues in a third of 3000 episodes: standard deviation √(2/9/3000).
    assert (cue.bincount() / copies - 1 / 3).abs().max() < 5 * (2 / 9 / copies) ** 0.5
    corridor = [act(RIGHT) for _ in range(5)]
    assert not any(step.obs.any() for step in corridor[:4])
    upper, lower = corridor[4].obs[0].view(copies, 3, 3)[:, 1:].argmax(-1).unbind(-1)
    assert not corridor[4].obs[0, :, :3].any()
    paired = torch.tensor([1, 2, 0])[cue]
    assert ((upper == paired) ^ (lower == paired)).all()
    assert abs((upper == paired).float().mean() - 0.5) < 5 * (1 / 4 / copies) ** 0.5
    other = torch.where(upper == paired, lower, upper)
    assert abs((other == (paired + 1) % 3).float().mean() - 0.5) < 5 * (1 / 4 / copies) ** 0.5
    step = act(UP)
    assert torch.equal(step.reward[0], (upper == paired).float()) and step.terminated.all()
    assert (step.obs[0, :, :3].sum(-1) == 1).all()  # the next cue


def test_walls_and_the_way_back():
    _, obs, act = begin(1)
    for action in (UP, DOWN, LEFT):
        step = act(action)
        assert torch.equal(step.obs[0, 0], obs.flatten()) and not step.terminated.any()
    assert not act(RIGHT).obs.any() and torch.equal(act(LEFT).obs[0, 0], obs.flatten())  # the cue is where it was
    for _ in range(4):
        act(RIGHT)
    assert not act(UP).terminated.any()
    ends = [act(LEFT) for _ in range(10)]
    assert [step.truncated.item() for step in ends] == [False] * 9 + [True]  # 5 steps, 5 and 10: 20 in all


def test_pairings_are_held_out_where_there_are_many():
    assert len(THREE.tasks.all_tasks()) == 6 and not THREE.tasks.held_out
    assert FIVE.tasks.held_out and len(FIVE.tasks.listed_units("test")) > 0


def test_what_is_no_pairing_is_refused():
    for pairs in ([0.0, 0.0, 1.0], [1.0, 2.0, 3.0], [0.5, 1.0, 2.0]):
        with pytest.raises(InputError, match="each of the objects 0 to 2 once"):
            THREE.make(EnvOptions()).reset(Tasks({"pairs": torch.tensor([pairs])}, torch.tensor([0])), 1, Streams(0))
