import itertools
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate

from drml.core.errors import InputError
from drml.core.observation import Part, are_finite, as_numbers
from drml.core.types import ActionSpec
from drml.spaces.actions import actions
from drml.spaces.interface import Interface
from drml.spaces.joint_actions import mapped
from drml.spaces.joint_actions import rows_of as one_by_one
from drml.spaces.observations import bytes_note, observations

SPACES = {
    "box": spaces.Box(-2.0, 3.0, (4,), np.float64),
    "matrix": spaces.Box(-1.0, 1.0, (2, 3)),
    "scalar": spaces.Box(-1.0, 1.0, ()),
    "discrete": spaces.Discrete(5, start=-2),
    "multi-discrete": spaces.MultiDiscrete([3, 2, 4]),
    "multi-discrete with starts": spaces.MultiDiscrete([3, 2], start=[10, -1]),
    "multi-discrete table": spaces.MultiDiscrete([[3, 2], [2, 4]]),
    "multi-binary": spaces.MultiBinary([2, 3]),
    "tuple": spaces.Tuple((spaces.Discrete(3), spaces.Box(0.0, 1.0, (2,)))),
    "dict": spaces.Dict(
        {
            "z": spaces.Box(0.0, 1.0, (2,)),
            "a": spaces.MultiBinary(3),
            "inner": spaces.Dict({"choice": spaces.Discrete(4), "pair": spaces.Tuple((spaces.Discrete(2),))}),
        }
    ),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_observations_are_laid_out_as_gymnasium_flattens_them(space):
    space.seed(1)
    how = observations(space)
    samples = [space.sample() for _ in range(20)]
    rows = np.full((20, how.size), np.nan, np.float32)
    for sample, row in zip(samples, rows, strict=True):
        how.write(sample, row)
    expected = np.stack([spaces.flatten(space, sample) for sample in samples]).astype(np.float32)
    assert how.size == spaces.flatdim(space) and np.array_equal(rows, expected)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_batch_is_written_as_its_parts_are(space):
    many = batch_space(space, 6)
    many.seed(2)
    batch = many.sample()
    how = observations(space)
    rows, one_by_one = np.full((2, 6, how.size), np.nan, np.float32)
    how.write(batch, rows)
    for value, row in zip(iterate(many, batch), one_by_one, strict=True):
        how.write(value, row)
    assert np.array_equal(rows, one_by_one)


def rows_of(how, *lead):
    return np.empty((*lead, how.size), how.dtype)


def test_pictures_stay_bytes_and_stand_for_shares_of_255():
    how = observations(spaces.Box(0, 255, (2, 2, 3), np.uint8))
    row = rows_of(how, 1)
    how.write(np.full((1, 2, 2, 3), 51, np.uint8), row)
    assert row.dtype == np.uint8 and row.shape == (1, 12) and (row == 51).all()
    np.testing.assert_allclose(as_numbers(how.parts, torch.from_numpy(row)), 0.2, rtol=1e-6)


@pytest.mark.parametrize("value", [256.0, -1.0, 0.5, np.nan, np.inf])
def test_what_is_no_byte_is_refused_where_bytes_are_declared(value):
    how = observations(spaces.Box(0, 255, (2,), np.uint8))
    how.write(np.array([3.0, 4.0]), row := rows_of(how))
    assert row.tolist() == [3, 4]
    with pytest.raises(ValueError, match=r"an observation of bytes holds .*, expected 0 to 255"):
        how.write(np.array([3.0, value]), row)


MIXED = spaces.Dict(
    {
        "bits": spaces.MultiBinary(3),
        "grid": spaces.Box(0, 9, (2, 2), np.uint8),
        "inner": spaces.Tuple((spaces.Discrete(3, start=1), spaces.Box(-1.0, 1.0, (2,)))),
        "view": spaces.Box(0, 255, (2, 2, 1), np.uint8),
    }
)


def test_numbers_beside_a_picture_keep_all_their_bits():
    how = observations(MIXED)
    assert how.size == 3 + 4 + (3 + 8) + 4
    value = {
        "bits": np.array([1, 0, 1], np.int8),
        "grid": np.array([[1, 2], [3, 9]], np.uint8),
        "inner": (2, np.array([0.1, np.nan], np.float32)),
        "view": np.array([[[0], [51]], [[102], [255]]], np.uint8),
    }
    how.write(value, row := rows_of(how))
    numbers = as_numbers(how.parts, torch.from_numpy(row))
    expected = [1, 0, 1, 1, 2, 3, 9, 0, 1, 0, np.float32(0.1), np.nan, 0, 0.2, 0.4, 1]
    np.testing.assert_allclose(numbers, np.array(expected, np.float32), rtol=1e-7)
    assert numbers[10].item() == float(np.float32(0.1))
    assert not are_finite(how.parts, torch.from_numpy(row))


def test_many_mixed_observations_are_written_at_once():
    many = batch_space(MIXED, 4)
    many.seed(3)
    how, batch = observations(MIXED), many.sample()
    rows, one_by_one = rows_of(how, 4), rows_of(how, 4)
    how.write(batch, rows)
    for value, row in zip(iterate(many, batch), one_by_one, strict=True):
        how.write(value, row)
    assert np.array_equal(rows, one_by_one)


@pytest.mark.parametrize(
    ("space", "parts"),
    [
        (spaces.Box(0, 255, (4,), np.uint8), (Part("picture", (4,)),)),
        (spaces.Box(2, 7, (4, 4), np.uint8), (Part("symbols", (4, 4), 2, 7),)),
        (spaces.Box(0, 1, (5, 5, 2), np.bool_), (Part("bits", (5, 5, 2)),)),
        (spaces.MultiBinary((5, 5, 2)), (Part("bits", (5, 5, 2)),)),
        (spaces.Tuple((spaces.MultiBinary(2), spaces.Discrete(3))), ()),
        (spaces.Box(0, 1, (4, 4), np.bool_), ()),
        (spaces.Box(0, 255, (4, 4, 3), np.float32), ()),
    ],
)
def test_observations_are_bytes_where_something_in_them_is_looked_at(space, parts):
    how = observations(space)
    assert how.parts == parts and how.dtype == (np.uint8 if parts else np.float32)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 10),
        (0, 254),
        (1, 255),
        (np.array([0, 0]), np.array([255, 3])),  # one entry with other bounds: then it is no picture
    ],
)
def test_bytes_that_are_symbols_stay_as_they_are(low, high):
    as_bytes = spaces.Box(low, high, (2,), np.uint8)
    how = observations(as_bytes)
    how.write(np.array([1, 3], np.uint8), row := rows_of(how))
    assert as_numbers(how.parts, torch.from_numpy(row)).tolist() == [1.0, 3.0]


