"""Objects to remember: one is seen at the start of a corridor, and says which of two at its end is paid for.

    cue       an object, one of n, seen in the first cell
    fork      L cells further: two objects, one on each side, one of which is paired with the cue
    choice    a step to one side ends the episode: 1 for the object that is paired, else 0
    task      the pairs: a permutation π of the n objects, hidden

Within an episode the cue has to be remembered, and from episode to episode the pairs. Cue, sides and the other object
are drawn for each episode, each as likely.

Source: MiniGrid's Memory (Chevalier-Boisvert et al. 2023, "Minigrid & Miniworld"), where the paired object is the cue
itself; the hidden pairs, which make it a family, are this project's.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import BlockNoise, Streams
from drml.core.types import ActionSpec, EnvSpec, Tasks
from drml.envs.api import Suite
from drml.envs.native import ROWS_PER_BLOCK, Outcome, native_suite
from drml.envs.pictures.board import Board
from drml.envs.pictures.tiles import (
    BALL,
    BLUE,
    DIAMOND,
    GREEN,
    GREY,
    HEXAGON,
    INK,
    ORANGE,
    PAPER,
    PYRAMID,
    RED,
    SQUARE,
    WALL,
    WHOLE,
    YELLOW,
    Disc,
)
from drml.tasks.distribution import TaskDistribution
from drml.tasks.numbered import Numbered

RIGHT, UP, LEFT, DOWN = range(4)
"""Actions."""
SHAPES = {"ball": BALL, "square": SQUARE, "pyramid": PYRAMID, "diamond": DIAMOND, "hexagon": HEXAGON}
COLOURS = {"red": RED, "green": GREEN, "yellow": YELLOW, "orange": ORANGE, "black": INK}
AGENT = Disc(0.22)


@final
@dataclass(frozen=True)
class ObjectMemory:
    """The physics of the corridor; the state is x, the cue, the upper and the lower object, `[K, B, 4]` int64."""

    length: int
    """L."""
    pairs: Tensor
    """`[K, n]` int64 π: the object that each cue is paired with."""
    noise: BlockNoise
    """Rows `[K, B, 3]`, uniform: cue, other object, side."""
    one_hot: Tensor
    """`[n, n]` identity."""

    def start(self, t: int) -> Tensor:
        """Return the first cell, a cue, and what lies at the fork."""
        num, noise = self.pairs.shape[1], self.noise.row(t).to(self.pairs.device)
        cue = (noise[..., 0] * num).long().clamp(max=num - 1)  # [K, B]
        paired = self.pairs.gather(1, cue)
        other = (noise[..., 1] * (num - 1)).long().clamp(max=num - 2)
        other = other + (other >= paired)  # any but the paired one
        is_up = noise[..., 2] < 0.5
        upper, lower = torch.where(is_up, paired, other), torch.where(is_up, other, paired)
        return torch.stack([torch.zeros_like(cue), cue, upper, lower], -1)

    def observe(self, state: Tensor) -> Tensor:
        """Return what is seen, one-hot, `[K, B, 3 n]`: the cue in the first cell, both objects at the fork."""
        x = state[..., :1]
        seen = torch.nn.functional.embedding(state[..., 1:], self.one_hot)  # [K, B, 3, n]
        is_there = torch.cat([x == 0, x == self.length, x == self.length], -1)
        return (seen * is_there.unsqueeze(-1)).flatten(-2)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Walk along the corridor; a step to a side at its end is the choice, elsewhere there is a wall."""
        x, cue, upper, lower = state.unbind(-1)
        goes_up = action == UP
        chooses = (x == self.length) & (goes_up | (action == DOWN))
        right = torch.where(goes_up, upper, lower) == self.pairs.gather(1, cue)
        after = (x + (action == RIGHT).long() - (action == LEFT).long()).clamp(0, self.length)
        takes_it = chooses & right
        return Outcome(torch.stack([after, cue, upper, lower], -1), takes_it.float(), chooses, takes_it)

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures of the corridor, of the cue and of the objects at the fork; grey is what is not seen now.

        The choice itself is no state: it ends the episode.
        """
        x, *placed = states.unbind(-1)
        board = Board(len(states), self.length + 1, 3, WALL)
        free = np.zeros((self.length + 1, 3), np.bool_)
        free[:, 1], free[self.length], free[0, 2] = True, True, True
        board.lay(WHOLE, PAPER, free)
        for thing, cell in zip(placed, ((0, 2), (self.length, 2), (self.length, 0)), strict=True):
            for number in range(self.pairs.shape[1]):
                kind, colour = _look(number)
                board.put(SHAPES[kind], COLOURS[colour], *cell, (thing == number) & (x == cell[0]))
                board.put(SHAPES[kind], GREY, *cell, (thing == number) & (x != cell[0]))
        board.put(AGENT, BLUE, x, 1)
        return board.frames

    def words(self, task: int) -> str:
        """Return the pairs."""
        names = [" ".join(reversed(_look(number))) for number in range(self.pairs.shape[1])]
        return ", ".join(f"{names[cue]} → {names[it]}" for cue, it in enumerate(self.pairs[task].tolist()))


def _look(number: int) -> tuple[str, str]:
    """Return the shape and the colour of an object in pictures, by name: up to 25 look different."""
    shift, index = divmod(number, len(SHAPES))
    return list(SHAPES)[index], list(COLOURS)[(index + shift) % len(COLOURS)]


def permutations(num: int, numbers: np.ndarray) -> np.ndarray:
    """Return permutations `[k, num]` of 0 .. num − 1 by number, `[k]`, below num!: digits of the factorial system."""
    left = np.tile(np.arange(num), (len(numbers), 1))  # [k, left]
    drawn: list[np.ndarray] = []
    for size in range(num, 0, -1):
        numbers, digit = np.divmod(numbers, size)
        drawn.append(np.take_along_axis(left, digit[:, None], 1))
        left = left[np.arange(size) != digit[:, None]].reshape(len(left), size - 1)
    return np.concatenate(drawn, 1)


def _begin(length: int, tasks: Tasks, copies: int, rng: Streams) -> ObjectMemory:
    given = tasks.params["pairs"]  # [K, n]
    pairs, num = given.long(), given.shape[1]
    if not torch.equal(given.sort(1).values, torch.arange(num).to(given).expand_as(given)):
        raise InputError(f"task parameter 'pairs' must hold each of the objects 0 to {num - 1} once")
    noise = BlockNoise(rng["episode"], tasks.ids, copies, "uniform", (3,), ROWS_PER_BLOCK)
    return ObjectMemory(length, pairs, noise, torch.eye(pairs.shape[1], device=pairs.device))


def object_memory_suite(num: int, length: int, *, held_out: bool = True) -> Suite:
    """Return the suite of n objects and a corridor of L steps; with few objects no pairings can be held out."""
    things = f"pairings of {num} objects"
    return native_suite(
        f"object-memory-n{num}-l{length}-v1",
        f"An object, seen {length} steps before a fork, says which of two to take: {num} objects, in hidden pairs.",
        "MiniGrid's Memory (Chevalier-Boisvert et al. 2023), where the object to choose is the one that was seen; the "
        "hidden pairs are this project's. Cue, sides and the other object are drawn for each episode; actions are "
        "right, up, left, down; a choice ends the episode.",
        TaskDistribution(
            {"pairs": Numbered(things, math.factorial(num), (num,), partial(permutations, num))}, held_out=held_out
        ),
        EnvSpec(3 * num, ActionSpec("discrete", 4), 4 * length, flags=tuple(range(3 * num))),
        partial(_begin, length),
        success="the choice of the right object, the last step",
    )


SUITES: tuple[Suite, ...] = (object_memory_suite(3, 5, held_out=False), object_memory_suite(5, 5))
"""Memories of objects by their number."""
