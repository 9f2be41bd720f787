"""Frozen lakes against walks and counts worked out by hand."""

import numpy as np
import pytest
import torch

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.games.lake import SUITES, layouts
from drml.tasks.distribution import check_leak
from drml.tasks.samplers.uniform import UniformSampler

SMALL, LARGE = SUITES
STAY, RIGHT, LEFT, UP, DOWN = range(5)


def walk(hole: list[list[int]], *actions: int):
    """Return the steps of a walk on a layout, given by x and y."""
    env = SMALL.make(EnvOptions())
    obs = env.reset(Tasks({"hole": torch.tensor([hole], dtype=torch.float64)}, torch.tensor([0])), 1, Streams(0))
    assert obs.tolist() == [[[0.0, 0.0]]]
    return [env.step(torch.tensor([[action]])) for action in actions]


LAYOUT = [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]  # a row for each x


def test_the_far_corner_pays_and_ends_the_episode():
    steps = walk(LAYOUT, STAY, UP, RIGHT, UP, UP, RIGHT, RIGHT)
    assert [step.reward.item() for step in steps] == [0.0] * 6 + [1.0]
    assert [step.terminated.item() for step in steps] == [False] * 6 + [True]
    seen = [tuple((4 * step.final_obs[0, 0]).tolist()) for step in steps]
    assert seen == [(0, 0), (0, 1), (1, 1), (1, 2), (1, 3), (2, 3), (3, 3)]
    assert steps[-1].obs.tolist() == [[[0.0, 0.0]]]


def test_holes_end_the_episode_and_the_edge_does_not():
    steps = walk(LAYOUT, LEFT, DOWN, RIGHT)
    assert [step.terminated.item() for step in steps] == [False, False, True]
    assert [step.reward.item() for step in steps] == [0.0] * 3
    assert steps[-1].final_obs.tolist() == [[[0.25, 0.0]]] and steps[-1].obs.tolist() == [[[0.0, 0.0]]]


def test_an_episode_has_as_many_steps_as_the_lake_has_cells():
    steps = walk(LAYOUT, *[STAY] * 16)
    assert [step.truncated.item() for step in steps] == [False] * 15 + [True]


def test_layouts_by_hand():
    # 2 x 2 with one hole: either of the other corners, and the way by the other one.
    assert layouts(2, 1).astype(int).tolist() == [[[0, 1], [0, 0]], [[0, 0], [1, 0]]]
    # 3 x 3 with two holes: of C(7, 2) = 21 only those that shut a corner off have no way: one at each end.
    assert len(layouts(3, 2)) == 19
    # 3 x 3 with three: each of 6 ways takes 3 of 7 cells and leaves C(4, 3) layouts; 6 pairs of ways, which differ in
    # one cell, leave one layout in common.
    assert len(layouts(3, 3)) == 6 * 4 - 6


@pytest.mark.parametrize(("suite", "holes"), [(SMALL, 4), (LARGE, 5)])
def test_as_many_are_declared_as_there_are(suite, holes: int):
    parameter = suite.tasks.params["hole"]
    size = parameter.shape[0]
    found = layouts(size, holes)
    assert parameter.num_values == len(found)
    assert (found.sum((1, 2)) == holes).all() and not found[:, 0, 0].any() and not found[:, -1, -1].any()
    assert len(np.unique(found.reshape(len(found), -1), axis=0)) == len(found)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_lakes_of_the_splits_are_different_ones(suite):
    train, test = (UniformSampler().sample({}, suite.tasks, split, 300, Streams(1)) for split in ("train", "test"))
    check_leak(train, test)
