"""Navigation against trajectories computed by hand."""

import math
from collections.abc import Callable

import pytest
import torch

from drml.core.rng import Streams
from drml.core.types import Step, Tasks
from drml.envs.api import EnvOptions, Suite
from drml.suites.navigation import SUITES
from drml.tasks.samplers.uniform import UniformSampler

SUITE = {suite.name: suite for suite in SUITES}
MAML, MAML_PYTORCH, CORNERS, ES_CORNERS, PEARL = (
    SUITE[f"navigation-{name}-v1"]
    for name in ("maml", "maml-rl-pytorch", "promp-corners", "es-maml-corners", "pearl-sparse")
)

# Positions are sums of at most 20 float32 numbers below 3: each addition is off by at most 3 * 2^-24 ≈ 2e-7.
ATOL = 4e-6


def tasks_at(name: str, values: list) -> Tasks:
    return Tasks({name: torch.tensor(values, dtype=torch.float64)}, torch.arange(len(values)))


def begin(suite: Suite, tasks: Tasks, copies: int = 1) -> tuple[torch.Tensor, Callable[..., Step]]:
    """Return the first observations, and a function that steps by x and y: numbers for all copies, or `[K, B]` each."""
    env = suite.make(EnvOptions())
    obs = env.reset(tasks, copies, Streams(0))

    def push(x, y):
        return env.step(torch.stack([torch.as_tensor(v).expand(obs.shape[:2]) for v in (x, y)], -1))

    return obs, push


def test_maml_point_walks_to_its_goal_and_starts_again():
    obs, push = begin(MAML_PYTORCH, tasks_at("goal", [[0.3, 0.0], [0.3, 0.4]]))
    assert obs.tolist() == [[[0.0, 0.0]], [[0.0, 0.0]]]
    # Clipped to 0.1 per coordinate: x = 0.1, 0.2, 0.3. Distances to (0.3, 0.4): √(0.2² + 0.4²), √(0.1² + 0.4²), 0.4.
    steps = [push(5.0, 0.0) for _ in range(3)]
    reward = torch.stack([step.reward[:, 0] for step in steps])
    expected = torch.tensor([[-0.2, -math.sqrt(0.2)], [-0.1, -math.sqrt(0.17)], [0.0, -0.4]])
    torch.testing.assert_close(reward, expected, atol=ATOL, rtol=0.0)
    assert [step.terminated[:, 0].tolist() for step in steps] == [[False, False], [False, False], [True, False]]
    assert not any(step.truncated.any() for step in steps)
    torch.testing.assert_close(steps[2].final_obs[:, 0], torch.tensor([[0.3, 0.0], [0.3, 0.0]]), atol=ATOL, rtol=0.0)
    torch.testing.assert_close(steps[2].obs[:, 0], torch.tensor([[0.0, 0.0], [0.3, 0.0]]), atol=ATOL, rtol=0.0)


def test_maml_action_is_clipped_per_coordinate():
    _, push = begin(MAML_PYTORCH, tasks_at("goal", [[0.4, 0.4]]))
    step = push(-7.0, 0.05)
    torch.testing.assert_close(step.obs[0, 0], torch.tensor([-0.1, 0.05]), atol=ATOL, rtol=0.0)


def test_maml_arrival_is_a_box_of_a_hundredth():
    _, push = begin(MAML_PYTORCH, tasks_at("goal", [[0.009, 0.009], [0.011, 0.0], [0.0, 0.011]]))
    assert push(0.0, 0.0).terminated[:, 0].tolist() == [True, False, False]  # (0.009, 0.009) is 0.0127 away


def test_maml_truncates_each_copy_a_hundred_steps_after_its_own_start():
    _, push = begin(MAML_PYTORCH, tasks_at("goal", [[0.3, 0.0], [-0.4, -0.4]]))
    for _ in range(3):
        push(0.1, 0.0)  # task 0 arrives at its goal with the third step
    flags = torch.stack([push(0.0, 0.0).truncated[:, 0] for _ in range(100)])
    assert flags.nonzero().tolist() == [[96, 1], [99, 0]]


