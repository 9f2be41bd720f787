"""Success in the curve of an adaptation: as environments say it, kept by a saved agent, and that of a test."""

import gymnasium as gym
import numpy as np
import pytest
import torch

import drml
from drml.gym.tested import tasks_under_test
from drml.run import measure

from .driving import meta_agent

COPIES, STEPS = 3, 1
SPACE = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


class Sayer(gym.Env):
    """Episodes of 5 steps; the e-th is a success at its step `when[e]`, said where it is true, or never where None."""

    observation_space = action_space = SPACE

    def __init__(self, *when, key="is_success"):
        self.when, self.key, self.episode = when, key, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        said = {self.key: np.float32(1.0)} if self.t == self.when[self.episode] else {}
        return np.zeros(2, np.float32), 1.0, False, self.t == 5, said


@pytest.mark.parametrize("name", ["promp", "maml"])
def test_any_and_last_step_by_hand(name, capsys):
    # promp adapts on episodes and plays one in each; maml on steps, which are one episode of 5 here
    agent, curve = meta_agent(name).adapt_to(Sayer(1, 5, None, 5, 5, 2), episodes=3, steps=1)
    assert curve.success_any.tolist() == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    assert curve.success_last.tolist() == [[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    assert "success 67% (33% at the last step)" in capsys.readouterr().err
    facts = curve.facts()
    assert [point["mean"] for point in facts["success_any_by_step"]] == pytest.approx([2 / 3, 1.0])
    # of 1, 1, 0 the mean is 2/3, the standard error 1/3, and Student's t with two degrees of freedom 4.3027
    assert facts["success_any_by_step"][0]["mean_half_width_95"] == pytest.approx(4.3027 / 3, rel=1e-4)
    assert facts["success_any_by_step"][1]["mean_half_width_95"] is None
    assert "success" in curve.table().splitlines()[0] and "0.667" in curve.table()
    assert agent.steps == (1,)


def test_where_nothing_is_said_nothing_is_shown(capsys):
    _, curve = meta_agent("promp").adapt_to(Sayer(*[None] * 4), episodes=2, steps=1)
    assert curve.success_any is None and curve.success_last is None
    assert "success" not in capsys.readouterr().err + curve.table() + str(curve.facts())


def test_what_was_said_before_an_agent_was_saved_is_in_the_curve_that_goes_on(tmp_path):
    agent, first = meta_agent("promp").adapt_to(Sayer(1, 5), episodes=2, steps=0, verbose=False)
    agent.save(tmp_path / "kept")
    silent = drml.load_agent(tmp_path / "kept")
    agent.sessions.kept[0] = None
    _, curve = silent.adapt_to(Sayer(None, None), episodes=2, steps=1, verbose=False)
    assert torch.equal(curve.success_any[0], first.success_any[0])
    assert curve.success_any.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert curve.success_last.tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_it_is_that_of_a_test(tmp_path):
    sizes = {"meta_iters": 1, "num_tasks": 2, "copies": 2, "validate_every": 1, "validation_tasks": 2}
    policy = drml.MemoryConfig(size=8)
    run = drml.train("gridnavi-varibad-v1", "rl2", out=tmp_path / "run", policy=policy, verbose=False, **sizes)
    tasks = tasks_under_test("gridnavi-varibad-v1", 1, COPIES)
    meta, told = drml.load(run.path), measure.test(run.path, STEPS, 1, COPIES)["tasks"]
    rows = {}
    for task in tasks:
        curve = meta.adapt_to(task.env, COPIES, STEPS, session=task.session, verbose=False)[1]
        rows.setdefault(task.row, []).append(torch.stack([curve.success_any, curve.success_last]))
    for row, found in rows.items():
        shares = torch.cat(found, -1).mean(-1).tolist()  # over all rounds
        np.testing.assert_allclose([told[row]["success_any_by_step"], told[row]["success_last_by_step"]], shares)
    assert any(sum(task["success_any_by_step"]) > 0 for task in told)
