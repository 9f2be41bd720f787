import math

import numpy as np
import pytest

from drml.core.errors import InputError
from drml.tasks.parameter import Choice, Dirichlet, Disc, LogUniform, Normal, Uniform


def column(*units):
    return np.array(units)[:, None]


def test_uniform_quantiles_are_linear():
    np.testing.assert_array_equal(Uniform(-1.0, 3.0).quantile(column(0.0, 0.25, 0.5)), [-1.0, 0.0, 1.0])


def test_log_uniform_quantiles_are_geometric():
    # 1 · 100^u at u = 0, 1/2, 1/4; exp and log each lose at most a few units of 2.2e-16
    expected = [1.0, 10.0, math.sqrt(10.0)]
    np.testing.assert_allclose(LogUniform(1.0, 100.0).quantile(column(0.0, 0.5, 0.25)), expected, rtol=4e-15)


def test_normal_quantiles_are_those_of_the_tables():
    # Φ(1) = (1 + erf(1/√2)) / 2; the slope of Φ⁻¹ there is 1/φ(1) ≈ 4, so rounding of u costs about 4 · 1e-16
    at_one_std = (1.0 + math.erf(1.0 / math.sqrt(2.0))) / 2.0
    values = Normal(3.0, 2.0).quantile(column(0.5, at_one_std, 1.0 - at_one_std))
    np.testing.assert_allclose(values, [3.0, 5.0, 1.0], atol=1e-14)


def test_normal_quantiles_are_finite_at_both_ends():
    values = Normal(0.0, 1.0).quantile(column(0.0, 2.0**-53, 1.0 - 2.0**-53))
    assert np.isfinite(values).all()
    assert values[0] < values[1] < -8.0  # Φ(−8.2) ≈ 1.1e-16 ≈ 2^-53
    assert values[2] == -values[1]


def test_the_upper_end_is_never_reached():
    last = column(np.nextafter(1.0, 0.0))
    assert Uniform(2.0, 3.0).quantile(last) < 3.0  # 2 + (1 − 2^-53) rounds to 3
    assert LogUniform(2.0, 3.0).quantile(last) < 3.0


def test_disc_is_polar():
    # r = 2 √0.25 = 1 at 90°; r = 2 √0.0625 = 0.5 at 180°; rounding of π leaves 1e-16
    points = Disc(2.0).quantile(np.array([[0.25, 0.25], [0.0625, 0.5], [0.0, 0.3]]))
    np.testing.assert_allclose(points, [[0.0, 1.0], [-0.5, 0.0], [0.0, 0.0]], atol=2e-16)


def test_disc_is_uniform_and_its_ring_lies_outside():
    units = (np.indices((48, 48)).reshape(2, -1).T + 0.5) / 48
    disc = Disc(3.0, ood=(3.0, 4.0))
    x, y = disc.quantile(units).T
    assert ((x**2 + y**2) < 2.25).mean() == 0.25  # half the radius, a quarter of the area: 12 of 48 rings
    ring = disc.out_of_distribution()
    radius = np.hypot(*ring.quantile(units).T)
    assert 3.0 < radius.min() < 3.02
    assert 3.98 < radius.max() < 4.0
    assert (radius**2 < 12.5).mean() == 0.5  # half of the area between 9 and 16
    assert (disc.describe(), ring.describe()) == ("Disc(3)", "Ring(3, 4)")
    assert (disc.shape, disc.size, disc.num_values) == ((2,), 2, None)
    assert ring.out_of_distribution() is None


@pytest.mark.parametrize(
    ("radius", "ood"), [(0.0, None), (-1.0, None), (math.inf, None), (2.0, (1.0, 3.0)), (2.0, (3.0, 3.0))]
)
def test_a_bad_disc_is_refused(radius, ood):
    with pytest.raises(InputError, match="Disc"):
        Disc(radius, ood=ood)


def test_dirichlet_of_two_entries_is_uniform():
    np.testing.assert_allclose(Dirichlet().quantile(column(0.0, 0.3)), [[0.0, 1.0], [0.3, 0.7]], rtol=1e-15)


def test_dirichlet_of_three_entries_by_hand():
    # v₁ = 1 − (1 − 0.75)^(1/2) = 0.5 of the stick, v₂ = 1 − (1 − 0.4) = 0.4 of the remaining 0.5
    values = Dirichlet(shape=(3,)).quantile(np.array([[0.75, 0.4]]))
    np.testing.assert_allclose(values, [[0.5, 0.2, 0.3]], rtol=4e-16)


def test_every_entry_of_a_dirichlet_has_the_same_marginal():
    # P(pᵢ > x) = (1 − x)² for three entries. On an m × m grid of midpoints the share of points in a region whose
    # edge is monotone in both coordinates is wrong by at most the 2m cells that the edge can cross: 2/m.
    m = 200
    middle = (np.arange(m) + 0.5) / m
    units = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    values = Dirichlet(shape=(3,)).quantile(units)
    for x in (0.1, 0.3, 0.6):
        np.testing.assert_allclose((values > x).mean(axis=0), (1.0 - x) ** 2, atol=2 / m)


