"""Worlds of rules played by one who knows them: exact values in small rooms, shortest plans in any.

One copy of one world, written without tensors and without the tables of the batched one, whose definition it states a
second time. Exact values are those of `finite`, over all states that can be met. A fresh placement is worth no less
with more time left: so the shortest way to each goal is the best play.

Source: Nikulin et al. 2023, "XLand-MiniGrid", for the worlds; Moore, 1959, "The shortest path through a maze".
"""

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.references.finite import Finite
from drml.suites.games.rule_world import (
    AHEAD,
    EMPTY,
    FORWARD,
    NUM_ACTIONS,
    PICK_UP,
    PUT_DOWN,
    TOGGLE,
    TURN_LEFT,
    TURN_RIGHT,
    begin,
)
from drml.suites.games.rulesets import HOLD, NEAR, TOUCH

MAX_STATES = 300_000
USEFUL = tuple(action for action in range(NUM_ACTIONS) if action != TOGGLE)

Row = tuple[int, int, int, int]
"""Word, a, b, c."""


class World(NamedTuple):
    """The state of one copy; an outside that is walked into is no cell."""

    cells: tuple[int, ...]
    """S² objects, row by row; 0 where a cell is empty."""
    position: int
    direction: int
    carried: int


@final
@dataclass(frozen=True)
class Rulebook:
    """One ruleset, and the size of the room in which it holds."""

    size: int
    goal: Row
    rules: tuple[Row, ...]
    lying_about: tuple[int, ...]

    def ahead(self, cell: int, direction: int) -> int | None:
        """Return the cell one step away from another, None where that is outside."""
        row, column = (x + step for x, step in zip(divmod(cell, self.size), AHEAD[direction], strict=True))
        inside = 0 <= row < self.size and 0 <= column < self.size
        return row * self.size + column if inside else None

    def step(self, world: World, action: int) -> tuple[World, bool]:
        """Return the world after an action and its consequences, and whether the goal is reached."""
        world, word, centre = self._act(world, action)
        for rule in self.rules:
            if rule[0] == word:
                world = self._consequence(world, rule, centre)
        held, near = self._fulfilled(world, self.goal, centre)
        return world, word == self.goal[0] and (held or bool(near))

    def _act(self, world: World, action: int) -> tuple[World, int, int]:
        """Return what an action does by itself, the word that it can bring about, and where: 0 and 0 for none."""
        if action in (TURN_RIGHT, TURN_LEFT):
            turn = 1 if action == TURN_RIGHT else -1
            return world._replace(direction=(world.direction + turn) % 4), 0, 0
        front = self.ahead(world.position, world.direction)
        object_ahead = None if front is None else world.cells[front]
        if action == FORWARD:
            there = front if front is not None and object_ahead == EMPTY else world.position
            return world._replace(position=there), NEAR, there
        if front is not None and action == PICK_UP and not world.carried and object_ahead:
            return world._replace(cells=_put(world.cells, front, EMPTY), carried=object_ahead), HOLD, front
        if front is not None and action == PUT_DOWN and world.carried and object_ahead == EMPTY:
            return world._replace(cells=_put(world.cells, front, world.carried), carried=0), TOUCH, front
        return world, 0, 0

    def _fulfilled(self, world: World, row: Row, centre: int) -> tuple[bool, list[int]]:
        """Return whether a row is fulfilled by what is carried, and in which cells around the centre."""
        word, a, b, _ = row
        if word == HOLD:
            return world.carried == a, []
        middle = world.cells[centre]
        wanted = a if word == NEAR else {a: b, b: a}.get(middle)
        beside = [self.ahead(centre, direction) for direction in range(4)]
        return False, [cell for cell in beside if cell is not None and world.cells[cell] == wanted]

    def _consequence(self, world: World, rule: Row, centre: int) -> World:
        held, near = self._fulfilled(world, rule, centre)
        cells = world.cells
        for cell in near:
            cells = _put(cells, cell, rule[3])
        if near and rule[0] == TOUCH:
            cells = _put(cells, centre, EMPTY)
        return world._replace(cells=cells, carried=rule[3] if held else world.carried)

    def plan(self, world: World) -> list[int] | None:
        """Return a shortest list of actions that reaches the goal; None where none does.

        Raises:
            InputError: if more than `MAX_STATES` states are met.
        """
        came_from: dict[World, tuple[World, int] | None] = {world: None}
        queue = deque([world])
        while queue:
            here = queue.popleft()
            for action in USEFUL:
                after, reached = self.step(here, action)
                if reached:
                    return [*_trace(came_from, here), action]
                if after not in came_from:
                    came_from[after] = (here, action)
                    queue.append(after)
            if len(came_from) > MAX_STATES:
                raise InputError(f"plan: more than {MAX_STATES} states; ask for a smaller room or fewer objects")
        return None

    def placements(self) -> list[World]:
        """Return all worlds in which an episode may start, each as likely."""
        num_cells, found = self.size**2, list[World]()
        for *places, position in itertools.permutations(range(num_cells), len(self.lying_about) + 1):
            cells = [EMPTY] * num_cells
            for cell, thing in zip(places, self.lying_about, strict=True):
                cells[cell] = thing
            found += [World(tuple(cells), position, direction, 0) for direction in range(4)]
        return found


