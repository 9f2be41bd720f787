"""Dark rooms: the published optima, and what chance earns, in the environment too."""

import pytest
import torch

from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.references.dark_room import returns
from drml.suites.grid import SUITES, cells

ROOMS = {suite.name: suite for suite in SUITES}
DPT, AD = ROOMS["dark-room-dpt-v1"], ROOMS["dark-room-ad-v1"]


def test_who_knows_the_goal_walks_there():
    best, _ = returns(10, (0, 0), 100)
    assert best.tolist() == [100.0 - max(x + y - 1, 0) for x, y in cells(10)]
    # Of 80 goals for training 92.26 and of 20 for tests 90.90 on average, as computed for the published split.
    assert best.mean() == pytest.approx((80 * 92.26 + 20 * 90.90) / 100, abs=0.005)


def test_the_room_of_algorithm_distillation():
    best, random = returns(9, (4, 4), 20)
    assert (best.min(), best.max()) == (13.0, 20.0) and best.mean() == pytest.approx(16.54, abs=0.005)
    assert random.mean() == pytest.approx(20 / 81)  # each step ends in one of the cells


@pytest.mark.parametrize(("suite", "size", "start"), [(DPT, 10, (0, 0)), (AD, 9, (4, 4))], ids=["dpt", "ad"])
def test_the_environment_pays_what_was_computed(suite, size: int, start: tuple[int, int]):
    tasks, horizon = suite.tasks.all_tasks(), suite.spec.horizon
    assert tasks.params["goal"].long().tolist() == [list(cell) for cell in cells(size)]
    best, random = returns(size, start, horizon)
    env = suite.make(EnvOptions())
    obs = env.reset(tasks, 1, Streams(0))
    assert obs.shape == (size**2, 1, suite.spec.obs_size)
    first = obs[0, 0] if suite is DPT else torch.tensor(divmod(int(obs[0, 0].argmax()), size))
    assert first.tolist() == list(start)
    offset = tasks.params["goal"].long() - torch.tensor(start)
    earned = torch.zeros(size**2)
    for _ in range(horizon):
        x, y = offset.unbind(-1)
        action = torch.where(x > 0, 2, torch.where(x < 0, 4, torch.where(y > 0, 1, torch.where(y < 0, 3, 0))))
        offset = torch.where(
            (x != 0)[:, None], offset - torch.stack([x.sign(), 0 * y], -1), offset - torch.stack([0 * x, y.sign()], -1)
        )
        step = env.step(action[:, None])
        earned += step.reward[:, 0]
        assert not step.terminated.any()
    assert step.truncated.all() and earned.tolist() == best.tolist()
    copies = 200
    env.reset(tasks, copies, Streams(1))
    actions = torch.from_numpy(Streams(2)["act"].generator().integers(5, size=(horizon, size**2, copies)))
    by_chance = torch.stack([env.step(action).reward for action in actions]).sum(0).double()
    near = (tasks.params["goal"].long() - torch.tensor(start)).abs().sum(-1) <= 3  # met often: means are nearly normal
    error = by_chance[near].std(1) / copies**0.5
    assert ((by_chance.mean(1) - torch.from_numpy(random))[near].abs() < 5 * error).all()
