"""What several seeds say together: known intervals, and the verdicts that follow from them."""

import json
from dataclasses import replace

import pytest

from drml.core.errors import InputError
from drml.loop.stats import Measured
from drml.recipes.catalog import RECIPES
from drml.recipes.judge import Bars, by_seed, judged, part_of, reached, summary
from drml.recipes.reproduce import RESULTS, stored_result

# Of 1 and 3 the mean is 2, the standard error 1 and Student's t with one degree of freedom 12.7062.
TWO, T = (1.0, 3.0), 12.7062
PLAIN = replace(RECIPES["navigation-maml"], published=())
OVER_TASKS = {"over": "tasks", "count": 40, "iqm": 0.0, "iqm_half_width_95": None}
GAINS = replace(PLAIN, gain_above=0.0)


def parts(by_seed, width=None):
    """Return seeds whose single step, gain and trial have these means, and these half widths by themselves."""
    points = [{"mean": mean, "mean_half_width_95": width, **OVER_TASKS} for mean in by_seed]
    return [
        part_of(
            {"seed": i, "return_by_step": [p], "gain": p, "trial_return": p, "env_steps": 1, "seconds": 1.0},
            {"env_steps": []},
        )
        for i, p in enumerate(points)
    ]


def point_of(recipe, by_seed, width=None):
    return summary("tiny", recipe, parts(by_seed, width))["return_by_step"][0]


@pytest.mark.parametrize(("published", "is_reached"), [(2.0 + T - 1e-3, True), (2.0 + T + 1e-3, False)])
def test_a_published_number_is_reached_where_the_interval_over_seeds_is_not_below_it(published, is_reached):
    point = point_of(replace(PLAIN, published=(published,)), TWO)
    assert point["reached"] is is_reached and point["mean_half_width_95"] == pytest.approx(T, abs=1e-4)


@pytest.mark.parametrize(("at_least", "is_reached"), [(2.0 - T - 1e-3, True), (2.0 - T + 1e-3, False)])
def test_a_share_of_an_optimum_is_reached_where_the_interval_lies_above_it(at_least, is_reached):
    point = point_of(replace(PLAIN, published=(1.0,), at_least=(at_least,)), TWO)
    assert point["reached"] is is_reached


def test_the_stored_seeds_that_fell():
    # 155.880 ± 12.706 x 0.856 does not lie above 150; 10.941 ± 4.3027 x 0.1309 does not lie above 10.518.
    mdp = point_of(replace(PLAIN, at_least=(150.0,)), (156.7363, 155.0243))
    assert mdp["mean_half_width_95"] == pytest.approx(10.88, abs=0.01) and mdp["reached"] is False
    grid = point_of(replace(PLAIN, at_least=(10.51783,)), (10.679, 11.0714, 11.0714))
    assert grid["mean_half_width_95"] == pytest.approx(0.563, abs=0.001) and grid["reached"] is False


@pytest.mark.parametrize(
    ("width", "at_least", "is_reached"),
    [(0.14, 77.9, False), (0.14, 77.8, True), (None, 77.9, None), (None, 70.0, None)],
)
def test_one_seed_is_judged_over_its_tasks_or_not_at_all(width, at_least, is_reached):
    point = point_of(replace(PLAIN, at_least=(at_least,)), (77.97,), width)
    assert point["reached"] is is_reached
    assert (point["over"], point["count"], point["mean_half_width_95"]) == ("tasks", 40, width)


def test_one_seed_and_a_published_number():
    assert point_of(replace(PLAIN, published=(4.0,)), (5.0,))["reached"] is None
    assert point_of(replace(PLAIN, published=(4.0,)), (3.9,), 0.05)["reached"] is False


@pytest.mark.parametrize(("at_least", "is_reached"), [(11.0, True), (11.1, False)])
def test_seeds_that_all_gave_the_same_are_judged_by_it(at_least, is_reached):
    point = point_of(replace(PLAIN, at_least=(at_least,)), (11.0714,) * 3)
    assert point["mean_half_width_95"] is None and point["reached"] is is_reached


@pytest.mark.parametrize(
    ("by_seed", "width", "is_reached"), [((3.4,), 0.6, True), ((3.4,), 3.4, False), (TWO, 0.1, False)]
)
def test_a_gain_is_held_against_what_it_is_to_exceed(by_seed, width, is_reached):
    assert summary("tiny", GAINS, parts(by_seed, width))["gain"]["reached"] is is_reached


