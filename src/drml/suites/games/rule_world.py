"""A world of hidden rules: what is paid for, and what objects turn into, has to be found out.

    see      a square of V x V cells ahead of the agent and to its sides, turned so that it looks up
    act      forward, turn right, turn left, pick up, put down, toggle
    rules    of the task, in order, after each action; see `rulesets`
    goal     1, and all objects and the agent are placed anew, at random

The agent stands in the middle of the bottom row of what it sees, and what it carries is seen there. It walks on empty
cells only, carries one object, picks up what lies ahead and puts it down on an empty cell ahead. Rules and goals are
looked up after the actions that can bring them about: `hold` after picking up, `near` after forward (blocked or not),
among the four cells around the agent, `touch` after putting down, among the four cells around the object. An object
made by `touch` takes the place of the one that lay there; the one put down is gone.

The state is a row of small integers: the S² cells, a cell of wall that stands for all that is outside, the agent's
cell, its direction, and what it carries.

Source: Nikulin et al. 2023, "XLand-MiniGrid", sections 2 and 3; corl-team/xland-minigrid environment.py, core/rules.py,
core/goals.py and core/actions.py. There an episode ends at the goal, with 1 − 0.9 t/T, and a failed attempt to put
something down also lets `touch` happen.
"""

import itertools
from dataclasses import dataclass, replace
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
from drml.envs.pictures.tiles import ARROW, INK, WHOLE, Disc
from drml.envs.pictures.tiles import YELLOW as LIGHT
from drml.suites.games.rulesets import HOLD, NEAR, START, TOUCH, Generator
from drml.suites.games.things import COLOURS, EMPTY, KINDS, NUM_OBJECTS, NUM_SYMBOLS, WALL, drawn, said
from drml.tasks.distribution import TaskDistribution

FORWARD, TURN_RIGHT, TURN_LEFT, PICK_UP, PUT_DOWN, TOGGLE = range(6)
NUM_ACTIONS = 6
AHEAD = ((-1, 0), (0, 1), (1, 0), (0, -1))
"""Steps (row, column) by direction: up, right, down, left."""
CARRIED = Disc(0.14)
LIGHT_OPACITY = 0.22
VIEW = 5  # V, cells on each side of what is seen
FEATURES = 1 + len(KINDS) + len(COLOURS)
"""Numbers that a cell is seen as: wall, kind one-hot, colour one-hot; an empty one as zeros."""


@final
@dataclass(frozen=True)
class Room:
    """A square room, as tables of indices of cells; what lies outside is cell S²."""

    size: int
    """S, cells per side."""
    ahead: Tensor
    """`[S² * 4]` int64, the cell ahead, by cell and direction."""
    around: Tensor
    """`[S² + 1, 4]` int64, the cells beside a cell; of the outside, the outside."""
    view: Tensor
    """`[S² * 4, V²]` int64, the cells seen, row by row, from the farthest to the agent's own."""
    features: Tensor
    """`[symbols, FEATURES]` float32, what a symbol is seen as."""