def test_dirichlet_coordinates_can_be_read_back():
    # One-to-one: uᵢ = 1 − (1 − pᵢ/restᵢ)^(n − i). Each step multiplies relative errors of 1e-16 by at most n / rest.
    units = np.random.default_rng(0).uniform(0.05, 0.95, (100, 4))
    values = Dirichlet(shape=(5,)).quantile(units)
    rest = 1.0 - np.cumsum(values, axis=1) + values
    read = 1.0 - (1.0 - values[:, :4] / rest[:, :4]) ** np.array([4, 3, 2, 1])
    np.testing.assert_allclose(read, units, atol=1e-11)


def test_choice_takes_equal_intervals():
    assert Choice((-1.0, 1.0)).quantile(column(0.0, 0.49, 0.5, 0.99)).tolist() == [-1.0, -1.0, 1.0, 1.0]


def test_choice_of_points():
    corners = Choice(((2.0, 2.0), (-2.0, 2.0), (0.0, 1.0)))
    assert corners.shape == (2,)
    assert corners.quantile(column(0.4)).tolist() == [[-2.0, 2.0]]


@pytest.mark.parametrize(
    ("parameter", "size"),
    [
        (Uniform(0.0, 1.0, (2, 3)), 6),
        (LogUniform(1.0, 2.0, (2, 3)), 6),
        (Normal(0.0, 1.0, (2, 3)), 6),
        (Dirichlet(shape=(2, 3)), 4),
        (Choice(((1.0, 2.0), (3.0, 4.0))), 1),
    ],
)
def test_sizes_and_shapes(parameter, size):
    assert parameter.size == size
    values = parameter.quantile(np.full((5, size), 0.5))
    assert values.shape == (5, *parameter.shape)
    assert values.dtype == np.float64


@pytest.mark.parametrize(
    ("parameter", "outside"),
    [
        (Uniform(0.0, 2.0, (3,), ood=(2.0, 3.0)), Uniform(2.0, 3.0, (3,))),
        (LogUniform(1.0, 2.0, ood=(0.5, 1.0)), LogUniform(0.5, 1.0)),
        (Choice((1.0, 2.0), ood=(3.0,)), Choice((3.0,))),
        (Uniform(0.0, 1.0), None),
        (LogUniform(1.0, 2.0), None),
        (Choice((1.0,)), None),
        (Normal(0.0, 1.0), None),
        (Dirichlet(), None),
    ],
)
def test_out_of_distribution_parameters(parameter, outside):
    assert parameter.out_of_distribution() == outside


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1.0, 1.0), "low < high"),
        (lambda: Uniform(2.0, 1.0), "low < high"),
        (lambda: Uniform(math.nan, 1.0), "low < high"),
        (lambda: Uniform(0.0, math.inf), "finite"),
        (lambda: Uniform(0.0, 2.0, ood=(1.5, 3.0)), "overlaps"),
        (lambda: Uniform(0.0, 2.0, ood=(-1.0, 5.0)), "overlaps"),
        (lambda: Uniform(0.0, 2.0, ood=(3.0, 3.0)), "low < high"),
        (lambda: Uniform(0.0, 2.0, shape=(0,)), "positive lengths"),
        (lambda: LogUniform(0.0, 1.0), "positive"),
        (lambda: LogUniform(1.0, 2.0, ood=(-1.0, 0.5)), "positive"),
        (lambda: LogUniform(1.0, 2.0, ood=(1.0, 3.0)), "overlaps"),
        (lambda: Normal(0.0, 0.0), "positive"),
        (lambda: Normal(math.nan, 1.0), "finite"),
        (lambda: Normal(0.0, math.nan), "finite"),
        (lambda: Dirichlet(2.0, (3,)), "not supported"),
        (lambda: Dirichlet(shape=(3, 1)), "at least 2"),
        (lambda: Dirichlet(shape=()), "at least 2"),
        (lambda: Choice(()), "at least one value"),
        (lambda: Choice((1.0,), ood=()), "at least one value"),
        (lambda: Choice((1.0, 1.0)), "different"),
        (lambda: Choice((1.0, 2.0), ood=(2.0,)), "different"),
        (lambda: Choice((1.0, math.nan)), "finite"),
        (lambda: Choice((1.0, (1.0, 2.0))), "length"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_descriptions():
    assert Uniform(0.0, 2.5).describe() == "Uniform(0, 2.5)"
    assert LogUniform(0.5, 2.0).describe() == "LogUniform(0.5, 2)"
    assert Normal(0.0, 1.0).describe() == "Normal(0, 1)"
    assert Dirichlet().describe() == "Dirichlet(1)"
    assert Choice((-1.0, 1.0)).describe() == "Choice(-1.0, 1.0)"
    assert Choice(tuple(map(float, range(9)))).describe() == "Choice(0.0, 1.0, 2.0, 3.0, ... 9 values)"
