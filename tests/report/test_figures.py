import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from drml.report.figures import COLORS, paint_adaptation, paint_learning, paint_phases, running_mean


def axes():
    return Figure().add_subplot()


def test_adaptation_draws_each_task_and_their_mean():
    data = {
        "step": [0, 1, 2],
        "mean": [1.0, 2.0, 3.0],
        "estimand": "over 2 tasks, one seed",
        "low": [0.5, 1.5, 2.5],
        "high": [2.0, 2.5, 3.5],
        "tasks": [{"return_by_step": [0.0, 1.0, 2.0]}, {"return_by_step": [2.0, 3.0, 4.0]}],
    }
    drawn = axes()
    paint_adaptation(drawn, data)
    assert [list(line.get_ydata()) for line in drawn.lines] == [[0, 1, 2], [2, 3, 4], [1, 2, 3]]
    band = drawn.collections[0].get_paths()[0].vertices
    assert {(0, 0.5), (1, 1.5), (2, 2.5), (0, 2.0), (1, 2.5), (2, 3.5)} <= set(map(tuple, band.tolist()))
    assert drawn.get_legend_handles_labels()[1] == ["single tasks", "95 % interval over 2 tasks, one seed", "mean"]


def test_a_band_that_is_not_known_is_not_drawn():
    nan = float("nan")
    data = {
        "step": [0, 1],
        "mean": [1.0, 2.0],
        "estimand": "over 1 task, one seed",
        "low": [nan] * 2,
        "high": [nan] * 2,
    }
    drawn = axes()
    paint_adaptation(drawn, {**data, "tasks": []})
    assert not drawn.collections and drawn.get_legend_handles_labels()[1] == ["mean"]


def test_learning_marks_validations_and_the_best_policy():
    data = {
        "train": {"env_steps": [10, 20], "pre_return": [0.0, 0.5], "post_return": [1.0, 2.0]},
        "validation": {"env_steps": [10, 20], "post_return": [3.0, 2.5]},
        "best": [{"env_steps": 10, "post_return": 3.0}],
    }
    drawn = axes()
    paint_learning(drawn, data)
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in drawn.lines}
    assert lines["before adaptation"] == ([10, 20], [0.0, 0.5])
    assert lines["after adaptation"] == ([10, 20], [1.0, 2.0])
    assert lines["validation tasks"] == ([10, 20], [3.0, 2.5])
    assert lines["best policy"] == ([10], [3.0])


def test_one_meta_iteration_can_be_seen():
    train = {"meta_iter": [1], "env_steps": [800], "pre_return": [-2.0], "post_return": [-1.0]}
    nothing = {"meta_iter": [], "env_steps": [], "post_return": []}
    drawn = axes()
    paint_learning(drawn, {"train": train, "validation": nothing, "best": []})
    assert [line.get_marker() for line in drawn.lines[:2]] == ["o", "o"]


def test_phases_stand_longest_first_with_their_shares():
    drawn = axes()
    paint_phases(drawn, {"act": 1.0, "env": 3.0, "lost": float("nan")})
    assert [bar.get_width() for bar in drawn.patches] == [3.0, 1.0, 0.0]
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["env", "act", "lost"]
    assert [words.get_text() for words in drawn.texts] == ["75.0 %", "25.0 %", "0.0 %"]


def test_running_mean_by_hand():
    values = np.array([1.0, 2.0, 6.0, np.nan, 4.0])
    # Windows of three, shorter at the ends, without what is not finite: (1+2)/2, (1+2+6)/3, (2+6)/2, (6+4)/2, 4.
    np.testing.assert_allclose(running_mean(values, 3), [1.5, 3.0, 4.0, 5.0, 4.0], rtol=1e-15)
    assert running_mean(values, 1) is values


@pytest.mark.parametrize("name", list(COLORS))
def test_figures_and_page_share_their_light_colours(name):
    from importlib.resources import files

    light = (files("drml.report") / "page.css").read_text().split("@media")[0]
    assert re.search(rf"{name}: {COLORS[name]};", light)
