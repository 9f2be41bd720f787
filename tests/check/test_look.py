from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from drml.check.actions import Actions
from drml.check.look import (
    as_numbers,
    bounds_problem,
    flags_problem,
    numeric_attributes,
    observation_problem,
    reward_problem,
    same_numbers,
    space_note,
)

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
BOTH = spaces.Dict({"place": BOX, "kind": spaces.Discrete(3)})


@pytest.mark.parametrize(
    ("space", "obs", "problem"),
    [
        (BOX, np.float32([0.5, -1.0]), ""),
        (BOX, np.float16([0.5, 0.0]), ""),  # fits into float32
        (BOX, [0.5, 0.0], "is a list, expected an array"),
        (BOX, np.float32([0.5]), "has shape [1], the space [2]"),
        (BOX, np.float64([0.5, 0.0]), "has dtype float64, the space float32"),
        (BOX, np.float32([0.0, np.inf]), "[1] is inf"),
        (spaces.Box(0.0, 1.0, ()), np.float32(np.nan), " is nan"),
        (spaces.Discrete(3), 3, "is 3, not in Discrete(3)"),
        (spaces.Discrete(3), 2, ""),
        (BOTH, {"place": np.zeros(2, np.float32), "kind": 1}, ""),
        (BOTH, {"place": np.zeros(2, np.float32)}, "has the keys ['place'], the space ['kind', 'place']"),
        (BOTH, {"place": np.zeros(3, np.float32), "kind": 1}, "['place'] has shape [3], the space [2]"),
        (spaces.Tuple([BOX, BOX]), (np.zeros(2, np.float32), None), "[1] is a NoneType, expected an array"),
    ],
)
def test_what_is_wrong_with_an_observation(space: Any, obs: Any, problem: str):
    assert observation_problem(space, obs) == problem


def test_bounds_are_said_apart():
    assert bounds_problem(BOX, np.float32([1.0, -1.0])) == ""
    assert bounds_problem(BOX, np.float32([0.0, 1.5])) == "[1] is 1.5, outside of [-1, 1]"
    obs = {"place": np.float32([-2.0, 0.0]), "kind": 1}
    assert bounds_problem(BOTH, obs) == "['place'] [0] is -2, outside of [-1, 1]"


@pytest.mark.parametrize(
    ("reward", "problem"),
    [
        (1, ""),
        (np.float32(0.5), ""),
        (float("inf"), "is inf"),
        (None, "is None, a NoneType, expected a number"),
        (True, "is True, a bool, expected a number"),
        (np.zeros(1), "is an array of shape [1], expected a number"),
        (np.zeros(()), "is an array of shape [], expected a number"),
    ],
)
def test_what_is_wrong_with_a_reward(reward: Any, problem: str):
    assert reward_problem(reward) == problem


def test_what_is_wrong_with_flags():
    assert flags_problem(np.bool_(True), False, {}) == ""
    assert flags_problem(False, None, {}) == "truncated is None, a NoneType, expected True or False"
    assert flags_problem(False, False, []) == "info is a list, expected a dictionary"


def test_numbers_of_an_observation():
    numbers, digest = as_numbers(BOTH, {"place": np.float32([0.25, -1.0]), "kind": 2})
    assert numbers.tolist() == [0.0, 0.0, 1.0, 0.25, -1.0]  # Gymnasium flattens by key: the kind, one-hot, comes first
    picture = spaces.Box(0, 255, (40, 40), np.uint8)
    black, other = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    other[17, 23] = 1  # not among the 512 entries that are kept
    assert as_numbers(picture, black)[0].shape == (512,)
    assert (as_numbers(picture, black)[0] == as_numbers(picture, other)[0]).all()
    assert as_numbers(picture, black)[1] != as_numbers(picture, other)[1]
    unfit, one = as_numbers(BOX, "text")
    assert np.isnan(unfit).all() and one != as_numbers(BOX, "texts")[1]
    assert digest == as_numbers(BOTH, {"place": np.float32([0.25, -1.0]), "kind": 2})[1]


def test_spaces_as_text():
    wider = spaces.Box(-2.0, 1.0, (2,), np.float32)
    assert space_note(BOX).structure == space_note(wider).structure == "Box of shape [2], float32"
    assert space_note(BOX).bounds != space_note(wider).bounds
    assert space_note(BOTH).bounds != space_note(spaces.Dict({"place": wider, "kind": spaces.Discrete(3)})).bounds
    assert space_note(spaces.Discrete(2)).structure != space_note(spaces.Discrete(3)).structure


class Holder:
    def __init__(self) -> None:
        self.goal = (0.25, np.float32(0.1))
        self.task = {"mass": 2, "name": "heavy"}
        self.path = "somewhere"
        self.huge = np.zeros(2000)
        self.broken = float("nan")

    def get_task(self) -> dict[str, float]:
        return {"wind": 0.5}


def test_attributes_that_are_numbers():
    found = numeric_attributes(Holder())
    assert set(found) == {"goal", "task['mass']", "get_task()['wind']"}
    assert same_numbers(found["goal"], np.array([0.25, 0.1]))  # held in float32
    assert not same_numbers(found["goal"], np.array([0.25, 0.11]))
    assert not same_numbers(found["goal"], np.array([0.25]))


def test_an_episode_has_the_same_actions_in_every_recording():
    space = spaces.Box(np.float32([-1.0, -np.inf]), np.float32([1.0, np.inf]))
    for style in ("random", "held", "corners"):
        runs: list[list[Any]] = []
        for before in (0, 7):
            actions = Actions(space, style)
            actions.begin(0)
            for step in range(before):
                actions.at(step)
            actions.begin(3)
            runs.append([actions.at(step) for step in range(25)])
        assert np.array_equal(runs[0], runs[1]) and all(space.contains(action) for action in runs[0])
        held = np.array([np.array_equal(a, b) for a, b in zip(runs[0], runs[0][1:], strict=False)])
        assert held.sum() == (0 if style == "random" else 22)  # 25 actions in blocks of ten change twice
        assert (np.abs(np.array(runs[0])[:, 0]) == 1.0).all() == (style == "corners")
