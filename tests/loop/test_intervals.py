"""Every interval that the package prints holds the truth as often as it says: 95 times in 100, within 93 and 97.

What is simulated are returns whose mean is known; what is judged is what the package makes of them: the points of
test.json (`AdaptationCurve.facts`) and those of a recipe's result (`summary`). Of R independent intervals that cover
95 %, the share that hold the truth has a standard error of sqrt(.95 x .05 / R): 0.5 % with R = 2000, so the bounds lie
four standard errors off, and 0.22 % and nine with R = 10,000 (slow).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drml.core.rng import Streams
from drml.loop import stats
from drml.loop.curve import AdaptationCurve
from drml.recipes.catalog import RECIPES
from drml.recipes.judge import part_of, summary
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Uniform
from drml.tasks.samplers.tested import tasks_to_test

BOUNDS = (0.93, 0.97)
FEW, MANY = 2000, 10_000
TRUTH = 7.0  # mean return after the last step; before adaptation it is 0
TRIED = {"adapt_steps": 1, "published_trial": None, "at_least_trial": 0.0}
RECIPE = replace(RECIPES["rl2-half-cheetah-dir"], **TRIED)
amount = pytest.mark.parametrize("reps", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No versions are looked up, and Student's t is read from a table (test_stats.py holds the computed one)."""
    import scipy.stats

    grid = np.geomspace(1.0, 1e6, 4000)
    table = scipy.stats.t.ppf(0.975, grid)
    monkeypatch.setattr("drml.run.rundir.versions", dict)
    monkeypatch.setattr(stats, "student_t", lambda freedom, _: float(np.interp(freedom, grid, table)))


def drawn(rng, tasks, episodes, run_effect=0.0, task_spread=1.0, episode_spread=1.0):
    """Return what test.json says of one training: tasks and episodes vary around the level that it reached."""
    effects = task_spread * rng.standard_normal((tasks, 2, 1)) + [[0.0], [TRUTH + run_effect]]
    returns = effects + episode_spread * rng.standard_normal((tasks, 2, episodes))
    return AdaptationCurve(torch.from_numpy(returns)).facts(torch.arange(tasks), "tasks")


def holds(point, truth, key="mean"):
    return abs(point[key] - truth) <= point[f"{key}_half_width_95"]


def check(hits):
    shares = np.mean(np.array(hits, dtype=float), axis=0)
    assert (shares >= BOUNDS[0]).all() and (shares <= BOUNDS[1]).all(), shares


@amount
@pytest.mark.parametrize("tasks", [2, 5, 9, 10, 40])
def test_one_training_tested_on_drawn_tasks(tasks, reps):
    rng, hits = np.random.default_rng(tasks), []
    for _ in range(reps):
        facts = drawn(rng, tasks, 4, task_spread=3.0)
        assert facts["gain"]["over"] == "tasks" and facts["gain"]["count"] == tasks
        ends = [holds(point, truth) for point, truth in zip(facts["return_by_step"], (0.0, TRUTH), strict=True)]
        hits.append([*ends, holds(facts["gain"], TRUTH), holds(facts["trial_return"], TRUTH)])
    check(hits)


def whole(rng, tasks, rounds, episodes, adaptation_spread):
    """Return what test.json says of a family that is tested whole, and the true means of its two steps.

    The tasks are what they are. In each round a task is adapted to anew, better or worse, and its episodes after that
    share what came of it.
    """
    levels = np.linspace(-30.0, 30.0, tasks)[:, None, None, None] + [[0.0], [TRUTH]]
    adapted = adaptation_spread * rng.standard_normal((tasks, rounds, 2, 1)) * [[0.0], [1.0]]
    noise = np.geomspace(1.0, 4.0, tasks)[:, None, None, None] * rng.standard_normal((tasks, rounds, 2, episodes))
    returns = torch.from_numpy((levels + adapted + noise).reshape(tasks * rounds, 2, episodes))
    facts = AdaptationCurve(returns).facts(torch.arange(tasks).repeat_interleave(rounds), "episodes")
    return facts, levels.mean(0).flatten()


@amount
@pytest.mark.parametrize("adaptation_spread", [0.0, 5.0])
@pytest.mark.parametrize(("tasks", "rounds", "episodes"), [(1, 40, 5), (2, 20, 5), (5, 8, 5), (21, 4, 4)])
def test_one_training_tested_on_all_tasks_of_its_family(tasks, rounds, episodes, adaptation_spread, reps):
    rng, hits = np.random.default_rng(tasks), []
    for _ in range(reps):
        facts, truth = whole(rng, tasks, rounds, episodes, adaptation_spread)
        assert (facts["gain"]["over"], facts["gain"]["count"]) == ("episodes", tasks)
        ends = [holds(point, mean) for point, mean in zip(facts["return_by_step"], truth, strict=True)]
        hits.append([*ends, holds(facts["gain"], TRUTH), holds(facts["trial_return"], truth.sum())])
    check(hits)


