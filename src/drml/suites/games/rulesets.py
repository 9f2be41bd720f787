"""Rulesets: what a rule-world pays for and what its objects turn into, as tables of small integers that are counted.

A ruleset is a table `[1 + R + I, 4]` of rows (word, a, b, c): the goal, R rules, and I objects that lie about at first.

    hold a           goal: a is picked up             rule: a that is picked up becomes c
    near a           goal: the agent stands by a      rule: a that the agent walks up to becomes c
    touch a b        goal: a and b are put together   rule: a and b that are put together become c
    start a          a lies about where the objects are placed anew

Objects are numbered 1 to P; 0 is nothing, as are the words of the rows that pad. What makes rulesets of one generator:

    goal ← rule 1 ← ... ← rule d    each rule makes the first object of the row before it; the others lie about
    k dead ends                     each turns an object that lies about, and is of no use, into another of no use
    I objects lie about             those of the chain, those of the dead ends, the rest of no use

Each ruleset is a sequence of sets of objects, drawn from those that are not taken yet; which sets a kind of chain
needs is its shape. So rulesets are counted by binomial coefficients, made from their number, and are all different: two
objects that are put together, the dead ends and what lies about are sets, in order of number.

Source: Nikulin et al. 2023, "XLand-MiniGrid: scalable meta-reinforcement learning environments in JAX", section 2 and
appendix; corl-team/xland-minigrid scripts/ruleset_generator.py. There trees of rules are sampled, and repetitions are
drawn again; here only one object of each row is made by a rule, and all rulesets are as likely.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from drml.core.errors import InputError
from drml.tasks.numbered import Numbered

NOTHING, HOLD, NEAR, TOUCH, START = range(5)
WORDS = (HOLD, NEAR, TOUCH)
"""Words of goals and rules."""
DEAD_END_WORDS = (HOLD, NEAR)
WIDTH = 4  # of a row


@final
@dataclass(frozen=True)
class Shape:
    """Ruleset without its objects."""

    chain: tuple[int, ...]
    """Words of the goal and of the d rules that lead to it, `[1 + d]`."""
    dead_ends: tuple[int, ...]
    """Words of the k rules that lead nowhere."""
    num_idle: int
    """Objects that lie about and are in no rule."""

    @property
    def sets(self) -> tuple[int, ...]:
        """Return the sizes of the sets of objects in order: each row of the chain, dead ends, what they make, idle."""
        *before, last = self.chain
        rows = [1] * (len(before) + before.count(TOUCH)) + [2 if last == TOUCH else 1]
        ends = len(self.dead_ends)
        return (*rows, ends, *(1,) * ends, self.num_idle)


@final
@dataclass(frozen=True)
class Generator:
    """All rulesets of one difficulty, numbered.

    Raises:
        InputError: if there are too few objects for some ruleset.
    """

    num_objects: int
    """P, kinds times colours."""
    depth: int
    """d, rules between what lies about and the goal."""
    dead_ends: int
    """k, rules that lead nowhere."""
    lying_about: int
    """I, objects placed at the start."""
    words: tuple[int, ...] = WORDS
    """Words that the goal and the rules of the chain may have."""

    def __post_init__(self) -> None:
        if any(shape.num_idle < 0 or sum(shape.sets) > self.num_objects for shape in self.shapes):
            raise InputError(
                f"rulesets: depth {self.depth} and {self.dead_ends} dead ends with {self.lying_about} objects lying "
                f"about do not fit {self.num_objects} objects"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape of a table, `(1 + R + I, 4)`."""
        return (1 + self.depth + self.dead_ends + self.lying_about, WIDTH)

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Return all shapes."""
        found: list[Shape] = []
        for chain in itertools.product(self.words, repeat=1 + self.depth):
            for ends in itertools.product(DEAD_END_WORDS, repeat=self.dead_ends):
                needed = 1 + chain.count(TOUCH)  # the first object of the last row, and each second one
                found.append(Shape(chain, ends, self.lying_about - needed - self.dead_ends))
        return tuple(found)

    @cached_property
    def counts(self) -> np.ndarray:
        """Return how many rulesets each shape has, `[shapes]` int64."""
        return np.array([math.prod(self._ways(shape)) for shape in self.shapes], np.int64)

    def parameter(self) -> Numbered:
        """Return the rulesets as a task parameter."""
        label = f"rulesets: {self.depth} rules to the goal, {self.dead_ends} dead ends, {self.lying_about} objects"
        return Numbered(label, int(self.counts.sum()), self.shape, self.make)

    def make(self, numbers: np.ndarray) -> np.ndarray:
        """Return the tables `[n, 1 + R + I, 4]` int64 of rulesets by number, `[n]`."""
        ends = self.counts.cumsum()
        which = np.searchsorted(ends, numbers, side="right")
        tables = np.zeros((len(numbers), *self.shape), np.int64)
        for index in np.unique(which):
            rows = np.flatnonzero(which == index)
            shape = self.shapes[index]
            sets = self._sets(shape, numbers[rows] - (ends[index] - self.counts[index]))
            tables[rows] = _table(shape, sets)
        return tables

    def _ways(self, shape: Shape) -> list[int]:
        """Return how many ways there are to draw each set of a shape."""
        taken = [0, *itertools.accumulate(shape.sets)]
        return [math.comb(self.num_objects - before, size) for before, size in zip(taken, shape.sets, strict=False)]

    def _sets(self, shape: Shape, numbers: np.ndarray) -> list[np.ndarray]:
        """Return the sets of objects, each `[n, size]` in ascending order, that numbers `[n]` of a shape stand for."""
        free = np.tile(np.arange(1, self.num_objects + 1), (len(numbers), 1))  # [n, left]
        sets: list[np.ndarray] = []
        for ways, size in zip(self._ways(shape), shape.sets, strict=True):
            numbers, digit = np.divmod(numbers, ways)
            chosen = _combinations(free.shape[1], size)[digit]  # [n, size] positions
            sets.append(np.take_along_axis(free, chosen, 1))
            left = np.ones(free.shape, np.bool_)
            np.put_along_axis(left, chosen, False, 1)
            free = free[left].reshape(len(free), -1)
        return sets


def _combinations(number: int, size: int) -> np.ndarray:
    """Return all sets of `size` numbers below `number`, `[sets, size]`."""
    sets = list(itertools.combinations(range(number), size))
    return np.array(sets, np.int64).reshape(len(sets), size)


def _table(shape: Shape, sets: list[np.ndarray]) -> np.ndarray:
    """Return the tables `[n, 1 + R + I, 4]` of a shape with these objects."""
    drawn = iter(sets)
    chain: list[list[np.ndarray]] = []
    last = len(shape.chain) - 1
    for level, word in enumerate(shape.chain):
        objects = list(next(drawn).T)
        if word == TOUCH and level < last:
            objects.append(next(drawn)[:, 0])
        chain.append(objects)
    made = [None, *(objects[0] for objects in chain[:-1])]
    rows = [_row(word, objects, c) for word, objects, c in zip(shape.chain, chain, made, strict=True)]
    ends = next(drawn)
    rows += [_row(word, [ends[:, i]], next(drawn)[:, 0]) for i, word in enumerate(shape.dead_ends)]
    lying = np.concatenate([ends, next(drawn), *(o[:, None] for o in chain[-1]), *_partners(chain)], 1)
    lying.sort(1)
    rows += [_row(START, [objects], None) for objects in lying.T]
    return np.stack(rows, 1)


def _partners(chain: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return the second objects `[n, 1]` of the rows whose first one is made by a rule."""
    return [objects[1][:, None] for objects in chain[:-1] if len(objects) > 1]


def _row(word: int, objects: list[np.ndarray], made: np.ndarray | None) -> np.ndarray:
    """Return one row `[n, 4]` of each table."""
    a, b = objects[0], objects[1] if len(objects) > 1 else np.zeros_like(objects[0])
    return np.stack([np.full_like(a, word), a, b, np.zeros_like(a) if made is None else made], 1)
