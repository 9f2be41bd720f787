"""A torch module that decodes gives the numbers of the NumPy function, in every kind of action space."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from drml.export.decode import decoder, named_actions
from drml.spaces.actions import actions

INF = np.inf
SPACES = {
    "bounded": gym.spaces.Box(-2.0, 3.0, (3,)),
    "a matrix": gym.spaces.Box(np.float32([[0, -1], [1, 2]]), np.float32([[1, 1], [5, 2.5]])),
    "unbounded": gym.spaces.Box(-INF, INF, (3,)),
    "lower bounds": gym.spaces.Box(np.float32([-1, 0, 2]), INF, (3,), np.float32),
    "upper bounds": gym.spaces.Box(-INF, np.float32([-1, 0, 2]), (3,), np.float32),
    "mixed": gym.spaces.Box(np.float32([-INF, 0, -1, -INF]), np.float32([INF, INF, 1, 4]), (4,), np.float32),
    "float64": gym.spaces.Box(-1.0, 2.0, (2,), np.float64),
    "float16": gym.spaces.Box(-1.0, 2.0, (2,), np.float16),
    "whole": gym.spaces.Box(-3, 4, (2,), np.int32),
    "bytes": gym.spaces.Box(0, 255, (2,), np.uint8),
    "uint16": gym.spaces.Box(0, 60000, (2,), np.uint16),
    "all of int64": gym.spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
    "discrete": gym.spaces.Discrete(5, start=-2),
    "combinations": gym.spaces.MultiDiscrete([2, 3, 2]),
    "grid of switches": gym.spaces.MultiBinary([2, 2]),
    "switches with starts": gym.spaces.MultiDiscrete([[2, 3], [4, 2]], np.int32, start=[[1, -1], [0, 3]]),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_every_action_is_decoded_as_numpy_decodes_it(name: str, scale: float):
    acted = actions(SPACES[name], scale)
    rng = np.random.Generator(np.random.Philox(0))
    if acted.spec.kind == "discrete":
        given = np.arange(acted.spec.size)
    elif acted.spec.kind == "joint":
        given = np.stack([rng.integers(count, size=50) for count in acted.spec.counts], -1).astype("f4")
    else:
        given = np.concatenate([rng.normal(0.0, s, (50, acted.spec.size)) for s in (0.1, 1.0, 30.0, 1e4)]).astype("f4")
        given = np.concatenate([given, np.zeros((1, acted.spec.size), "f4")])
    with np.errstate(over="ignore"):
        expected = acted.decode(given[None])[0]
    found = decoder(acted)(torch.from_numpy(given)).numpy()
    assert found.shape == expected.shape
    assert found.dtype == (np.int64 if expected.dtype == np.uint16 else expected.dtype)
    # one rounding, in the type that is computed in; whole numbers, and what is only scaled and clipped, to the bit
    exact = not np.issubdtype(expected.dtype, np.floating) or name in ("bounded", "a matrix", "unbounded", "float64")
    tolerance = 0.0 if exact else 4.0 * float(np.finfo(expected.dtype).eps)
    np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=tolerance, atol=tolerance)


def test_parts_of_a_space_are_outputs_by_their_paths():
    space = gym.spaces.Dict(
        arm=gym.spaces.Tuple((gym.spaces.Discrete(3, start=5), gym.spaces.Box(0.0, INF, (2,)))),
        grip=gym.spaces.MultiBinary(2),
    )
    acted = actions(space, 1.0)
    given = np.float32([[2, 0, 1, 0.5, -1.0], [0, 1, 1, 3.0, 0.0]])
    found = named_actions(decoder(acted)(torch.from_numpy(given)))
    expected = acted.decode(given)
    assert list(found) == ["action['arm'][0]", "action['arm'][1]", "action['grip']"]
    for value, wanted in zip(found.values(), (*expected["arm"], expected["grip"]), strict=True):
        np.testing.assert_allclose(value.numpy(), wanted, rtol=1e-6)
        assert value.numpy().dtype == wanted.dtype