def test_maml_wrapper_makes_an_action_of_one_a_move_of_a_tenth():
    _, push = begin(MAML, tasks_at("goal", [[0.4, 0.4]]))
    step = push(0.5, -2.0)
    torch.testing.assert_close(step.obs[0, 0], torch.tensor([0.05, -0.1]), atol=ATOL, rtol=0.0)


def test_maml_goals_lie_in_the_box_and_out_of_distribution_beyond_it():
    inside = UniformSampler().sample({}, MAML.tasks, "train", 50, Streams(0)).params["goal"]
    outside = UniformSampler().sample({}, MAML.tasks, "ood", 50, Streams(0)).params["goal"]
    assert inside.shape == (50, 2)
    assert (inside >= -0.5).all() and (inside < 0.5).all()
    assert (outside >= 0.5).all() and (outside < 1.0).all()


def test_corner_rewards_progress_only_in_the_goals_quadrant_beyond_the_blind_radius():
    start, push = begin(CORNERS, tasks_at("goal", [[2.0, 2.0], [-2.0, 2.0]]))
    assert not push(*(-start).unbind(-1)).obs.any()  # starts lie within one move of the origin
    corner = torch.tensor([2.0, 2.0])
    # 0.2 per coordinate: 1-norms 0.4, 0.8, ...; the first move lies in the blind radius, the second tells.
    first, second = push(1.0, 1.0), push(1.0, 1.0)
    assert first.reward.flatten().tolist() == [0.0, 0.0]
    progress = float(torch.dist(torch.tensor([0.2, 0.2]), corner) - torch.dist(torch.tensor([0.4, 0.4]), corner))
    assert progress == pytest.approx(0.2 * math.sqrt(2.0), abs=ATOL)
    assert second.reward[0, 0].item() == pytest.approx(progress, abs=ATOL)
    assert second.reward[1, 0].item() == 0.0  # (2, 2) is nearer to (0.4, 0.4) than (−2, 2) is
    back = push(0.0, -0.1)
    expected = math.hypot(1.6, 1.6) - math.hypot(1.6, 1.7)
    assert back.reward[0, 0].item() == pytest.approx(expected, abs=ATOL)  # moving away costs


def test_corner_quadrant_is_closed():
    start, push = begin(CORNERS, tasks_at("goal", [[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0]]))
    push(*(-start).unbind(-1))  # to the origin, and to (0.5, 0)
    for x in (0.2, 0.2, 0.1):
        push(x, 0.0)
    reward = push(0.2, 0.0).reward[:, 0]
    gain = math.hypot(1.5, 2.0) - math.hypot(1.3, 2.0)  # (0.7, 0) is as far from (2, 2) as from (2, −2)
    torch.testing.assert_close(reward, torch.tensor([gain, gain, 0.0]), atol=ATOL, rtol=0.0)


def test_corner_starts_are_uniform_around_the_origin_and_new_for_each_episode():
    first, push = begin(CORNERS, CORNERS.tasks.all_tasks(), 500)
    for _ in range(100):
        step = push(0.0, 0.0)
    assert step.truncated.all() and not step.terminated.any()
    assert torch.equal(step.final_obs, first)  # nobody moved
    for start in (first, step.obs):
        assert start.abs().max().item() <= 0.2
        # The mean of 4000 numbers uniform on ±0.2 has standard deviation 0.2/√3/√4000 = 1.8e-3; 5 of them.
        assert abs(start.mean().item()) < 9.2e-3
        # E|x| = 0.1, standard deviation 0.2/√12/√4000 = 9.1e-4; 5 of them.
        assert start.abs().mean().item() == pytest.approx(0.1, abs=4.6e-3)
    assert not torch.equal(step.obs, first)


