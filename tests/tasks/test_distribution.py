import math

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.tasks.distribution import FINE_CELLS, TaskDistribution, check_leak, content_hashes
from drml.tasks.parameter import Choice, Dirichlet, Normal, Uniform
from drml.tasks.samplers.uniform import UniformSampler

SPEED = TaskDistribution({"speed": Uniform(0.0, 2.0, ood=(2.0, 3.0))})
GOAL = TaskDistribution({"goal": Uniform(0.0, 1.0, (2,), ood=(1.0, 2.0))})
DIRECTION = TaskDistribution({"direction": Choice((-1.0, 1.0))}, held_out=False)


def draw(distribution, split, num_tasks):
    return UniformSampler().sample({}, distribution, split, num_tasks, Streams(7)["draw", split])


def test_ten_thousand_tasks_of_each_split_have_none_in_common():
    drawn = {split: draw(GOAL, split, 10_000) for split in ("train", "validation", "test", "ood")}
    hashes = [set(content_hashes(tasks)) for tasks in drawn.values()]
    assert [len(split) for split in hashes] == [10_000] * 4  # 106 random bits each: no two draws are equal
    assert len(set.union(*hashes)) == 40_000
    for split in ("train", "validation", "test"):
        units = drawn[split].params["goal"].numpy()  # goal = 0 + u · 1
        assert set(GOAL.split_of(units)) == {split}
    assert drawn["ood"].params["goal"].min() >= 1.0


def test_the_splits_never_change():
    # Pinned: another value here means that tasks move between train and test, and old results no longer hold.
    splits = SPEED.split_of((np.arange(64)[:, None] + 0.5) / 4096)
    assert np.flatnonzero(splits == "test").tolist() == [8, 12, 50]
    assert np.flatnonzero(splits == "validation").tolist() == [0, 20, 28, 32, 35, 42, 53]
    goals = np.array([[0.1, 0.2], [0.5, 0.6], [0.2, 0.2]])
    assert GOAL.split_of(goals).tolist() == ["train", "validation", "test"]


def test_a_cell_belongs_to_one_split_as_a_whole():
    cells = np.arange(4096)
    edges = [(cells + inside)[:, None] / 4096 for inside in (0.0, 0.5, 1.0 - 2.0**-20)]
    low, middle, high = (SPEED.split_of(units) for units in edges)
    assert (low == middle).all()
    assert (low == high).all()


@pytest.mark.parametrize(("size", "bins"), [(1, 4096), (2, 64), (3, 16), (4, 8), (5, 6), (6, 4), (12, 2), (500, 2)])
def test_there_are_at_least_4096_cells(size, bins):
    # 6^5 = 7776 > 4096 > 5^5 = 3125; 2^12 = 4096
    assert set(TaskDistribution({"x": Normal(0.0, 1.0, (size,))}).bins) == {bins}


def test_discrete_values_are_cells_of_their_own():
    mixed = TaskDistribution({"a": Choice((1.0, 2.0, 3.0)), "b": Uniform(0.0, 1.0, (2,))})
    assert mixed.bins.tolist() == [3, 64, 64]


def test_splits_hold_eight_one_and_one_in_ten():
    # Binomial with 4096 cells: one standard deviation is sqrt(4096 · 0.1 · 0.9) = 19.2; four of them are 77 (0.8: 102)
    names, counts = np.unique(SPEED.split_of((np.arange(4096)[:, None] + 0.5) / 4096), return_counts=True)
    assert names.tolist() == ["test", "train", "validation"]
    np.testing.assert_allclose(counts[[0, 2]], 409.6, atol=77)
    np.testing.assert_allclose(counts[1], 3276.8, atol=102)


def test_training_tasks_have_the_marginal_of_the_training_cells():
    # Exact distribution function at the cells' edges; Dvoretzky-Kiefer-Wolfowitz: the largest deviation of n = 10^4
    # draws exceeds 0.03 with probability at most 2 exp(−2 n 0.03²) = 3e-8.
    training = SPEED.split_of((np.arange(4096)[:, None] + 0.5) / 4096) == "train"
    exact = np.cumsum(training) / training.sum()
    units = draw(SPEED, "train", 10_000).params["speed"].numpy() / 2.0
    drawn = np.searchsorted(np.sort(units), np.arange(1, 4097) / 4096) / len(units)
    assert np.abs(drawn - exact).max() < 0.03
    # Leaving out 1 in 5 cells at random shifts the mean of u by sqrt(0.2/0.8 / (12 · 4096)) = 0.0023 (one std).
    centre = ((np.arange(4096) + 0.5) / 4096)[training].mean()
    np.testing.assert_allclose(centre, 0.5, atol=4 * 0.0023)


