"""Numbered levels: what training and testing meet is apart in content, also where many seeds build one level."""

import numpy as np
import pytest

from drml.core.errors import EnvError
from drml.suites.packages.levels import NUM_LEVELS, Levels, level_tasks
from drml.tasks.distribution import split_of_content

TASKS = level_tasks("levels")


def few(seed):
    """Level of a game that has only 50 of them."""
    return f"level {seed % 50}".encode()


def split_of(level):
    return TASKS.split_of(np.array([[(level + 0.5) / NUM_LEVELS]]))[0]


def test_content_is_of_the_split_of_the_number_however_few_levels_there_are():
    levels = Levels(TASKS)
    met = {"train": set(), "validation": set(), "test": set()}
    for level in range(400):
        met[split_of(level)].add(few(levels.seed(level, few)))
    assert all(met.values())
    assert sum(map(len, met.values())) == len(set().union(*met.values()))  # none is in two splits
    assert len(met["train"]) > 30  # of about 40


def test_numbers_alone_would_leak():
    first = {level: few(np.random.default_rng(level).integers(2**31)) for level in range(400)}
    by_split = {split: {first[n] for n in first if split_of(n) == split} for split in ("train", "test")}
    assert by_split["train"] & by_split["test"]


def test_a_level_is_searched_for_once_and_is_the_same_whoever_searches():
    built = []

    def counted(seed):
        built.append(seed)
        return few(seed)

    levels = Levels(TASKS)
    seed, tries = levels.seed(7, counted), len(built)
    assert levels.seed(7, counted) == seed and len(built) == tries
    assert Levels(TASKS).seed(7, few) == seed and split_of_content(few(seed)) == split_of(7)


def test_too_few_levels_to_hold_any_out_are_refused():
    held_out = next(level for level in range(NUM_LEVELS) if split_of(level) != split_of_content(b"only"))
    with pytest.raises(EnvError, match=r"none of 1000 seeds builds a level for .*: there are too few levels"):
        Levels(TASKS).seed(held_out, lambda _: b"only")