def test_what_is_done_with_bytes_is_said():
    picture, symbols = spaces.Box(0, 255, (2,), np.uint8), spaces.Box(0, 5, (2,), np.uint8)
    divided, kept = "pictures (0 to 255) divided by 255", "symbols (other bounds) as they are"
    for space, note in [
        (picture, divided),
        (symbols, kept),
        (spaces.Dict({"codes": symbols, "view": picture}), f"{divided}, {kept}"),
        (spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 255, (2,), np.int32))), ""),
    ]:
        assert bytes_note(observations(space).layout) == note


def test_an_observation_without_a_fixed_length_is_refused():
    for space in (spaces.Sequence(spaces.Discrete(2)), spaces.Dict({"words": spaces.Sequence(spaces.Discrete(2))})):
        with pytest.raises(InputError, match=r"no fixed number of entries.*TransformObservation"):
            observations(space)


@pytest.mark.parametrize(
    ("space", "value", "text"),
    [
        (spaces.Discrete(3), 7, "7, expected 0 to 2"),
        (spaces.Discrete(3, start=2), 1, "1, expected 2 to 4"),
        (spaces.MultiDiscrete([3, 2]), np.array([1, 2]), "outside of MultiDiscrete"),
        (spaces.MultiDiscrete([[3, 2], [2, 4]]), np.zeros(4, int), r"shape \[4\], expected \[2, 2\]"),
        (spaces.Box(0.0, 1.0, (2, 3)), np.zeros((3, 2)), r"shape \[3, 2\], expected \[2, 3\]"),
        (spaces.Box(0, 255, (2, 3, 1), np.uint8), np.zeros((2, 3), np.uint8), r"shape \[2, 3\], expected"),
        (spaces.MultiBinary([2, 3]), np.zeros(6, np.int8), r"shape \[6\], expected \[2, 3\]"),
    ],
)
def test_an_observation_outside_of_its_space_is_not_taken_for_another(space, value, text):
    how = observations(space)
    with pytest.raises(ValueError, match=text):
        how.write(value, np.empty(how.size, np.float32))


