"""Worlds of rules against walks worked out by hand."""

import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.suites.games.rule_world import (
    COLOURS,
    FEATURES,
    FORWARD,
    NUM_OBJECTS,
    PICK_UP,
    PUT_DOWN,
    SUITES,
    TOGGLE,
    TURN_LEFT,
    TURN_RIGHT,
    VIEW,
    WALL,
    RuleWorld,
    begin,
)
from drml.suites.games.rulesets import HOLD, NEAR, NOTHING, START, TOUCH

A, B, C, D = 1, 2, 3, 4
UP, RIGHT, DOWN, LEFT = range(4)
ANYTHING = [[START, A, 0, 0], [START, B, 0, 0]]


def physics(*rows: list[int], copies: int = 1) -> RuleWorld:
    """Return a room of 3 x 3 cells with a goal and rules."""
    table = torch.tensor([[*rows, *ANYTHING]], dtype=torch.float64)
    return begin(3, len(rows) - 1, Tasks({"ruleset": table}, torch.zeros(1, dtype=torch.int64)), copies, Streams(0))


def state(picture: str, position: int, direction: int, carried: int = 0) -> torch.Tensor:
    cells = [" ABCD".index(letter) for letter in picture.replace("/", "").replace(".", " ")]
    return torch.tensor([[[*cells, WALL, position, direction, carried]]], dtype=torch.uint8)


def shown(state: torch.Tensor) -> tuple[str, int, int, int]:
    *cells, wall, position, direction, carried = state[0, 0].tolist()
    assert wall == WALL
    letters = "".join(".ABCD"[cell] for cell in cells)
    return "/".join(letters[i : i + 3] for i in (0, 3, 6)), position, direction, carried


def after(world: RuleWorld, begins: torch.Tensor, *actions: int) -> tuple[tuple[str, int, int, int], list[float]]:
    rewards: list[float] = []
    for t, action in enumerate(actions):
        outcome = world.move(begins, torch.tensor([[action]]), t)
        begins = outcome.state
        rewards.append(outcome.reward.item())
        assert not outcome.terminated.any()
    return shown(begins), rewards


def test_the_agent_walks_on_empty_cells_only():
    world = physics([HOLD, D, 0, 0])
    begins = state("A../.../...", 6, UP)
    assert after(world, begins, FORWARD) == (("A../.../...", 3, UP, 0), [0.0])
    assert after(world, begins, FORWARD, FORWARD)[0] == ("A../.../...", 3, UP, 0)  # A is in the way
    assert after(world, begins, TURN_LEFT, FORWARD)[0] == ("A../.../...", 6, LEFT, 0)  # so is the wall
    assert after(world, begins, TURN_RIGHT, FORWARD, FORWARD, FORWARD)[0] == ("A../.../...", 8, RIGHT, 0)
    assert after(world, begins, TURN_RIGHT, TURN_RIGHT, TURN_RIGHT)[0][2] == LEFT
    assert after(world, begins, TOGGLE)[0] == ("A../.../...", 6, UP, 0)


def test_one_thing_is_carried_at_a_time():
    world = physics([HOLD, D, 0, 0])
    begins = state("A../.../..B", 3, UP)
    assert after(world, begins, PICK_UP)[0] == (".../.../..B", 3, UP, A)
    assert after(world, begins, PICK_UP, PICK_UP)[0] == (".../.../..B", 3, UP, A)
    assert after(world, begins, PICK_UP, TURN_RIGHT, PUT_DOWN)[0] == (".../.A./..B", 3, RIGHT, 0)
    assert after(world, begins, PUT_DOWN)[0] == ("A../.../..B", 3, UP, 0)
    assert after(world, state("A../.../..B", 5, DOWN, C), PICK_UP)[0] == ("A../.../..B", 5, DOWN, C)
    assert after(world, state("A../.../..B", 5, DOWN, C), PUT_DOWN)[0] == ("A../.../..B", 5, DOWN, C)
    assert after(world, state("A../.../..B", 5, RIGHT, C), PUT_DOWN)[0] == ("A../.../..B", 5, RIGHT, C)  # a wall
    assert after(world, state("A../.../..B", 5, RIGHT), PICK_UP)[0] == ("A../.../..B", 5, RIGHT, 0)


