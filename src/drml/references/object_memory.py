"""Memories of objects: played by who knows the pairs, by chance, and as well as can be without being told.

A choice shows which of two objects the cue is paired with. So what is known is the set of pairings that
agree, and the best that can be expected of E episodes is

    V_e(known) = mean over (cue, two objects) of  max P(i) + Σ P(i) V_{e−1}(known, and i is paired)

over the two objects i, with P(i) the chance, given what is known and the two, that i is paired. One of them is, so that
any choice tells which.

Source: Bellman, 1957, "Dynamic programming"; Duff, 2002, "Optimal learning", for the recursion over what is known.
"""

import itertools
from functools import cache

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import BatchEnv
from drml.references.finite import Finite
from drml.suites.games.object_memory import DOWN, RIGHT, UP

MAX_OBJECTS = 4  # of 5 there are 120 pairings, and too many sets of them


def best_expected(num: int, episodes: int) -> list[float]:
    """Return the largest expected sum of returns of 1, 2, … E episodes on one hidden pairing of n objects.

    Raises:
        InputError: unless n is 2 to 4.
    """
    if not 2 <= num <= MAX_OBJECTS:
        raise InputError(f"best_expected: {num} objects, expected 2 to {MAX_OBJECTS}")
    pairings = list(itertools.permutations(range(num)))
    paired = {
        (cue, thing): frozenset(i for i, pairing in enumerate(pairings) if pairing[cue] == thing)
        for cue, thing in itertools.product(range(num), repeat=2)
    }

    @cache
    def value(known: frozenset[int], left: int) -> float:
        if left == 0:
            return 0.0
        forks = itertools.product(range(num), itertools.combinations(range(num), 2))
        return sum(fork(known, cue, both, left) for cue, both in forks) / num

    def fork(known: frozenset[int], cue: int, both: tuple[int, int], left: int) -> float:
        """Return the chance of two objects at the fork, given the cue, times what they are worth."""
        either = [known & paired[cue, thing] for thing in both]
        total = sum(len(part) for part in either)
        if not total:
            return 0.0
        follows = [value(part, left - 1) if part else 0.0 for part in either]
        later = sum(len(part) * worth for part, worth in zip(either, follows, strict=True))
        best = (max(len(part) for part in either) + later) / total
        return total / len(known) / (num - 1) * best

    return [value(frozenset(range(len(pairings))), left) for left in range(1, episodes + 1)]


def chance(length: int, horizon: int) -> float:
    """Return what random actions earn in an episode: half of the chance that a choice is made in time."""
    x = np.arange(length + 1)[:, None]
    at_fork = x == length
    step = np.array([1, 0, -1, 0])  # right, up, left, down
    ends = at_fork & (step == 0)
    corridor = Finite(np.clip(x + step, 0, length), 0.5 * ends, ends)
    return float(corridor.values(horizon, np.mean)[0])


def play(env: BatchEnv, length: int, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
    """Return what who knows the pairs earns in the first episode, `[K, B]`, seeing what everybody sees."""
    num = tasks.params["pairs"].shape[1]
    obs = env.reset(tasks, copies, rng)
    cue = obs[..., :num].argmax(-1)  # [K, B]
    for _ in range(length):
        obs = env.step(torch.full(cue.shape, RIGHT)).obs
    wanted = tasks.params["pairs"].long().gather(1, cue)
    is_up = obs[..., num : 2 * num].argmax(-1) == wanted
    return env.step(torch.where(is_up, UP, DOWN)).reward
