import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Dirichlet, Normal, Uniform
from drml.tasks.samplers.stratified import StratifiedSampler
from drml.tasks.samplers.uniform import UniformSampler

DIRECTION = TaskDistribution({"direction": Choice((-1.0, 1.0))}, held_out=False)
LINE = TaskDistribution({"x": Uniform(0.0, 1.0, ood=(1.0, 2.0))})
WIDE = TaskDistribution({"x": Uniform(0.0, 1.0, (30,), ood=(1.0, 2.0))})
MIXED = TaskDistribution(
    {"goal": Choice(((1.0, 1.0), (-1.0, 1.0), (0.0, 2.0)), ood=((5.0, 5.0),)), "mass": Normal(1.0, 0.1, (2,))}
)
MANY_GOALS = TaskDistribution({"goal": Choice(tuple(map(float, range(100))))})
HUGE = TaskDistribution({name: Choice(tuple(map(float, range(100)))) for name in "abc"})
MDP = TaskDistribution({"transition": Dirichlet(shape=(4, 2, 4)), "reward": Normal(1.0, 1.0, (4, 2))})
FAMILIES = [DIRECTION, LINE, WIDE, MIXED, MANY_GOALS, HUGE, MDP]
SAMPLERS = [UniformSampler(), StratifiedSampler()]


def draw(sampler, distribution, split, num_tasks, *path):
    return sampler.sample({}, distribution, split, num_tasks, Streams(3)["tasks", *path])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("distribution", FAMILIES)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_same_stream_gives_the_same_tasks_of_the_split(sampler, distribution, split):
    # TaskDistribution.tasks refuses points of another split, so drawing at all proves membership.
    first, again = (draw(sampler, distribution, split, 7, 0) for _ in range(2))
    assert first.ids.tolist() == list(range(7))
    assert all(torch.equal(first.params[name], again.params[name]) for name in distribution.params)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_other_streams_give_other_tasks(sampler):
    assert not torch.equal(
        draw(sampler, LINE, "train", 7, 0).params["x"], draw(sampler, LINE, "train", 7, 1).params["x"]
    )


def test_a_uniform_task_does_not_depend_on_those_beside_it():
    few, many = (draw(UniformSampler(), MDP, "test", num_tasks, 0) for num_tasks in (3, 11))
    assert all(torch.equal(few.params[name], many.params[name][:3]) for name in MDP.params)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("distribution", [LINE, WIDE, MIXED])
def test_no_global_generator_is_touched(sampler, distribution):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the one to guard
    draw(sampler, distribution, "train", 9, 0)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002 - the one to guard


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("num_tasks", [2, 40])
def test_two_directions_are_exactly_balanced_in_random_order(split, num_tasks):
    orders = [draw(StratifiedSampler(), DIRECTION, split, num_tasks, i).params["direction"] for i in range(20)]
    assert all(order.sum() == 0.0 for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) > 1  # 20 equal orders of 2: probability 2^-19


def test_odd_counts_differ_by_at_most_one_and_favour_no_value():
    # The extra task is either direction with probability 1/2: of 200 draws 100 ± 5 · sqrt(200)/2 = 35.
    sums = [draw(StratifiedSampler(), DIRECTION, "train", 5, i).params["direction"].sum().item() for i in range(200)]
    assert set(sums) == {-1.0, 1.0}
    assert abs(sums.count(1.0) - 100) <= 35


def test_held_out_goals_are_dealt_evenly_within_their_split():
    held_out = len(MANY_GOALS.listed_units("test"))
    goals = draw(StratifiedSampler(), MANY_GOALS, "test", 3 * held_out, 0).params["goal"]
    assert torch.unique(goals, return_counts=True)[1].tolist() == [3] * held_out


def test_discrete_coordinates_beside_continuous_ones_are_balanced():
    family = TaskDistribution({"a": Choice((0.0, 1.0)), "x": Uniform(0.0, 1.0, ood=(1.0, 2.0))})
    tasks = draw(StratifiedSampler(), family, "ood", 40, 0)  # nothing is passed over in 'ood'
    assert tasks.params["a"].sum() == 20.0


def test_sobol_points_fall_one_into_each_dyadic_interval():
    # The first 2^m points of a scrambled (0, m, 1)-net; nothing is passed over in 'ood'.
    x = draw(StratifiedSampler(), LINE, "ood", 32, 0).params["x"].numpy() - 1.0
    assert sorted(np.floor(x * 32)) == list(range(32))


def test_many_dimensions_fall_one_into_each_stratum():
    x = draw(StratifiedSampler(), WIDE, "ood", 10, 0).params["x"].numpy() - 1.0
    strata = np.sort(np.floor(x * 10), axis=0)
    assert (strata == np.arange(10)[:, None]).all()


def variance_of_means(sampler, distribution, split):
    means = [draw(sampler, distribution, split, 40, i).params["x"].sum().item() / 40 for i in range(300)]
    return np.var(means)


@pytest.mark.parametrize("distribution", [LINE, WIDE])
@pytest.mark.parametrize(("split", "bound"), [("train", 0.5), ("ood", 0.02)])
def test_stratified_means_vary_less(distribution, split, bound):
    # Passing over a share q of an even sequence leaves about q of the variance of independent draws: 0.2 in train,
    # 0.25 with the uneven rest. In strata alone it is 1/K² = 0.0006, a Sobol prefix of 40 somewhat more. The ratio of
    # two variances over 300 draws has a relative standard deviation of sqrt(4/300) = 0.12: 0.5 is over five above.
    ratio = variance_of_means(StratifiedSampler(), distribution, split) / variance_of_means(
        UniformSampler(), distribution, split
    )
    assert ratio < bound


def test_stratified_means_are_those_of_the_split():
    # Mean over the training cells; 300 · 40 draws, standard deviation at most sqrt(1/12 / 12000) = 0.0026.
    middle = (np.arange(4096) + 0.5) / 4096
    expected = middle[LINE.split_of(middle[:, None]) == "train"].mean()
    means = [draw(StratifiedSampler(), LINE, "train", 40, i).params["x"].mean().item() for i in range(300)]
    np.testing.assert_allclose(np.mean(means), expected, atol=5 * 0.0026)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_without_memory_keep_the_empty_state(sampler):
    tasks = draw(sampler, LINE, "train", 2, 0)
    assert {} == {}
    assert sampler.observe({}, tasks, torch.zeros(2)) == {}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("distribution", "split", "num_tasks", "message"),
    [
        (LINE, "train", 0, "num_tasks is 0"),
        (LINE, "training", 2, "unknown split 'training'. Did you mean 'train'"),
        (MDP, "ood", 2, "declares an ood range"),
    ],
)
def test_bad_draws_are_refused_in_one_line(sampler, distribution, split, num_tasks, message):
    with pytest.raises(InputError, match=message) as caught:
        draw(sampler, distribution, split, num_tasks, 0)
    assert "\n" not in str(caught.value)
