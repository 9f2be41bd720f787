"""Translation between the user's spaces and a policy's rows, against rows written by hand."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from drml.act.translation import Translation
from drml.spaces.interface import Interface

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


def translation(space, sessions=1, copies=1, acts=BOX):
    return Translation(Interface(space, acts, 1.0, 5), sessions, copies)


LEADS = {
    (1, 1): [(), (1,), (1, 1)],
    (1, 3): [(3,), (1, 3)],
    (2, 1): [(2,), (2, 1)],
    (2, 3): [(2, 3)],
}


@pytest.mark.parametrize("many", LEADS)
def test_leading_axes_come_back_with_actions(many):
    told = translation(BOX, *many)
    for lead in LEADS[many]:
        obs = np.arange(2 * np.prod(lead, dtype=int), dtype=np.float32).reshape(*lead, 2)
        rows, found = told.rows("act", obs)
        assert found == lead
        assert rows.tolist() == obs.reshape(*many, 2).tolist()
        acted = told.actions(torch.full((*many, 2), 0.5), lead)
        assert acted.shape == (*lead, 2) and acted.dtype == np.float32


SPACES = {
    "discrete": (spaces.Discrete(3, start=5), 6, [0, 1, 0]),
    "several": (spaces.MultiDiscrete([2, 3]), [1, 0], [0, 1, 1, 0, 0]),
    "bits": (spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
    "picture": (spaces.Box(0, 255, (1, 2, 1), np.uint8), np.array([[[0], [51]]], np.uint8), [0, 51]),
    "number beside symbols": (
        spaces.Tuple([spaces.Box(0, 9, (2,), np.uint8), spaces.Box(-9, 9, (1,))]), ([3, 9], [1.0]),
        [3, 9, 0, 0, 128, 63],  # 1.0 is 0x3F800000
    ),
    "symbols": (spaces.Box(0, 9, (2,), np.uint8), np.array([3, 9], np.uint8), [3, 9]),
    "dictionary": (spaces.Dict(b=spaces.Discrete(2), a=BOX), {"b": 1, "a": [0.5, -1]}, [0.5, -1, 0, 1]),
    "tuple": (spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, (1,))]), (0, np.array([0.25])), [1, 0, 0.25]),
    "matrix": (spaces.Box(-9, 9, (2, 2)), [[1, 2], [3, 4]], [1, 2, 3, 4]),
    "list for a vector": (BOX, [0.25, 1], [0.25, 1]),
}  # fmt: skip
IN_BYTES = ("picture", "symbols", "number beside symbols")


@pytest.mark.parametrize("name", SPACES)
def test_rows_of_each_kind_of_space(name):
    space, value, row = SPACES[name]
    if isinstance(space, spaces.Dict):
        row = {"a": [0.5, -1, 0, 1], "b": [0, 1, 0.5, -1]}[next(iter(space.spaces))]
    rows, lead = translation(space).rows("act", value)
    assert lead == ()
    assert rows.dtype == (torch.uint8 if name in IN_BYTES else torch.float32)
    assert rows.tolist() == [[[float(np.float32(x)) for x in row]]]


def test_a_dictionary_has_its_leading_axes_in_each_part():
    space = spaces.Dict(a=BOX, b=spaces.Discrete(2))
    rows, lead = translation(space, copies=2).rows("act", {"a": [[1, 2], [3, 4]], "b": [0, 1]})
    assert lead == (2,)
    assert rows.tolist() == [[[1, 2, 1, 0], [3, 4, 0, 1]]]


def test_actions_of_listed_spaces():
    several = translation(BOX, copies=2, acts=spaces.MultiDiscrete([2, 3]))
    assert several.actions(torch.tensor([[[0.0, 0.0], [1.0, 2.0]]]), (2,)).tolist() == [[0, 0], [1, 2]]
    one = translation(BOX, acts=spaces.Discrete(3, start=-1)).actions(torch.tensor([[2]]), ())
    assert one == 1 and isinstance(one, np.integer)


def test_last_observations_stand_where_an_episode_ended_and_those_before_elsewhere():
    told, before = translation(BOX, copies=3), torch.arange(6.0).view(1, 3, 2)
    given = np.array([None, np.array([7.0, 8.0]), None], object)
    assert told.final("observe", given, (3,), before).tolist() == [[[0, 1], [7, 8], [4, 5]]]
    assert before.tolist() == [[[0, 1], [2, 3], [4, 5]]]


def test_numbers_and_flags_are_of_all_copies():
    told = translation(BOX, 2, 3)
    assert told.numbers("reward", [[1, 2, 3], [4, 5, 6]], (2, 3)).tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert told.flags("terminated", [[0, 1, 0], [1, 0, 0]], (2, 3)).tolist() == [
        [False, True, False],
        [True, False, False],
    ]
    assert translation(BOX).numbers("reward", np.float32(2), ()).tolist() == [[2.0]]
    assert translation(BOX).flags("truncated", np.True_, ()).tolist() == [[True]]