def test_layouts_tell_spaces_apart():
    assert observations(spaces.Discrete(3)).layout != observations(spaces.Discrete(3, start=1)).layout
    layouts = [observations(space).layout for space in SPACES.values()]
    assert len(set(layouts)) == len(layouts) - 1  # a matrix of 6 and a binary of 6 may stand for each other


LARGEST = np.finfo(np.float32).max
FORMS = {  # bounds, dtype, and how many values there are
    "finite": (-2.0, 3.0, np.float32, 10**9),
    "finite float64": (-2.0, 3.0, np.float64, 10**9),
    "finite float16": (-1.0, 1.0, np.float16, 10**4),
    "infinite": (-np.inf, np.inf, np.float32, 10**9),
    "infinite by the largest number": (-LARGEST, LARGEST, np.float32, 10**9),
    "infinite float64": (-1e300, 1e300, np.float64, 10**9),
    "lower": (0.0, np.inf, np.float32, 10**9),
    "lower above 0": (5.0, np.inf, np.float32, 10**9),
    "lower below 0": (-1.0, np.inf, np.float32, 10**9),
    "lower far away": (1e9, np.inf, np.float32, 10**9),
    "lower far below": (-1e30, np.inf, np.float32, 10**9),
    "lower by the largest number": (0.0, LARGEST, np.float32, 10**9),
    "lower float64": (3.0, 1e300, np.float64, 10**9),
    "upper": (-np.inf, 0.0, np.float32, 10**9),
    "upper below 0": (-np.inf, -7.0, np.float32, 10**9),
    "upper above 0": (-np.inf, 7.0, np.float32, 10**9),
    "nearly all numbers": (-3e38, 3e38, np.float32, 10**9),
    "tiny": (0.0, 1e-40, np.float32, 10**9),
    "equal": (2.0, 2.0, np.float32, 1),
    "few numbers": (1e9, 1e9 + 512.0, np.float32, 9),  # float32 numbers of this size are 64 apart
    "bytes": (0, 255, np.uint8, 256),
    "signed bytes": (-128, 127, np.int8, 256),
    "small integers": (-3, 3, np.int32, 7),
    "zero or one": (0, 1, np.int64, 2),
    "equal integers": (4, 4, np.int64, 1),
    "all integers": (-(2**63), 2**63 - 1, np.int64, 10**9),
    "integers from three on": (3, np.inf, np.int64, 10**9),
    "yes or no": (0, 1, np.bool_, 2),
}


