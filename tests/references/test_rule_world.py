"""Worlds of rules stated twice: the batched ones against the plain ones, and values against play."""

import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.references import rule_world
from drml.references.rule_world import World, as_world, expected_goals, play, rulebook
from drml.suites.games.rule_world import FORWARD, NUM_ACTIONS, PICK_UP, PUT_DOWN, TURN_RIGHT, begin
from drml.suites.games.rulesets import HOLD, NEAR, START, TOUCH, Generator

FAMILIES = {
    "no rules": (3, Generator(4, 0, 0, 2)),
    "dead ends": (4, Generator(8, 1, 1, 4)),
    "deep": (5, Generator(12, 2, 2, 6)),
}


def tables(generator: Generator, num: int) -> torch.Tensor:
    numbers = Streams(7)["rulesets"].generator().integers(int(generator.counts.sum()), size=num)
    return torch.from_numpy(generator.make(numbers)).double()


@pytest.mark.parametrize("name", FAMILIES)
def test_both_worlds_go_the_same_way(name: str):
    size, generator = FAMILIES[name]
    tasks = Tasks({"ruleset": tables(generator, 30)}, torch.arange(30))
    num_rules, copies = generator.depth + generator.dead_ends, 4
    physics = begin(size, num_rules, tasks, copies, Streams(1))
    books = [rulebook(size, num_rules, table) for table in tasks.params["ruleset"].tolist()]
    actions = (
        Streams(2)["actions"]
        .generator()
        .choice([FORWARD, FORWARD, TURN_RIGHT, 2, PICK_UP, PUT_DOWN, 5], size=(150, 30, copies))
    )
    state, goals, changes = physics.start(0), 0.0, 0
    for t, action in enumerate(torch.from_numpy(actions)):
        outcome = physics.move(state, action, t)
        for k, book in enumerate(books):
            for b in range(copies):
                expected, reached = book.step(as_world(state[k, b]), int(action[k, b]))
                assert bool(outcome.reward[k, b]) == reached
                assert reached or as_world(outcome.state[k, b]) == expected
                made = {rule[3] for rule in book.rules}
                changes += bool(made & {*expected.cells, expected.carried})
        goals, state = goals + outcome.reward.sum().item(), outcome.state
    assert goals >= 5 and (changes > 10 or not num_rules)  # something happened


def only(*rows: list[int], size: int = 3):
    return rulebook(size, len(rows) - 1 - sum(row[0] == START for row in rows), rows)


def test_values_by_hand():
    # One cell ahead in a room of 2 x 2: the agent faces A with probability ⅓ · ... by listing: A in any of 4 cells, the
    # agent in the 3 others, 4 directions: of 12 places relative to A, beside it 2 of 3, facing it 1 of 4.
    book = only([HOLD, 1, 0, 0], [START, 1, 0, 0], size=2)
    best, random = expected_goals(book, 1)
    assert best == pytest.approx(2 / 3 / 4) and random == pytest.approx(2 / 3 / 4 / NUM_ACTIONS)
    # Two steps: beside A and a quarter turn away (2 of 4 directions) it turns and picks up; across the corner, no way.
    assert expected_goals(book, 2)[0] == pytest.approx((1 / 6) * (1 + 1 / 6) + 2 / 3 / 2)


def test_plans_by_hand():
    book = only([TOUCH, 3, 2, 0], [HOLD, 1, 0, 3], [START, 1, 0, 0], [START, 2, 0, 0])
    world = World((1, 0, 2, 0, 0, 0, 0, 0, 0), 3, 0, 0)  # A above the agent, B two cells right of A
    # Pick A up (it becomes C) and put it into the cell beside B: right of the agent's neighbour, or above it.
    plan = book.plan(world)
    assert plan == [PICK_UP, FORWARD, TURN_RIGHT, PUT_DOWN]
    assert only([HOLD, 4, 0, 0], [START, 1, 0, 0]).plan(World((1, *[0] * 8), 4, 0, 0)) is None


@pytest.mark.parametrize("word", [HOLD, NEAR, TOUCH])
def test_the_player_earns_what_was_computed(word: int):
    rows = [[word, 1, 2 if word == TOUCH else 0, 0], [START, 1, 0, 0], [START, 2, 0, 0]]
    best, random = expected_goals(only(*rows), 12)
    tasks = Tasks({"ruleset": torch.tensor([rows]).double()}, torch.tensor([0]))
    played = play(3, 0, 12, tasks, 400, Streams(3)).double()
    assert abs(played.mean().item() - best) < 4 * played.std().item() / 20
    assert 0.0 < random < best / 5


def test_chance_earns_what_was_computed():
    rows = [[NEAR, 3, 0, 0], [HOLD, 1, 0, 3], [START, 1, 0, 0], [START, 2, 0, 0]]
    _, random = expected_goals(only(*rows), 20)
    tasks = Tasks({"ruleset": torch.tensor([rows]).double()}, torch.tensor([0]))
    physics, copies = begin(3, 1, tasks, 4000, Streams(0)), 4000
    state, goals = physics.start(0), torch.zeros(copies, dtype=torch.float64)
    for t in range(20):
        outcome = physics.move(state, torch.from_numpy(Streams(t).generator().integers(6, size=(1, copies))), t)
        state, goals = outcome.state, goals + outcome.reward[0]
    assert abs(goals.mean().item() - random) < 4 * goals.std().item() / copies**0.5


@pytest.mark.parametrize("name", FAMILIES)
def test_who_knows_the_rules_reaches_every_goal(name: str):
    size, generator = FAMILIES[name]
    num_rules = generator.depth + generator.dead_ends
    for k, table in enumerate(tables(generator, 6)):
        physics = begin(size, num_rules, Tasks({"ruleset": table[None]}, torch.tensor([k])), 1, Streams(5))
        plan = rulebook(size, num_rules, table.tolist()).plan(as_world(physics.start(0)[0, 0]))
        assert plan is not None
        state, rewards = physics.start(0), list[float]()
        for t, action in enumerate(plan):
            outcome = physics.move(state, torch.tensor([[action]]), t)
            state = outcome.state
            rewards.append(outcome.reward.item())
        assert rewards == [0.0] * (len(plan) - 1) + [1.0]


def test_what_grows_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(rule_world, "MAX_STATES", 100)
    book = only([HOLD, 4, 0, 0], [START, 1, 0, 0])
    with pytest.raises(InputError, match="expected_goals: more than 100 states"):
        expected_goals(book, 3)
    with pytest.raises(InputError, match="plan: more than 100 states"):
        book.plan(World((1, *[0] * 8), 4, 0, 0))