def episode_of(suite, tasks, act):
    """Return the return of one episode, `[K]`, of a policy that maps positions `[K, 1, 2]` to moves."""
    env = suite.make(EnvOptions())
    obs, total = env.reset(tasks, 1, Streams(0)), 0.0
    for _ in range(suite.spec.horizon):
        step = env.step(act(obs))
        obs, total = step.obs, total + step.reward[:, 0].double()
    return total


def test_es_maml_corners_cost_400_far_away_and_40_3_on_the_best_way():
    """Diagonal moves of (0.1, 0.1): 5 steps at −4, then 2 (2 − 0.1 t)² for t = 6 … 20, Σ 0.02 m² = 20.3; then none."""
    tasks = ES_CORNERS.tasks.all_tasks()
    goal = tasks.params["goal"].float().unsqueeze(1)
    assert sorted(goal[:, 0].tolist()) == [[-2.0, -2.0], [-2.0, 2.0], [2.0, -2.0], [2.0, 2.0]]
    best = episode_of(ES_CORNERS, tasks, lambda obs: goal - obs)
    assert best.tolist() == pytest.approx([-40.3] * 4, abs=1e-4)  # 20 roundings of a distance of 2 · 2^-24, and squares
    assert episode_of(ES_CORNERS, tasks, lambda obs: -goal - obs).tolist() == [-400.0] * 4
    assert episode_of(ES_CORNERS, tasks, torch.zeros_like).tolist() == [-400.0] * 4  # the origin is √8 away


def test_es_maml_corners_pay_from_2_away_and_end_at_the_walls():
    start, push = begin(ES_CORNERS, tasks_at("goal", [[2.0, 2.0]]))
    assert not start.any()
    rewards = [push(0.1, 0.1).reward.item() for _ in range(6)]  # 2 · 1.5² = 4.5 > 4, 2 · 1.4² = 3.92
    assert rewards == pytest.approx([-4.0] * 5 + [-3.92], abs=ATOL)
    for _ in range(60):
        step = push(5.0, -0.3)
    assert step.obs.tolist() == [[[5.0, -5.0]]]
    assert step.reward.item() == -4.0


def test_pearl_rewards_one_minus_distance_within_the_goal_radius():
    obs, push = begin(PEARL, tasks_at("angle", [0.0, math.pi / 2]))
    assert obs.abs().max().item() == 0.0
    steps = [push(1.0, 0.0) for _ in range(20)]
    reward = torch.stack([step.reward[:, 0] for step in steps])  # [T, K]
    # Goal (1, 0), x = 0.1 (t + 1): paid at x = 0.9, 1.0, 1.1; 0.8 and 1.2 lie on the radius, up to rounding.
    torch.testing.assert_close(reward[8:11, 0], torch.tensor([0.9, 1.0, 0.9]), atol=ATOL, rtol=0.0)
    assert reward[:7, 0].tolist() == [0.0] * 7
    assert reward[12:, 0].tolist() == [0.0] * 8
    assert reward[:, 1].tolist() == [0.0] * 20  # goal (0, 1) is never near
    assert [step.truncated.all().item() for step in steps] == [False] * 19 + [True]
    assert not any(step.terminated.any() for step in steps)


def test_pearl_goals_lie_on_the_half_circle():
    inside = UniformSampler().sample({}, PEARL.tasks, "train", 50, Streams(0))
    outside = UniformSampler().sample({}, PEARL.tasks, "ood", 50, Streams(0))
    for tasks, sign in ((inside, 1.0), (outside, -1.0)):
        _, push = begin(PEARL, tasks)
        angle = tasks.params["angle"].float()[:, None]  # [K, B]
        x, y = angle.cos(), angle.sin()
        assert (sign * y >= 0.0).all()
        for _ in range(10):
            step = push(x / 10.0, y / 10.0)
        torch.testing.assert_close(step.reward, torch.ones(50, 1), atol=ATOL, rtol=0.0)  # there: 1 minus the distance