def rulebook(size: int, num_rules: int, table: Sequence[Sequence[float]]) -> Rulebook:
    """Return the ruleset of a task, given as its table."""
    rows = [_row(row) for row in table]
    return Rulebook(size, rows[0], tuple(rows[1 : 1 + num_rules]), tuple(row[1] for row in rows[1 + num_rules :]))


def _row(values: Sequence[float]) -> Row:
    word, a, b, c = (int(value) for value in values)
    return word, a, b, c


def expected_goals(book: Rulebook, horizon: int) -> tuple[float, float]:
    """Return how many goals an episode reaches on average, exactly: by the best play, and by random actions.

    Raises:
        InputError: if more than `MAX_STATES` states are met.
    """
    after, reached, num_starts = _graph(book)
    finite = Finite(after, reached.astype(np.float64), reached, num_starts)
    best, random = (float(finite.values(horizon, pick)[:num_starts].mean()) for pick in (np.max, np.mean))
    return best, random


def _graph(book: Rulebook) -> tuple[np.ndarray, np.ndarray, int]:
    """Return where each action leads, `[states, A]`, where it reaches the goal, and how many placements come first."""
    index = {world: i for i, world in enumerate(book.placements())}
    num_starts, worlds = len(index), list(index)
    after: list[list[int]] = []
    reached: list[list[bool]] = []
    for world in worlds:  # grows as states are met
        steps = [book.step(world, action) for action in range(NUM_ACTIONS)]
        for following, _ in steps:
            if following not in index:
                index[following] = len(worlds)
                worlds.append(following)
        after.append([index[following] for following, _ in steps])
        reached.append([is_goal for _, is_goal in steps])
        if len(worlds) > MAX_STATES:
            raise InputError(f"expected_goals: more than {MAX_STATES} states; ask for a smaller room or fewer objects")
    return np.array(after), np.array(reached), num_starts


def play(size: int, num_rules: int, horizon: int, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
    """Return how many goals a player who knows rules and cells reaches in one episode of each copy, `[K, B]`.

    It follows shortest plans, and stays where it is where there is none; the worlds are those of the environment.
    """
    physics = begin(size, num_rules, tasks, copies, rng)
    books = [rulebook(size, num_rules, table) for table in tasks.params["ruleset"].tolist()]
    state, goals = physics.start(0), torch.zeros(len(tasks), copies)
    plans: list[list[list[int]]] = [[[] for _ in range(copies)] for _ in books]
    for t in range(horizon):
        action = torch.full((len(tasks), copies), TOGGLE)
        for k, b in itertools.product(range(len(tasks)), range(copies)):
            plans[k][b] = plans[k][b] or books[k].plan(as_world(state[k, b])) or [TOGGLE]
            action[k, b] = plans[k][b].pop(0)
        outcome = physics.move(state, action, t)
        state, goals = outcome.state, goals + outcome.reward
    return goals


def as_world(state: Tensor) -> World:
    """Return one copy's state `[S² + 4]` of the batched physics as a world of this file."""
    *cells, _, position, direction, carried = state.tolist()
    return World(tuple(cells), position, direction, carried)


def _put(cells: tuple[int, ...], cell: int, thing: int) -> tuple[int, ...]:
    return (*cells[:cell], thing, *cells[cell + 1 :])


def _trace(came_from: dict[World, tuple[World, int] | None], world: World) -> list[int]:
    actions: list[int] = []
    while (step := came_from[world]) is not None:
        world, action = step
        actions.append(action)
    return actions[::-1]
