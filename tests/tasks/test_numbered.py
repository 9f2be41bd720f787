"""Numbered parameters: each number once, as likely as any other, and split by what it stands for."""

import numpy as np
import pytest

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.tasks.distribution import TaskDistribution, check_leak
from drml.tasks.numbered import MAX_COUNT, Numbered
from drml.tasks.samplers.stratified import StratifiedSampler
from drml.tasks.samplers.uniform import UniformSampler


def squares(count: int) -> Numbered:
    return Numbered("squares", count, (2,), lambda number: np.stack([number, number**2], -1))


def test_each_number_is_made_once():
    units = (np.arange(7)[:, None] + 0.5) / 7
    assert squares(7).quantile(units).tolist() == [[i, i * i] for i in range(7)]
    assert squares(7).quantile(np.array([[0.0], [1.0 - 2.0**-53]])).tolist() == [[0, 0], [6, 36]]
    assert squares(1234567).describe() == "one of 1,234,567 squares"


@pytest.mark.parametrize("count", [0, MAX_COUNT + 1])
def test_counts_that_a_coordinate_cannot_tell_apart_are_refused(count: int):
    with pytest.raises(InputError, match=r"expected 1 to 2\^48"):
        squares(count)


@pytest.mark.parametrize("sampler", [StratifiedSampler(), UniformSampler()], ids=["stratified", "uniform"])
@pytest.mark.parametrize("count", [500, 10_000, 2**40])
def test_splits_share_nothing(sampler, count: int):
    family = TaskDistribution({"x": squares(count)})
    train, test = (sampler.sample({}, family, split, 200, Streams(3)) for split in ("train", "test"))
    check_leak(train, test)
    assert (train.params["x"][:, 0] < count).all() and (
        train.params["x"][:, 0] == train.params["x"][:, 0].round()
    ).all()


def test_many_are_dealt_without_repetition_and_without_a_deck():
    family = TaskDistribution({"x": squares(2**40)})
    numbers = StratifiedSampler().sample({}, family, "train", 1000, Streams(0)).params["x"][:, 0]
    assert len(numbers.unique()) == 1000
    # Uniform on [0, N): the mean of 1000 has standard deviation N/√12000.
    assert abs(numbers.mean().item() / 2**40 - 0.5) < 5 / 12_000**0.5