def test_tasks_have_named_float64_parameters_in_order_of_name():
    distribution = TaskDistribution({"b": Uniform(0.0, 1.0, (2,)), "a": Uniform(4.0, 6.0), "c": Dirichlet(shape=(3,))})
    assert distribution.size == 5
    units = np.full((1, 5), 0.25)
    tasks = distribution.tasks(units, distribution.split_of(units)[0], torch.tensor([9]))
    assert list(tasks.params) == ["a", "b", "c"]
    assert [value.dtype for value in tasks.params.values()] == [torch.float64] * 3
    assert tasks.params["a"].tolist() == [4.5]
    assert tasks.params["b"].tolist() == [[0.25, 0.25]]
    assert tasks.params["c"].shape == (1, 3)
    assert tasks.ids.tolist() == [9]


def test_the_order_in_which_names_are_written_does_not_move_tasks():
    b, a = Uniform(0.0, 1.0, (2,)), Choice((1.0, 2.0, 3.0))
    one, other = TaskDistribution({"b": b, "a": a}), TaskDistribution({"a": a, "b": b})
    units = np.random.default_rng(0).random((100, 3))
    assert (one.split_of(units) == other.split_of(units)).all()
    units = units[one.belongs(units, "train")]
    ids = torch.arange(len(units))
    assert content_hashes(one.tasks(units, "train", ids)) == content_hashes(other.tasks(units, "train", ids))


def test_out_of_distribution_tasks_shift_what_declares_it_and_keep_the_rest():
    distribution = TaskDistribution({"far": Uniform(0.0, 1.0, ood=(2.0, 3.0)), "near": Uniform(0.0, 1.0)})
    tasks = distribution.tasks(np.array([[0.5, 0.5]]), "ood", torch.arange(1))
    assert tasks.params["far"].item() == 2.5
    assert tasks.params["near"].item() == 0.5


def test_a_family_without_held_out_tasks_shares_them_and_says_so():
    assert DIRECTION.describe().splitlines() == [
        "direction  []  Choice(-1.0, 1.0)",
        "no held-out tasks: the 2 tasks are shared by train, validation and test",
    ]
    train, test = draw(DIRECTION, "train", 20), draw(DIRECTION, "test", 20)
    # 20 draws lack a direction with probability 2^-19; the seed is fixed.
    assert set(content_hashes(train)) == set(content_hashes(test))
    with pytest.raises(InputError, match=r"task 0 of the first batch .*\(direction="):
        check_leak(train, test)


def test_a_discrete_family_is_split_by_value():
    goals = TaskDistribution({"goal": Choice(tuple(map(float, range(100))))})
    parts = {split: goals.listed_units(split) for split in ("train", "validation", "test")}
    assert sum(len(units) for units in parts.values()) == 100
    assert min(len(units) for units in parts.values()) > 0
    for split, units in parts.items():
        assert set(goals.split_of(units)) == {split}


def test_all_tasks_lists_each_combination_once():
    family = TaskDistribution({"a": Choice((1.0, 2.0)), "b": Choice((5.0, 6.0, 7.0))}, held_out=False)
    tasks = family.all_tasks()
    pairs = list(zip(tasks.params["a"].tolist(), tasks.params["b"].tolist(), strict=True))
    assert pairs == [(1.0, 5.0), (1.0, 6.0), (1.0, 7.0), (2.0, 5.0), (2.0, 6.0), (2.0, 7.0)]
    assert tasks.ids.tolist() == list(range(6))


def test_describe_has_a_row_per_parameter():
    described = TaskDistribution({"goal": Uniform(0.0, 1.0, (2,)), "a": Choice((1.0, 2.0), ood=(3.0,))}).describe()
    assert described.splitlines() == [
        "a     []  Choice(1.0, 2.0)  ood Choice(3.0)",
        "goal  [2]  Uniform(0, 1)",
        "held out: about 1 in 10 of 8.19e+03 cells for validation, 1 in 10 for test",
    ]


