"""What users write where they declare a parameter: arrays, lists, a number in place of a shape; the rest is refused."""

import numpy as np
import pytest

from drml.core.errors import InputError
from drml.tasks.parameter import Choice, Dirichlet, Disc, LogUniform, Normal, Uniform


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (Choice(np.linspace(0.0, 1.0, 3)), Choice((0.0, 0.5, 1.0))),
        (Choice(np.arange(3)), Choice((0, 1, 2))),
        (Choice(tuple(np.arange(3))), Choice((0, 1, 2))),
        (Choice(range(3), ood=[3, 4]), Choice((0, 1, 2), ood=(3, 4))),
        (Choice([[0.0, 1.0], [2.0, 3.0]]), Choice(((0.0, 1.0), (2.0, 3.0)))),
        (Choice(np.eye(2)), Choice(((1.0, 0.0), (0.0, 1.0)))),
        (Uniform(0.0, 1.0, shape=2), Uniform(0.0, 1.0, shape=(2,))),
        (Uniform(0.0, 1.0, ood=np.array([2.0, 3.0])), Uniform(0.0, 1.0, ood=(2.0, 3.0))),
        (LogUniform(1.0, 2.0, shape=[2, 3]), LogUniform(1.0, 2.0, shape=(2, 3))),
        (Normal(0, np.float32(1.0), shape=np.int64(2)), Normal(0.0, 1.0, shape=(2,))),
        (Dirichlet(shape=3), Dirichlet(shape=(3,))),
    ],
)
def test_what_is_meant_is_taken(given, meant):
    assert given == meant and repr(given).replace(" ", "").count("array") == 0
    middle = np.full((1, meant.size), 0.5)
    np.testing.assert_array_equal(given.quantile(middle), meant.quantile(middle))


def test_whole_numbers_stay_whole():
    assert all(type(value) is int for value in Choice(np.arange(3)).values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice(("left", "right")), r"Choice: 'left' is no number; names can be numbered, Choice\(\(0, 1\)\)"),
        (lambda: Choice("left"), "Choice: 'left' is no number"),
        (lambda: Choice((None, 1.0)), "Choice: None is no number"),
        (lambda: Choice({1.0, 2.0}), r"Choice: \{1.0, 2.0\} is no number"),
        (lambda: Choice(3), "Choice: 3 is one value, expected several"),
        (lambda: Choice(np.array([])), "at least one value"),
        (lambda: Choice((1.0, 2.0), ood=3.0), "Choice: 3.0 is one value"),
        (lambda: Choice((((1.0, 2.0), (3.0,)), 4.0)), "length"),
        (lambda: Uniform("0", 1.0), "Uniform: '0' is no number"),
        (lambda: Uniform((0.0, 1.0), 2.0), r"Uniform: \(0.0, 1.0\) is no number"),
        (lambda: Uniform(0.0, 1.0, ood=(2.0,)), r"Uniform: ood is \(2.0,\), expected a range \(low, high\)"),
        (lambda: Uniform(0.0, 1.0, ood=2.0), "Uniform: ood is 2.0, expected a range"),
        (lambda: Uniform(0.0, 1.0, ood=()), r"Uniform: ood is \(\), expected a range"),
        (lambda: LogUniform(1.0, 2.0, ood=((3.0, 4.0), 5.0)), r"LogUniform: \(3.0, 4.0\) is no number"),
        (lambda: Uniform(0.0, 1.0, shape=(2.5,)), r"Uniform: shape \(2.5,\) must hold positive lengths"),
        (lambda: Uniform(0.0, 1.0, shape="2"), "Uniform: '2' is no number"),
        (lambda: Normal("0", 1.0), "Normal: '0' is no number"),
        (lambda: Dirichlet("1"), "Dirichlet: concentration 1 is not supported"),
        (lambda: Disc(None), "Disc: None is no number"),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