GOALS = {  # goal, state, action, reward
    "hold": ([HOLD, A, 0, 0], state("A../.../...", 3, UP), PICK_UP, 1.0),
    "hold another": ([HOLD, B, 0, 0], state("A../.../...", 3, UP), PICK_UP, 0.0),
    "hold from before": ([HOLD, A, 0, 0], state(".../.../...", 3, UP, A), TOGGLE, 0.0),
    "near": ([NEAR, A, 0, 0], state("A../.../...", 4, LEFT), FORWARD, 1.0),
    "near, blocked": ([NEAR, A, 0, 0], state("A../.../...", 3, UP), FORWARD, 1.0),
    "near, turned": ([NEAR, A, 0, 0], state("A../.../...", 3, UP), TURN_LEFT, 0.0),
    "near across the corner": ([NEAR, A, 0, 0], state("A../.../...", 7, UP), FORWARD, 0.0),
    "near across the edge": ([NEAR, A, 0, 0], state("..A/.../...", 6, UP), FORWARD, 0.0),  # cells 2 and 3
    "touch": ([TOUCH, A, B, 0], state(".B./.../...", 3, UP, A), PUT_DOWN, 1.0),
    "touch the other way": ([TOUCH, B, A, 0], state(".B./.../...", 3, UP, A), PUT_DOWN, 1.0),
    "touch what is not meant": ([TOUCH, A, C, 0], state(".B./.../...", 3, UP, A), PUT_DOWN, 0.0),
    "touch with empty hands": ([TOUCH, A, B, 0], state("AB./.../...", 3, UP), PUT_DOWN, 0.0),
    "no goal": ([NOTHING, 0, 0, 0], state("A../.../...", 3, UP), FORWARD, 0.0),
}


@pytest.mark.parametrize("name", GOALS)
def test_goals(name: str):
    goal, begins, action, reward = GOALS[name]
    assert after(physics(goal), begins, action)[1] == [reward]


