"""Frozen lakes: what can be earned, by hand, by the recursions and in the environment."""

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.references.lake import best_expected, play, returns, way
from drml.suites.games.lake import SUITES, layouts
from drml.tasks.samplers.uniform import UniformSampler


def test_chance_by_hand():
    # 2 x 2, a hole at (1, 0), moves stay, right, left, up, down. From (0, 0): up leads on, right into the hole, the
    # others nowhere; from (0, 1) right reaches the goal, down leads back, the others nowhere.
    hole = np.array([[False, False], [True, False]])
    best, random = returns(hole, 2)
    assert best == 1.0 and random == pytest.approx(1 / 25)
    assert returns(hole, 3)[1] == pytest.approx(1 / 25 + 3 / 125 + 3 / 125)
    assert returns(hole, 1) == (0.0, 0.0)


def test_what_can_be_expected_by_hand():
    assert [best_expected(2, 1, 4, e) for e in (1, 2, 3)] == pytest.approx([0.5, 1.5, 2.5])
    # 3 x 3 with 2 holes: the 3 cells of a way are sound in C(4, 2) of the 19 layouts.
    assert best_expected(3, 2, 9, 1) == pytest.approx(6 / 19)
    two, three = (best_expected(3, 2, 9, e) for e in (2, 3))
    assert 6 / 19 + 6 / 19 < two < 6 / 19 + 1.0 and two < three <= two + 1.0


def test_what_can_be_expected_is_no_less_than_by_any_fixed_pair_of_walks():
    """Two walks chosen beforehand, the second one only if the first fails, and the first again if it does not."""
    lakes = layouts(3, 2)
    walks = [(1, 1, 3, 3), (3, 3, 1, 1), (1, 3, 1, 3), (1, 3, 3, 1), (3, 1, 1, 3), (3, 1, 3, 1)]
    passes = np.array([[not _falls(hole, walk) for hole in lakes] for walk in walks])  # [walks, lakes]
    fixed = max((2.0 * a + (~a & b)).mean() for a in passes for b in passes)
    assert best_expected(3, 2, 9, 2) >= fixed - 1e-12


def _falls(hole: np.ndarray, walk: tuple[int, ...]) -> bool:
    x = y = 0
    for action in walk:
        x, y = (x + 1, y) if action == 1 else (x, y + 1)
        if hole[x, y]:
            return True
    return False


def test_too_many_layouts_are_refused():
    with pytest.raises(InputError, match="757 layouts, at most 400"):
        best_expected(4, 4, 16, 2)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_who_knows_the_layout_gets_through(suite):
    tasks = UniformSampler().sample({}, suite.tasks, "test", 50, Streams(4))
    assert play(suite.make(EnvOptions()), tasks, Streams(0)).tolist() == [1.0] * 50
    assert all(len(way(hole > 0.5)) <= suite.spec.horizon for hole in tasks.params["hole"].numpy())


def test_chance_in_the_environment():
    suite, copies = SUITES[0], 20_000
    tasks = UniformSampler().sample({}, suite.tasks, "train", 4, Streams(2))
    env = suite.make(EnvOptions())
    env.reset(tasks, copies, Streams(0))
    earned, goes_on = torch.zeros(4, copies), torch.ones(4, copies, dtype=torch.bool)
    for action in torch.from_numpy(Streams(3)["act"].generator().integers(5, size=(16, 4, copies))):
        step = env.step(action)
        earned += step.reward * goes_on
        goes_on &= ~step.terminated
    expected = np.array([returns(hole > 0.5, 16)[1] for hole in tasks.params["hole"].numpy()])
    # A share p of 20,000 has standard deviation √(p(1 − p)/20000).
    assert (np.abs(earned.mean(1).numpy() - expected) < 5 * np.sqrt(expected * (1 - expected) / copies)).all()
