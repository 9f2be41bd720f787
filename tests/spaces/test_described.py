import json

import numpy as np
import pytest
from gymnasium import spaces

from drml.core.errors import CheckpointError, InputError
from drml.core.observation import Part, width_of
from drml.core.types import ActionSpec, EnvSpec
from drml.spaces.described import describe, described
from drml.spaces.interface import Interface
from drml.suites.registry import SUITES

SPACES = {
    "box": spaces.Box(-2.0, 3.0, (4,), np.float64),
    "half open": spaces.Box(np.array([-np.inf, 0.1], np.float32), np.array([1.0, np.inf], np.float32)),
    "matrix": spaces.Box(np.arange(6.0, dtype=np.float32).reshape(2, 3), np.float32(7.5)),
    "scalar": spaces.Box(-1.0, 1.0, ()),
    "picture": spaces.Box(0, 255, (8, 8, 3), np.uint8),
    "largest": spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (1,), np.int64),
    "empty": spaces.Box(0.0, 1.0, (0,)),
    "discrete": spaces.Discrete(5, start=-2),
    "multi-discrete": spaces.MultiDiscrete([3, 2, 4], start=[10, -1, 0]),
    "table": spaces.MultiDiscrete([[3, 2], [2, 4]], dtype=np.int32),
    "bits": spaces.MultiBinary(4),
    "bit matrix": spaces.MultiBinary([2, 3]),
    "tuple": spaces.Tuple((spaces.Discrete(3), spaces.Box(0.0, 1.0, (2,)))),
    "numbered": spaces.Dict({7: spaces.Discrete(2), 1: spaces.Box(0.0, 1.0, (2,))}),
    "dict": spaces.Dict({"z": spaces.Box(0.0, 1.0, (2,)), "a": spaces.Dict({"b": spaces.Discrete(4)})}),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_space_survives_json(space):
    there = json.loads(json.dumps(describe(space), allow_nan=False))
    back = described(there, "x")
    assert back == space and back.dtype == space.dtype and type(back) is type(space)


def test_the_parts_of_a_dict_keep_their_order():
    space = spaces.Dict([("z", spaces.Discrete(2)), ("a", spaces.Discrete(3))])
    assert list(described(describe(space), "x").spaces) == list(space.spaces)


def test_a_subclass_is_what_it_is_a_kind_of():
    class Mine(spaces.Box):
        pass

    assert described(describe(Mine(0.0, 1.0, (2,))), "x") == spaces.Box(0.0, 1.0, (2,))


@pytest.mark.parametrize(
    "values",
    [
        None,
        7,
        [],
        {},
        {"type": "Blob"},
        {"type": "Box"},
        {"type": "Box", "low": 0, "high": 1, "shape": ["a"], "dtype": "float32"},
        {"type": "Box", "low": 0, "high": 1, "shape": [-1], "dtype": "float32"},
        {"type": "Box", "low": "nan", "high": 1, "shape": [1], "dtype": "float32"},
        {"type": "Box", "low": 0, "high": 1, "shape": [2], "dtype": "chair"},
        {"type": "Box", "low": [0, 1], "high": 1, "shape": [3], "dtype": "float32"},
        {"type": "Discrete", "n": 0, "start": 0, "dtype": "int64"},
        {"type": "Discrete", "n": 2.5, "start": 0, "dtype": "int64"},
        {"type": "MultiDiscrete", "nvec": [0], "start": [0], "dtype": "int64"},
        {"type": "MultiBinary", "n": [True]},
        {"type": "Tuple", "spaces": 3},
        {"type": "Dict", "spaces": [["a"]]},
    ],
    ids=str,
)
def test_what_describes_no_space_is_one_line(values):
    with pytest.raises(CheckpointError) as caught:
        described(values, "agent: space", CheckpointError)
    assert str(caught.value).startswith("agent: space describes no space: ") and "\n" not in str(caught.value)


def test_a_text_cannot_be_described():
    with pytest.raises(InputError, match="Text cannot be described"):
        describe(spaces.Text(5))


@pytest.mark.parametrize("name", [name for name in SUITES if "lander" not in name])
def test_the_interface_of_a_suite_has_its_shapes_and_survives_json(name):
    suite = SUITES[name]
    interface = suite.interface()
    back = Interface.from_facts(json.loads(json.dumps(interface.facts(), allow_nan=False)), "x")
    assert back == interface
    assert back.spec == suite.spec


@pytest.mark.parametrize("bound", [1.0, 0.4, 3.0, 0.1, np.inf])
def test_actions_of_an_engine_of_ours_are_handed_on_as_they_are_up_to_where_they_saturate(bound):
    interface = Interface.of_spec(EnvSpec(2, ActionSpec("continuous", 3, bound), 10))
    action = np.array([[[-5.0, 0.05, 0.3]]], np.float32)
    assert np.array_equal(interface.actions.decode(action), np.clip(action, np.float32(-bound), np.float32(bound)))


@pytest.mark.parametrize(
    "parts",
    [
        (Part("symbols", (5, 5, 2), 0, 12),),
        (Part("picture", (8, 8, 3)),),
        (Part("picture", (8, 8)), Part("numbers", (3,)), Part("bits", (4,))),
        (Part("bits", (6, 6, 4)),),
        (),
    ],
)
def test_the_interface_of_an_engine_has_the_parts_that_it_declares(parts):
    spec = EnvSpec(width_of(parts) or 4, ActionSpec("discrete", 3), 10, parts)
    interface = Interface.of_spec(spec)
    assert interface.spec == spec
    assert Interface.from_facts(interface.facts(), "here").spec == spec