RULES = {  # rules, state, action, state after
    "hold": ([[HOLD, A, 0, C]], state("A../.../...", 3, UP), PICK_UP, (".../.../...", 3, UP, C)),
    "near": ([[NEAR, A, 0, C]], state("A../.A./..A", 6, UP), FORWARD, ("C../.C./..A", 3, UP, 0)),
    "touch": ([[TOUCH, A, B, C]], state(".B./.../...", 3, UP, A), PUT_DOWN, (".C./.../...", 3, UP, 0)),
    "touch two": ([[TOUCH, A, B, C]], state("B../.../B..", 4, LEFT, A), PUT_DOWN, ("C../.../C..", 4, LEFT, 0)),
    "in order": ([[NEAR, A, 0, B], [NEAR, B, 0, C]], state("A../.../...", 6, UP), FORWARD, ("C../.../...", 3, UP, 0)),
    "not in order": (
        [[NEAR, B, 0, C], [NEAR, A, 0, B]],
        state("A../.../...", 6, UP),
        FORWARD,
        ("B../.../...", 3, UP, 0),
    ),
    "nothing left to touch": (
        [[TOUCH, A, B, C], [TOUCH, A, D, B]],
        state(".B./.../D..", 4, UP, A),
        PUT_DOWN,
        (".B./.../D..", 4, UP, A),  # the cell ahead is taken
    ),
    "the next rule finds it gone": (
        [[TOUCH, A, B, C], [TOUCH, A, D, B]],
        state("B../.../D..", 4, LEFT, A),
        PUT_DOWN,
        ("C../.../D..", 4, LEFT, 0),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str):
    rules, begins, action, expected = RULES[name]
    assert after(physics([HOLD, 9, 0, 0], *rules), begins, action) == (expected, [0.0])


def test_a_rule_makes_what_the_goal_asks_for_in_the_same_step():
    assert after(physics([HOLD, C, 0, 0], [HOLD, A, 0, C]), state("A../.../...", 3, UP), PICK_UP)[1] == [1.0]
    assert after(physics([NEAR, C, 0, 0], [NEAR, A, 0, C]), state("A../.../...", 3, UP), FORWARD)[1] == [1.0]


def test_everything_is_placed_anew_at_the_goal():
    copies = 2000
    world = physics([HOLD, A, 0, 0], copies=copies)
    begins = state("A../B../...", 4, UP).expand(1, copies, 13).clone()
    begins[0, ::2, 9:11] = torch.tensor([1, LEFT], dtype=torch.uint8)  # every second one stands beside A
    outcome = world.move(begins, torch.full((1, copies), PICK_UP), 0)
    reached = outcome.reward[0] == 1.0
    assert reached.tolist() == [True, False] * (copies // 2)
    assert (outcome.state[0, ~reached] == begins[0, ~reached]).all()
    fresh = outcome.state[0, reached]
    assert (fresh[:, 12] == 0).all()
    for thing in (A, B):
        assert ((fresh[:, :9] == thing).sum(1) == 1).all()
        where = (fresh[:, :9] == thing).float().mean(0)
        assert (where - 1 / 9).abs().max() < 5 * (8 / 81 / 1000) ** 0.5  # 1000 draws of one of 9 cells
    assert (fresh[torch.arange(1000), fresh[:, 10].long()] == 0).all()  # the agent stands in an empty cell
    assert (fresh[:, 11].long().bincount() / 1000 - 0.25).abs().max() < 5 * (3 / 16 / 1000) ** 0.5


def test_what_is_seen_is_turned_with_the_agent():
    world = physics([HOLD, D, 0, 0])
    W = WALL
    up = world.symbols(state("A../..B/...", 7, UP, C))[0, 0].view(VIEW, VIEW)
    assert up.tolist() == [
        [W, W, W, W, W],
        [W, W, W, W, W],
        [W, A, 0, 0, W],
        [W, 0, 0, B, W],
        [W, 0, C, 0, W],  # what it carries, in its own cell
    ]
    right = world.symbols(state("A../..B/...", 3, RIGHT))[0, 0].view(VIEW, VIEW)
    assert right.tolist() == [[W, W, W, W, W], [W, W, W, W, W], [W, 0, B, 0, W], [W, 0, 0, 0, W], [W, A, 0, 0, W]]
    left = world.symbols(state("A../..B/...", 4, LEFT))[0, 0].view(VIEW, VIEW)
    assert left.tolist() == [[W] * 5, [W] * 5, [W] * 5, [W, 0, 0, A, W], [W, 0, 0, 0, W]]


def test_features_are_wall_kind_and_colour():
    world = physics([HOLD, D, 0, 0])
    seen = world.observe(state("A../..B/...", 7, UP, C)).view(VIEW, VIEW, FEATURES)
    assert seen[0, 0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]  # wall
    assert seen[2, 2].tolist() == [0] * FEATURES  # empty
    assert seen[2, 1].tolist() == [0, 1, 0, 0, 1, 0, 0, 0]  # object 1: the first kind, the first colour
    assert seen[3, 3].tolist() == [0, 1, 0, 0, 0, 1, 0, 0]  # object 2: the first kind, the second colour
    far = world.observe(state(".../.../...", 7, UP, NUM_OBJECTS)).view(VIEW, VIEW, FEATURES)
    assert far[4, 2].tolist() == [0, 0, 0, 1, 0, 0, 0, 1] and len(COLOURS) == 4


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_nobody_is_told_the_rules(suite):
    """Two tasks with the same objects and other rules look alike until the rules show."""
    env = suite.make(EnvOptions())
    family = suite.tasks.parameters("train")["ruleset"]
    table = torch.from_numpy(family.quantile(torch.tensor([[0.3]]).double().numpy()))
    blank = table.clone()
    blank[:, : (table[0, :, 0] != START).sum()] = 0.0
    ids = torch.tensor([4])
    first = env.reset(Tasks({"ruleset": table}, ids), 3, Streams(2))
    assert torch.equal(first, env.reset(Tasks({"ruleset": blank}, ids), 3, Streams(2)))
    step = env.step(torch.full((1, 3), TURN_LEFT))
    assert not step.reward.any() and not step.terminated.any()


@pytest.mark.parametrize(
    ("row", "message"),
    [([9, 1, 0, 0], "a word that is none"), ([1, 40, 0, 0], "an? object"), ([1, 0.5, 0, 0], "object")],
)
def test_rulesets_of_words_and_objects_that_are_none_are_refused(row: list[float], message: str):
    with pytest.raises(InputError, match=message):
        physics(row)
