"""Rulesets: counted, all different, as described, and never in two splits."""

import itertools

import numpy as np
import pytest

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.suites.games.rulesets import DEAD_END_WORDS, HOLD, NEAR, START, TOUCH, Generator
from drml.tasks.distribution import TaskDistribution, check_leak, content_hashes
from drml.tasks.samplers.uniform import UniformSampler

SMALL = Generator(6, depth=1, dead_ends=1, lying_about=4)


def all_of(generator: Generator) -> np.ndarray:
    return generator.make(np.arange(generator.counts.sum()))


def meaning(table: np.ndarray, num_rules: int) -> tuple:
    """Return a ruleset without what does not matter: order of rules, of what is together, of what lies about."""
    rows = [(int(word), frozenset((int(a), int(b))) - {0}, int(c)) for word, a, b, c in table]
    return rows[0], frozenset(rows[1 : 1 + num_rules]), tuple(sorted(int(a) for a in table[1 + num_rules :, 1]))


def test_counts_worked_out_by_hand():
    # A goal among 3 of 4 objects: hold and near have 4 · C(3, 2) each, touch C(4, 2) · C(2, 1).
    assert Generator(4, depth=0, dead_ends=0, lying_about=3).counts.tolist() == [12, 12, 12]
    # Depth 1, words hold and touch, 5 objects of which 3 lie about. hold ← hold a: 5 · 4 · C(3, 2); hold ← touch: 5 ·
    # C(4, 2) · C(2, 1); touch c b ← hold a: 5 · 4 · 3 · C(2, 1); touch c b ← touch x y: 5 · 4 · C(3, 2).
    counts = Generator(5, depth=1, dead_ends=0, lying_about=3, words=(HOLD, TOUCH)).counts
    assert counts.tolist() == [60, 60, 120, 60]


@pytest.mark.parametrize(
    "generator", [SMALL, Generator(5, 1, 0, 3), Generator(4, 0, 0, 3), Generator(7, 2, 0, 4, (NEAR, TOUCH))]
)
def test_no_two_rulesets_mean_the_same(generator: Generator):
    tables = all_of(generator)
    num_rules = generator.depth + generator.dead_ends
    assert len({meaning(table, num_rules) for table in tables}) == len(tables) == generator.counts.sum()


def test_nothing_is_missing():
    # Every way to choose a goal and to leave objects about: 2 words of one object, 1 of two.
    tables = all_of(Generator(5, depth=0, dead_ends=0, lying_about=3))
    expected = set()
    for lying in itertools.combinations(range(1, 6), 3):
        expected |= {((word, frozenset({a}), 0), frozenset(), lying) for word in (HOLD, NEAR) for a in lying}
        expected |= {((TOUCH, frozenset(pair), 0), frozenset(), lying) for pair in itertools.combinations(lying, 2)}
    assert {meaning(table, 0) for table in tables} == expected


@pytest.mark.parametrize("generator", [SMALL, Generator(12, 2, 2, 6), Generator(12, 3, 2, 7)])
def test_each_ruleset_is_a_chain_with_dead_ends(generator: Generator):
    numbers = Streams(1).generator().integers(int(generator.counts.sum()), size=300)
    for table in generator.make(numbers):
        chain = table[: 1 + generator.depth]
        ends = table[1 + generator.depth : 1 + generator.depth + generator.dead_ends]
        lying = table[1 + generator.depth + generator.dead_ends :]
        assert (
            chain[0, 3] == 0 and chain[1:, 3].tolist() == chain[:-1, 1].tolist()
        )  # each makes what the last one needs
        things = [int(x) for row in chain for x in row[1:3] if x]
        needed = [x for x in things if x not in chain[1:, 3]]
        about = lying[:, 1].tolist()
        assert (lying[:, 0] == START).all() and about == sorted(set(about))
        assert set(needed) <= set(about) and not set(chain[1:, 3]) & set(about)
        assert set(ends[:, 0]) <= set(DEAD_END_WORDS) and set(ends[:, 1]) <= set(about) - set(things)
        assert not set(ends[:, 3]) & (set(about) | set(things)) and len(set(ends[:, 3])) == len(ends)
        assert table[:, 1].min() >= 1 and table[:, 1:].max() <= generator.num_objects


def test_rulesets_of_the_splits_are_different_ones():
    family = TaskDistribution({"ruleset": SMALL.parameter()})
    train, test = (UniformSampler().sample({}, family, split, 2000, Streams(5)) for split in ("train", "test"))
    check_leak(train, test)
    seen = {meaning(table, 2) for table in train.params["ruleset"].numpy()}
    assert not seen & {meaning(table, 2) for table in test.params["ruleset"].numpy()}
    assert len(set(content_hashes(train))) == len(seen)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="depth 1 and 1 dead ends with 3 objects lying about do not fit 6 objects"):
        Generator(6, depth=1, dead_ends=1, lying_about=3)