@amount
def test_two_episodes_of_a_trial_belong_together(reps):
    # What is found in the first episode is kept: the gain varies less than the episodes do, the trial more.
    rng, hits = np.random.default_rng(0), []
    for _ in range(reps):
        luck = 5.0 * rng.standard_normal((40, 1, 1))
        returns = luck + rng.standard_normal((40, 2, 1)) + [[0.0], [TRUTH]]
        facts = AdaptationCurve(torch.from_numpy(returns)).facts(torch.arange(2).repeat_interleave(20), "episodes")
        hits.append([holds(facts["gain"], TRUTH), holds(facts["trial_return"], TRUTH)])
    check(hits)


def result_of(rng, seeds, tasks, run_spread=1.0, **spreads):
    """Return a recipe's result: trainings differ in what they reached, and each was tested on tasks of its own."""
    parts = []
    for seed in range(seeds):
        facts = drawn(rng, tasks, 1, run_spread * rng.standard_normal(), **spreads)
        parts.append(part_of({"seed": seed, "env_steps": 1, "seconds": 1.0, **facts}, {}))
    return summary("simulated", RECIPE, parts)


@pytest.mark.parametrize(
    ("seeds", "tasks", "reps"),
    [
        *((seeds, 5, FEW) for seeds in (2, 3, 5, 10)),
        (3, 40, FEW),
        *(pytest.param(seeds, 5, MANY, marks=pytest.mark.slow) for seeds in (2, 3, 5, 10)),
        pytest.param(3, 40, MANY, marks=pytest.mark.slow),
        pytest.param(10, 1000, MANY, marks=pytest.mark.slow),
    ],
)
def test_several_trainings_that_differ(seeds, tasks, reps):
    rng, hits = np.random.default_rng(seeds), []
    for _ in range(reps):
        result = result_of(rng, seeds, tasks)
        points = (result["return_by_step"][1], result["gain"], result["trial_return"])
        assert {point["over"] for point in points} == {"seeds"}
        hits.append([*(holds(point, TRUTH) for point in points), *(holds(point, TRUTH, "iqm") for point in points)])
    check(hits)


def test_ten_trainings_on_a_thousand_tasks_each():
    # As above, without the tasks: what enters is each training's mean, whose noise by tasks is 1000^-1/2 of theirs.
    rng, hits = np.random.default_rng(3), []
    for _ in range(FEW):
        means = TRUTH + rng.standard_normal(10) + rng.standard_normal(10) / 1000**0.5
        hits.append(holds(stats.over_seeds(means.tolist(), [None] * 10).facts(), TRUTH))
    check(hits)


def test_the_tasks_of_a_test_are_independent_draws():
    # Out of distribution, in one dimension: tasks that are spread evenly would hold the mean of 1.5 every time.
    line, hits = TaskDistribution({"place": Uniform(0.0, 1.0, ood=(1.0, 2.0))}), []
    for seed in range(FEW):
        tasks, is_whole = tasks_to_test(line, "ood", 40, Streams(seed))
        assert not is_whole
        curve = AdaptationCurve(tasks.params["place"].reshape(-1, 1, 1))
        hits.append(holds(curve.facts(torch.arange(40), "tasks")["return_by_step"][0], 1.5))
    check(hits)


def test_a_split_of_few_tasks_is_met_whole_once():
    family = TaskDistribution({"place": Choice(tuple(float(i) for i in range(60)))})
    held_out = {float(value) for value in range(60) if family.split_of(np.array([[(value + 0.5) / 60]]))[0] == "test"}
    tasks, is_whole = tasks_to_test(family, "test", 40, Streams(0))
    assert is_whole and sorted(tasks.params["place"].tolist()) == sorted(held_out)
    drawn, is_whole = tasks_to_test(family, "test", len(held_out) - 1, Streams(0))
    assert not is_whole and set(drawn.params["place"].tolist()) <= held_out


# Where returns are not normal, Student's interval holds less: docs/intervals.md says how much, from these numbers.
DRAWN = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0),
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
    "heavy tails": (lambda rng, shape: rng.standard_t(3, shape), 0.0),
    "skewed": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "very skewed": (lambda rng, shape: rng.lognormal(size=shape), float(np.exp(0.5))),
    "one in ten fails": (lambda rng, shape: (rng.random(shape) < 0.9).astype(float), 0.9),
}
SIZES = (2, 3, 5, 10, 40)


@pytest.mark.slow
def test_the_page_says_how_often_intervals_of_other_numbers_hold():
    rows = []
    for name, (draw, truth) in DRAWN.items():
        rng, shares = np.random.default_rng(1), []
        for size in SIZES:
            found = [(row.mean(), stats.half_width(row)) for row in draw(rng, (MANY, size))]
            shares.append(np.mean([width is not None and abs(mean - truth) <= width for mean, width in found]))
        rows.append(f"| {name} | " + " | ".join(f"{100 * share:.0f}" for share in shares) + " |")
    page = (Path(__file__).parents[2] / "docs/intervals.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in page, "\n".join(rows)