def batch(**params):
    tensors = {name: torch.tensor(value) for name, value in params.items()}
    return Tasks(tensors, torch.arange(len(next(iter(tensors.values())))))


def test_hashes_tell_contents_apart_and_nothing_else():
    one = batch(a=[1.0, 2.0], b=[[0.0, 0.5], [1.0, 1.0]])
    same = Tasks({"b": one.params["b"].double(), "a": one.params["a"]}, torch.tensor([5, 6]))
    assert content_hashes(one) == content_hashes(same)
    assert content_hashes(one.select(torch.tensor([1]))) == content_hashes(one)[1:]
    assert content_hashes(batch(a=[0.0])) == content_hashes(batch(a=[-0.0]))
    different = [batch(a=[1.0]), batch(b=[1.0]), batch(a=[[1.0]]), batch(a=[1.0 + 2.0**-20]), batch(a=[1.0], b=[1.0])]
    assert len({content_hashes(tasks)[0] for tasks in different}) == len(different)


def test_check_leak_names_the_first_shared_task():
    check_leak(batch(a=[1.0, 2.0]), batch(a=[3.0, 4.0]))
    with pytest.raises(InputError, match=r"task 1 of the first batch is task 2 of the second \(a=2\.0\)"):
        check_leak(batch(a=[1.0, 2.0, 3.0]), batch(a=[4.0, 3.0, 2.0, 2.0]))


ONE_ID = torch.arange(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TaskDistribution({}), "at least one parameter"),
        (lambda: TaskDistribution({"d": Choice((-1.0, 1.0))}), "2 tasks are too few .*held_out=False"),
        (lambda: TaskDistribution({"x": Uniform(0.0, 1.0)}, held_out=False), "continuous"),
        (lambda: SPEED.tasks(np.array([[0.5]]), "tests", ONE_ID), "unknown split 'tests'. Did you mean 'test'"),
        (lambda: DIRECTION.tasks(np.array([[0.5]]), "ood", ONE_ID), "none of the parameters direction declares"),
        (lambda: SPEED.tasks(np.array([[1.0]]), "ood", ONE_ID), r"\[0, 1\)"),
        (lambda: SPEED.tasks(np.array([[math.nan]]), "ood", ONE_ID), r"\[0, 1\)"),
        (lambda: SPEED.tasks(np.array([0.5]), "ood", ONE_ID), r"shape \[1\], expected \[n, 1\]"),
        (lambda: SPEED.tasks(np.array([[0.5]]), "ood", torch.arange(2)), "one per task"),
        (lambda: SPEED.tasks(np.array([[0.5 / 4096]]), "train", ONE_ID), "does not belong to split 'train'"),
        (SPEED.all_tasks, "continuous"),
        (lambda: SPEED.listed_units("train"), "continuous"),
        (lambda: DIRECTION.split_of(np.array([[0.5]])), "no held-out tasks"),
    ],
)
def test_bad_requests_are_refused_in_one_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_families_too_large_to_list_are_not_listed():
    many = TaskDistribution({name: Choice(tuple(map(float, range(100)))) for name in "abc"})
    with pytest.raises(InputError, match="1000000 tasks"):
        many.all_tasks()


@pytest.mark.parametrize(
    ("number", "degree", "root"),
    [(4096, 1, 4096), (4096, 2, 64), (4097, 2, 65), (2**40, 1, 2**40), (5, 50, 2)],
)
def test_the_bins_are_the_smallest_that_make_enough_cells(number, degree, root):
    distribution = TaskDistribution({"x": Uniform(0.0, 1.0, (degree,))}, min_cells=number)
    assert distribution.bins.tolist() == [root] * degree


def test_with_many_cells_every_split_is_the_whole_family_in_small():
    """The mean of the greater of two uniform coordinates is 2/3; with 400 cells in a split it would be off by 0.01."""
    fine = TaskDistribution({"x": Uniform(0.0, 1.0, (2,))}, min_cells=FINE_CELLS)
    for split in ("train", "validation", "test"):
        tasks = UniformSampler().sample({}, fine, split, 20_000, Streams(0)[split])
        assert set(fine.split_of(tasks.params["x"].numpy())) == {split}
        # the greater of two has standard deviation 0.236: five standard errors
        assert abs(float(tasks.params["x"].amax(1).mean()) - 2 / 3) < 5 * 0.236 / 20_000**0.5