class TestBoxActions:
    def test_minus_one_to_one_spans_the_bounds_and_what_lies_beyond_is_clipped(self):
        how = actions(spaces.Box(np.float32([-2.0, 0.0]), np.float32([2.0, 10.0])), 1.0)
        assert how.spec == ActionSpec("continuous", 2, bound=1.0)
        given = np.array([[[-1.0, -1.0], [0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [7.0, -7.0]]], np.float32)
        assert how.decode(given).tolist() == [[[-2.0, 0.0], [0.0, 5.0], [1.0, 7.5], [2.0, 10.0], [2.0, 0.0]]]

    def test_a_scale_comes_first(self):
        how = actions(spaces.Box(-2.0, 2.0, (1,)), 0.1)
        np.testing.assert_allclose(how.decode(np.array([[[1.0]], [[20.0]]], np.float32)), [[[0.2]], [[2.0]]], rtol=1e-6)

    def test_without_bounds_actions_pass(self):
        inf, largest = np.inf, np.finfo(np.float32).max
        how = actions(spaces.Box(np.float32([-inf, -largest]), np.float32([inf, largest])), 1.0)
        assert how.decode(np.array([[[9.0, -9.0]]], np.float32)).tolist() == [[[9.0, -9.0]]]

    def test_one_bound_bends_actions_away_by_hand(self):
        inf = np.inf
        low, high = np.float32([0.0, -1.0, 3.0, -inf, -inf]), np.float32([inf, inf, inf, 0.0, -3.0])
        how = actions(spaces.Box(low, high), 2.0)
        assert how.spec.bound == inf
        # log(1 + 1), log(1/e + 1), 3 + 3 log 2, and the first and the third mirrored
        expected = [
            np.log(2.0),
            np.log(1.0 + np.exp(-1.0)),
            3.0 + 3.0 * np.log(2.0),
            -np.log(2.0),
            -3.0 - 3.0 * np.log(2.0),
        ]
        np.testing.assert_allclose(how.decode(np.zeros((1, 1, 5), np.float32))[0, 0], expected, rtol=1e-6)
        far = how.decode(np.full((1, 1, 5), 50.0, np.float32))[0, 0]  # c a = 100: far from a bound nothing is bent
        np.testing.assert_allclose(far, [100.0, 100.0, 303.0, 0.0, -3.0], atol=1e-6)

    @pytest.mark.parametrize("name", FORMS)
    def test_different_outputs_lead_to_different_actions_where_the_space_has_room(self, name):
        low, high, dtype, room = FORMS[name]
        space = spaces.Box(low, high, (3,), dtype)
        how = actions(space, 1.0)
        outputs = np.linspace(-1.0, 1.0, 101, dtype=np.float32)  # where finite bounds are spanned, and noise begins
        decoded = how.decode(np.stack([outputs] * 3, -1)[None])[0]
        assert all(space.contains(action) for action in decoded)
        assert len(np.unique(decoded[:, 0])) == min(room, 101)
        steps = np.diff(decoded[:, 0].astype(np.float64))
        assert (steps >= 0.0).all()
        if room < 101:  # each value is met about as often as any other
            _, counts = np.unique(decoded[:, 0], return_counts=True)
            assert counts[1:-1].min(initial=101) >= 101 // room - 2
        elif np.isfinite(how.spec.bound):  # and what finite bounds allow is spanned
            assert float(decoded[0, 0]) == pytest.approx(
                float(space.low[0]), abs=1e-6 * float(np.ptp(decoded[:, 0].astype(np.float64)))
            )

    def test_entries_of_different_forms_stand_side_by_side(self):
        inf = np.inf
        space = spaces.Box(np.float32([-1.0, 0.0, 2.0, -inf]), np.float32([3.0, inf, 2.0, inf]))
        decoded = actions(space, 1.0).decode(np.float32([[[0.5, -1.0, 0.7, 4.0]]]))[0, 0]
        np.testing.assert_allclose(decoded, [2.0, np.log1p(np.exp(-1.0)), 2.0, 4.0], rtol=1e-6)

    @pytest.mark.parametrize("bounds", [(np.inf, np.inf), (-np.inf, -np.inf)])
    def test_a_bound_that_no_number_reaches_is_refused(self, bounds):
        with pytest.raises(InputError, match="bound that no number reaches"):
            actions(spaces.Box(*bounds, (2,)), 1.0)

    def test_what_overflows_the_spaces_numbers_is_their_largest(self):
        how = actions(spaces.Box(-np.inf, np.inf, (1,), np.float16), 1.0)
        assert float(how.decode(np.full((1, 1, 1), 1e6, np.float32))[0, 0, 0]) == 65504.0

    def test_shape_and_kind_are_the_spaces(self):
        matrix, whole = spaces.Box(-1.0, 1.0, (2, 3), np.float64), spaces.Box(-3, 3, (1,), np.int32)
        decoded = actions(matrix, 1.0).decode(np.zeros((2, 4, 6), np.float32))
        assert decoded.shape == (2, 4, 2, 3) and decoded.dtype == np.float64
        assert actions(whole, 1.0).decode(np.array([[[0.4]]], np.float32)).tolist() == [[[1]]]  # 1.2, rounded
        assert whole.contains(actions(whole, 1.0).decode(np.array([[[0.4]]], np.float32))[0, 0])

    def test_every_action_lies_in_the_space(self):
        rng = np.random.default_rng(0)
        box = spaces.Box(np.float32(-0.3) * np.ones(3, np.float32), np.float32(0.7) * np.ones(3, np.float32))
        decoded = actions(box, 1.0).decode(rng.normal(size=(50, 4, 3)).astype(np.float32))
        assert all(box.contains(action) for action in decoded.reshape(-1, 3))


class TestListedActions:
    @pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int32, np.uint8])
    def test_the_largest_action_of_an_integer_box_does_not_wrap_around(self, dtype):
        space = spaces.Box(0, np.iinfo(dtype).max, (1,), dtype)
        action = actions(space, 1.0).decode(np.ones((1, 1), np.float32))[0]
        assert space.contains(action) and float(action[0]) == pytest.approx(float(np.iinfo(dtype).max), rel=1e-15)

    def test_a_discrete_space_begins_where_it_says(self):
        how = actions(spaces.Discrete(3, start=5), 1.0)
        assert how.spec == ActionSpec("discrete", 3) and how.decode(np.array([[0, 2]])).tolist() == [[5, 7]]


