import numpy as np
import pytest

from drml.core.errors import InputError
from drml.report.still import take_still
from drml.suites.registry import suite

pytest.importorskip("mujoco")
pytest.importorskip("PIL")


@pytest.mark.parametrize("name", ["ant-dir-promp-v1", "hopper-params-promp-v1", "reacher-goal-v1"])
def test_a_robot_is_in_the_middle_of_its_still(name):
    picture = take_still(suite(name))
    assert picture.shape == (240, 320, 3)
    assert picture.dtype == np.uint8
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    body = (red > 1.35 * green) & (green > 1.3 * blue)  # the torso's orange, whatever the light
    rows, columns = np.nonzero(body)
    assert 30 < rows.mean() < 210
    assert 110 < columns.mean() < 210


def test_a_suite_without_pictures_says_so():
    with pytest.raises(InputError, match="no pictures"):
        take_still(suite("bandit-bernoulli-k5-n10-v1"))