def room(size: int, device: torch.device) -> Room:
    """Return the tables of a room of `size` x `size` cells."""

    def cell(row: int, column: int) -> int:
        inside = 0 <= row < size and 0 <= column < size
        return row * size + column if inside else size**2

    ahead: list[int] = []
    view: list[list[int]] = []
    for row, column, (up, right) in itertools.product(range(size), range(size), AHEAD):
        ahead.append(cell(row + up, column + right))
        offsets = itertools.product(range(VIEW - 1, -1, -1), range(-(VIEW // 2), VIEW // 2 + 1))
        view.append([cell(row + f * up + s * right, column + f * right - s * up) for f, s in offsets])
    around = [[cell(row + r, column + c) for r, c in AHEAD] for row, column in itertools.product(range(size), repeat=2)]
    around.append([size**2] * len(AHEAD))
    features = torch.zeros(NUM_SYMBOLS, FEATURES, device=device)
    features[WALL, 0] = 1.0
    for number, (kind, colour) in enumerate(itertools.product(range(len(KINDS)), range(len(COLOURS))), 1):
        features[number, 1 + kind] = features[number, 1 + len(KINDS) + colour] = 1.0
    return Room(size, *(torch.tensor(table, device=device) for table in (ahead, around, view)), features=features)


@final
@dataclass(frozen=True)
class RuleWorld:
    """The physics of worlds of rules; the state is `[K, B, S² + 4]` uint8."""

    room: Room
    goal: Tensor
    """`[K, 4]` uint8: word, a, b, 0."""
    rules: Tensor
    """`[R, K, 4]` uint8: word, a, b, c."""
    lying_about: Tensor
    """`[K, I]` uint8, the objects placed at the start."""
    copies: int
    """B."""
    noise: BlockNoise
    """Rows `[K, B, I + 2]`, uniform: places of the objects and of the agent, and its direction."""
    never: Tensor
    """`[K, B]` bool, False: it is the horizon that ends an episode."""

    def start(self, t: int) -> Tensor:
        """Return objects and agent in different cells, each as likely, and a direction."""
        lying = self.lying_about.repeat_interleave(self.copies, 0)  # [K B, I]
        placed = self._placed(self.noise.row(t).flatten(0, 1), lying)
        return placed.unflatten(0, self.never.shape)

    def symbols(self, state: Tensor) -> Tensor:
        """Return the symbols of the cells seen, `[K, B, V²]` uint8 below `NUM_SYMBOLS`, row by row from the farthest.

        This is all that is seen, in its shortest form: what an embedding of symbols would take.
        """
        num_cells = self.room.size**2
        facing = state[..., num_cells + 1].long() * 4 + state[..., num_cells + 2]
        seen = _rows(self.room.view, facing)  # [K, B, V²]
        symbols = state.gather(-1, seen)
        symbols[..., -(VIEW // 2) - 1] = state[..., num_cells + 3]
        return symbols

    def observe(self, state: Tensor) -> Tensor:
        """Return the features of the cells seen, `[K, B, V² * FEATURES]`."""
        return _rows(self.room.features, self.symbols(state).long()).flatten(-2)

    def move(self, state: Tensor, action: Tensor, t: int) -> Outcome:
        """Act, let the rules happen, and place everything anew where the goal is reached."""
        deed = _act(self.room, state, action)
        for rule in self.rules:
            deed = _apply(rule, deed)
        after = deed.state()
        reached = _reaches(self.goal, deed)
        rows = reached.flatten().nonzero().squeeze(1)
        if len(rows):
            task = rows // self.copies
            noise = self.noise.row(t + 1)[task.cpu(), (rows % self.copies).cpu()]
            after.view(-1, after.shape[-1])[rows] = self._placed(noise, self.lying_about[task])
        return Outcome(after, reached.float(), self.never, reached)

    def draw(self, task: int, states: Tensor) -> np.ndarray:
        """Return pictures of the room, of what the agent sees of it (lit), and of what it carries (on its back)."""
        size, num_cells = self.room.size, self.room.size**2
        cells, position = states[:, :num_cells], states[:, num_cells + 1].long()
        direction, carried = states[:, num_cells + 2], states[:, num_cells + 3]
        board = Board(len(states), size, size)
        board.lay(WHOLE, LIGHT, _as_map(self._lit(position, direction), size), LIGHT_OPACITY)
        x, y = position % size, size - 1 - position // size
        for quarters in range(4):
            board.put(ARROW.turned(quarters), INK, x, y, direction == quarters)
        for thing in range(1, NUM_OBJECTS + 1):
            shape, colour = drawn(thing)
            board.lay(shape, colour, _as_map(cells == thing, size))
            board.put(CARRIED, colour, x, y, carried == thing)
        return board.frames

    def _lit(self, position: Tensor, direction: Tensor) -> Tensor:
        """Return which cells `[T, S²]` are seen from cells in directions, both `[T]`."""
        seen = self.room.view.cpu()[position * 4 + direction]  # [T, V²]
        lit = torch.zeros(len(seen), self.room.size**2 + 1, dtype=torch.bool).scatter_(1, seen, True)
        return lit[:, :-1]

    def words(self, task: int) -> str:
        """Return the goal and the rules."""
        return "; ".join(said(row) for row in (self.goal[task].tolist(), *self.rules[:, task].tolist()))

    def _placed(self, noise: Tensor, lying: Tensor) -> Tensor:
        """Return states `[N, S² + 4]` from noise `[N, I + 2]` and the objects `[N, I]`: cells without replacement."""
        noise, num_cells, num = noise.to(lying.device), self.room.size**2, lying.shape[1]
        left = torch.arange(num_cells, device=lying.device).expand(len(noise), num_cells).clone()
        for i in range(num + 1):  # Fisher and Yates, as far as it is needed
            chosen = i + (noise[:, i] * (num_cells - i)).long().clamp(max=num_cells - i - 1).unsqueeze(1)
            mine = left.gather(1, chosen)
            left.scatter_(1, chosen, left[:, i : i + 1].clone())
            left[:, i : i + 1] = mine
        state = lying.new_zeros(len(noise), num_cells + 4)
        state.scatter_(1, left[:, :num], lying)
        state[:, num_cells] = WALL
        state[:, num_cells + 1] = left[:, num]
        state[:, num_cells + 2] = (noise[:, num + 1] * 4).clamp(max=3)
        return state


def _as_map(cells: Tensor, size: int) -> Tensor:
    """Return what is true of cells `[T, S²]`, row by row from the top, by x and y `[T, S, S]`."""
    return cells.unflatten(1, (size, size)).flip(1).transpose(1, 2)


@dataclass(frozen=True)
class _Deed:
    """An action that was taken, where its consequences are looked up: the cell of interest and those around it."""

    cells: Tensor
    """`[K, B, S² + 1]` uint8, without the consequences."""
    position: Tensor
    """`[K, B, 1]` int64."""
    direction: Tensor
    """`[K, B, 1]` uint8."""
    carried: Tensor
    """`[K, B]` uint8."""
    centre: Tensor
    """`[K, B, 1]` int64: the agent's cell after forward, else the cell ahead."""
    middle: Tensor
    """`[K, B]` uint8, what lies in that cell."""
    beside: Tensor
    """`[K, B, 4]` int64, the cells around it."""
    around: Tensor
    """`[K, B, 4]` uint8, what lies there."""
    word: Tensor
    """`[K, B]` uint8, the word of the rules that this action can bring about; 0 for none."""

    def state(self) -> Tensor:
        """Return the state `[K, B, S² + 4]`."""
        cells = self.cells.scatter(-1, self.beside, self.around).scatter(-1, self.centre, self.middle.unsqueeze(-1))
        return torch.cat([cells, self.position.to(torch.uint8), self.direction, self.carried.unsqueeze(-1)], -1)


def _act(room: Room, state: Tensor, action: Tensor) -> _Deed:
    """Return what an action does by itself."""
    num_cells = room.size**2
    cells, position = state[..., : num_cells + 1], state[..., num_cells + 1].long()
    direction, carried = state[..., num_cells + 2], state[..., num_cells + 3]
    front = _rows(room.ahead, position * 4 + direction)  # [K, B]
    facing = cells.gather(-1, front.unsqueeze(-1)).squeeze(-1)
    is_empty = facing == EMPTY
    forward = action == FORWARD
    picks = (action == PICK_UP) & (carried == 0) & ~is_empty & (facing != WALL)
    puts = (action == PUT_DOWN) & (carried != 0) & is_empty
    turn = (action == TURN_RIGHT).to(torch.uint8) + 3 * (action == TURN_LEFT).to(torch.uint8)
    position = torch.where(forward & is_empty, front, position)
    middle = torch.where(puts, carried, facing.masked_fill(picks, EMPTY))
    carried = torch.where(picks, facing, carried.masked_fill(puts, 0))
    centre = torch.where(forward, position, front)
    middle = middle.masked_fill(forward, EMPTY)  # the agent's own cell
    beside = _rows(room.around, centre)  # [K, B, 4]
    word = HOLD * picks.to(torch.uint8) + NEAR * forward.to(torch.uint8) + TOUCH * puts.to(torch.uint8)
    return _Deed(
        cells,
        position.unsqueeze(-1),
        (direction + turn).remainder(4).unsqueeze(-1),
        carried,
        centre.unsqueeze(-1),
        middle,
        beside,
        cells.gather(-1, beside),
        word,
    )


def _matches(row: Tensor, deed: _Deed) -> tuple[Tensor, Tensor]:
    """Return where a row `[K, 4]` is fulfilled: by what is carried `[K, B]`, by which of those around `[K, B, 4]`."""
    word, a, b, _ = row.unsqueeze(1).unbind(-1)  # [K, 1]
    now = deed.word == word
    held = now & (word == HOLD) & (deed.carried == a)
    other = torch.where(deed.middle == a, b, torch.where(deed.middle == b, a, a.new_full((), WALL)))
    wanted = torch.where(word == NEAR, a, other).unsqueeze(-1)
    looks = (now & (word != HOLD) & (word != 0)).unsqueeze(-1)
    return held, looks & (deed.around == wanted) & (deed.around != WALL)


def _apply(rule: Tensor, deed: _Deed) -> _Deed:
    """Return the deed with the consequence of a rule `[K, 4]`."""
    held, near = _matches(rule, deed)
    made = rule[:, 3:]  # [K, 1]
    touched = near.any(-1) & (rule[:, :1] == TOUCH)
    return replace(
        deed,
        carried=torch.where(held, made, deed.carried),
        middle=deed.middle.masked_fill(touched, EMPTY),
        around=torch.where(near, made.unsqueeze(-1), deed.around),
    )


def _reaches(goal: Tensor, deed: _Deed) -> Tensor:
    """Return where a goal `[K, 4]` is reached, `[K, B]`."""
    held, near = _matches(goal, deed)
    return held | near.any(-1)


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Return rows of a table at indices of any shape."""
    return table.index_select(0, index.reshape(-1)).view(*index.shape, *table.shape[1:])


def begin(size: int, num_rules: int, tasks: Tasks, copies: int, rng: Streams) -> RuleWorld:
    """Return the physics of tasks whose rulesets have R rules, in a room of `size` x `size` cells.

    Raises:
        InputError: if a word or an object of a ruleset is none.
    """
    words, things = tasks.params["ruleset"].split((1, 3), -1)
    for name, values, last in (("a word", words, START), ("an object", things, NUM_OBJECTS)):
        if not bool(((values >= 0) & (values <= last) & (values == values.round())).all()):
            raise InputError(f"task parameter 'ruleset' has {name} that is none, expected whole numbers 0 to {last}")
    table = tasks.params["ruleset"].to(torch.uint8)  # [K, 1 + R + I, 4]
    lying = table[:, 1 + num_rules :]
    noise = BlockNoise(rng["place"], tasks.ids, copies, "uniform", (lying.shape[1] + 2,), ROWS_PER_BLOCK)
    rules = table[:, 1 : 1 + num_rules].transpose(0, 1).contiguous()
    never = torch.zeros((len(tasks), copies), dtype=torch.bool, device=table.device)
    objects = (lying[..., 1] * (lying[..., 0] == START)).contiguous()
    return RuleWorld(room(size, table.device), table[:, 0], rules, objects, copies, noise, never)


DEFINITION = {
    "what is seen": f"{VIEW} x {VIEW} cells, row by row from the farthest, turned so that the agent looks up from the "
    f"middle of the last row; of each cell {FEATURES} numbers: wall, kind ({', '.join(KINDS)}), colour "
    f"({', '.join(COLOURS)}), one-hot, zeros where it is empty; in the agent's own cell what it carries",
    "what is done": "forward, turn right, turn left, pick up, put down, toggle (nothing: there are no doors)",
    "rules": "in order, after each action: `hold a` after picking up, `near a` after forward, blocked or not, in the "
    "four cells around the agent, `touch a b` after putting down, in the four cells around the object, which is then "
    "gone",
    "goal": "looked up after the rules, in the same way: reward 1, then objects and agent are placed anew, each in a "
    "cell of its own, each placement as likely; nothing is carried",
    "success": "a step that reaches the goal",
    "tasks": "the goal; d rules, of which each makes the first object of the row before it (the goal's, the rule's); "
    "rules that lead nowhere; what lies about. All rulesets of such a kind are as likely",
}


def rule_world_suite(name: str, size: int, horizon: int, rulesets: Generator) -> Suite:
    """Return the suite of a room of `size` x `size` cells with the rulesets of a generator of `NUM_OBJECTS` objects."""
    obs_size = VIEW**2 * FEATURES
    suite = native_suite(
        name,
        f"A {size} x {size} room with {rulesets.lying_about} objects: hidden rules say what pays, {horizon} steps.",
        "Nikulin et al. 2023 (XLand-MiniGrid), sections 2 and 3, as in corl-team/xland-minigrid: words of goals and "
        f"rules, actions and the view of {VIEW} x {VIEW} cells as there, one room and {NUM_OBJECTS} objects. Episodes "
        "have a fixed length here: each goal pays 1, and objects and agent are placed anew at once.",
        TaskDistribution({"ruleset": rulesets.parameter()}),
        EnvSpec(obs_size, ActionSpec("discrete", NUM_ACTIONS), horizon, flags=tuple(range(obs_size))),
        partial(begin, size, rulesets.depth + rulesets.dead_ends),
    )
    return replace(suite, definition=DEFINITION)


SUITES: tuple[Suite, ...] = (
    rule_world_suite("rule-world-trivial-v1", 5, 50, Generator(NUM_OBJECTS, depth=0, dead_ends=0, lying_about=4)),
    rule_world_suite("rule-world-small-v1", 5, 75, Generator(NUM_OBJECTS, depth=1, dead_ends=1, lying_about=4)),
    rule_world_suite("rule-world-medium-v1", 7, 150, Generator(NUM_OBJECTS, depth=2, dead_ends=2, lying_about=6)),
    rule_world_suite("rule-world-high-v1", 9, 300, Generator(NUM_OBJECTS, depth=3, dead_ends=2, lying_about=7)),
)
"""Worlds of rules by difficulty."""