PRODUCTS = {
    "multi-discrete": (spaces.MultiDiscrete([3, 2, 4]), (3, 2, 4)),
    "table": (spaces.MultiDiscrete([[3, 2], [2, 2]]), (3, 2, 2, 2)),
    "starts": (spaces.MultiDiscrete([3, 2], start=[10, -1]), (3, 2)),
    "bits": (spaces.MultiBinary(4), (2, 2, 2, 2)),
    "grid of bits": (spaces.MultiBinary([2, 2]), (2, 2, 2, 2)),
}


class TestJointActions:
    @pytest.mark.parametrize("name", PRODUCTS)
    def test_a_product_has_a_choice_for_each_entry_and_reaches_each_combination_once(self, name):
        space, counts = PRODUCTS[name]
        how = actions(space, 1.0)
        assert how.spec == ActionSpec("joint", sum(counts), math.inf, counts)
        rows = np.array([*itertools.product(*map(range, counts))], np.float32)
        decoded = how.decode(rows[None])[0]
        assert decoded.dtype == space.dtype and len({action.tobytes() for action in decoded}) == len(rows)
        assert all(space.contains(action) for action in decoded)

    def test_there_is_no_wall_at_many_combinations(self):
        how = actions(spaces.MultiBinary(400), 1.0)  # 2⁴⁰⁰ combinations
        assert (how.spec.size, how.spec.shape) == (800, (400,))
        assert how.decode(np.ones((2, 400), np.float32)).tolist() == [[1] * 400] * 2

    def test_parts_of_a_dictionary_take_their_own_columns(self):
        space = spaces.Dict(
            arm=spaces.Tuple((spaces.Box(-2.0, 2.0, (2,)), spaces.Discrete(3, start=5))),
            grip=spaces.MultiBinary(2),
            turn=spaces.Box(0, 10, (1,), np.int32),
        )
        how = actions(space, 1.0)
        assert (how.spec.counts, how.spec.num_numbers, how.spec.size) == ((3, 2, 2), 3, 10)
        decoded = how.decode(np.float32([[[2, 0, 1, 0.5, -1, 1]]]))  # three choices, then three numbers
        assert [row.tolist() for row in decoded["arm"]] == [[[[1.0, -2.0]]], [[7]]]
        assert decoded["grip"].tolist() == [[[0, 1]]] and decoded["turn"].tolist() == [[[10]]]
        (one,) = one_by_one(mapped(lambda x: x[0], decoded))
        assert space.contains(one)

    def test_boxes_alone_are_continuous(self):
        how = actions(spaces.Tuple((spaces.Box(-1.0, 1.0, (2,)), spaces.Box(0.0, 4.0, (1,)))), 0.5)
        assert how.spec == ActionSpec("continuous", 3, 2.0)
        assert [part.tolist() for part in how.decode(np.float32([[1, 2, -4]]))] == [[[0.5, 1.0]], [[0.0]]]

    @pytest.mark.parametrize(
        ("space", "path"),
        [
            (spaces.Dict(a=spaces.Tuple((spaces.Discrete(2), spaces.Text(3)))), r"space\['a'\]\[1\] Text"),
            (spaces.Sequence(spaces.Discrete(2)), "space Sequence"),
            (spaces.Tuple((spaces.Graph(spaces.Discrete(2), None),)), r"space\[0\] Graph"),
        ],
    )
    def test_other_spaces_are_refused_by_their_path(self, space, path):
        with pytest.raises(InputError, match=f"action {path}.* is not supported: wrap the .*TransformAction"):
            actions(space, 1.0)

    @pytest.mark.parametrize("space", [spaces.Dict(), spaces.Tuple((spaces.Discrete(2), spaces.Tuple(())))])
    def test_an_empty_part_is_refused(self, space):
        with pytest.raises(InputError, match="is empty; leave it out"):
            actions(space, 1.0)


def test_an_interface_of_before_does_not_pass_for_a_product():
    interface = Interface(spaces.Box(-1.0, 1.0, (2,)), spaces.MultiDiscrete([2, 2]), 1.0, 5)
    facts = interface.facts()
    assert Interface.from_facts(facts, "here") == interface
    del facts["product"]
    with pytest.raises(InputError, match=r"here: an earlier version saved it, .*one choice among all.*train it anew"):
        Interface.from_facts(facts, "here")