def test_nothing_held_against_is_nothing_reached():
    assert point_of(PLAIN, TWO)["reached"] is None
    assert summary("tiny", PLAIN, parts(TWO))["trial_return"] is None
    assert reached(Measured(2.0, 1.0, "seeds", 2, None), Bars()) is None


def test_every_bar_counts():
    found = Measured(2.0, 1.0, "seeds", 5, None)
    assert reached(found, Bars(published=3.0, at_least=1.0, above=0.9)) is True
    for short in (Bars(3.1, 1.0, 0.9), Bars(3.0, 1.1, 0.9), Bars(3.0, 1.0, 1.0)):
        assert reached(found, short) is False


def test_a_result_holds_what_each_seed_gave():
    recipe = replace(GAINS, at_least_trial=1.0)
    given = parts((1.0, 3.0, 4.0), 0.5)
    result = json.loads(json.dumps(summary("tiny", recipe, given)))
    taken = by_seed(result)
    for old, new in zip(given, taken, strict=True):
        for key in ("seed", "curve", "env_steps", "seconds", "versions"):
            assert new[key] == old[key]
        for key in ("gain", "trial_return"):
            assert new[key].items() <= old[key].items()
    assert json.loads(json.dumps(summary("tiny", recipe, taken))) == result


def test_what_a_point_took_is_meaned_over_the_seeds_that_say_it():
    given = parts(TWO)
    first = dict(given[0]["return_by_step"][0], episodes=4.0, env_steps=20.0)
    result = summary("tiny", PLAIN, [{**given[0], "return_by_step": [first]}, given[1]])
    (point,) = result["return_by_step"]
    assert (point["episodes"], point["env_steps"]) == (4.0, 20.0)
    assert point["episodes_by_seed"] == [4.0, None] and "episodes" not in result["gain"]
    assert summary("tiny", PLAIN, by_seed(result)) == result


STORED = sorted(path.stem for path in RESULTS.glob("*.json"))


def test_there_are_stored_results_and_each_has_its_recipe():
    assert len(STORED) >= 23 and set(STORED) <= set(RECIPES)


@pytest.mark.parametrize("name", STORED)
def test_a_stored_judgement_is_what_its_seeds_give(name):
    result = stored_result(name)
    assert _close(json.loads(json.dumps(judged(result))), result)


def _close(new, old):
    """Return whether two trees are equal, numbers up to the rounding of sums on another machine."""
    if isinstance(new, dict):
        return new.keys() == old.keys() and all(_close(new[key], old[key]) for key in new)
    if isinstance(new, list):
        return len(new) == len(old) and all(map(_close, new, old))
    return new == (pytest.approx(old, rel=1e-9, abs=1e-12) if isinstance(old, float) else old)


def test_a_result_of_other_settings_is_not_judged():
    result = stored_result("rl2-tmaze")
    other = {**result, "config": {**result["config"], "train": {**result["config"]["train"], "copies": 2}}}
    with pytest.raises(InputError, match=r"config\.train\.copies was 2 and is 1"):
        judged(other)
    younger = {**result, "config": {key: value for key, value in result["config"].items() if key != "policy"}}
    assert judged(younger)["seeds"] == result["seeds"]  # settings that came later are not compared


def test_successes_of_several_seeds_are_kept_and_have_intervals_over_them():
    ones = [
        {**part, key: [{"mean": mean, "mean_half_width_95": None, **OVER_TASKS}]}
        for part, mean, key in zip(parts(TWO), (0.25, 0.75), ["success_any_by_step"] * 2, strict=True)
    ]
    result = summary("tiny", PLAIN, ones)
    (point,) = result["success_any_by_step"]
    # the mean of 1/4 and 3/4 is 1/2, its standard error 1/4
    assert (point["mean"], point["over"], point["reached"]) == (0.5, "seeds", None)
    assert point["mean_half_width_95"] == pytest.approx(T / 4, abs=1e-4)
    assert point["mean_by_seed"] == [0.25, 0.75] and "success_last_by_step" not in result
    assert summary("tiny", PLAIN, by_seed(result)) == result
    mixed = summary("tiny", PLAIN, [ones[0], parts(TWO)[1]])  # one of a version that did not count it
    assert "success_any_by_step" not in mixed


def test_a_part_keeps_what_a_test_says_of_success():
    test = {"seed": 1, "return_by_step": [], "gain": None, "trial_return": {}, "env_steps": 1, "seconds": 1.0}
    shares = {"success_any_by_step": [{"mean": 0.5}], "success_last_by_step": [{"mean": 0.25}]}
    assert {key: part_of({**test, **shares}, {})[key] for key in shares} == shares
    assert not {*shares} & set(part_of(test, {}))
