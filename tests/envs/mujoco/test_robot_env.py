import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco")

from mujoco import batch
from robots import DIRECTION, SEED, actions, assert_same, directions, make, run, tasks_with

from drml.core.errors import InputError
from drml.envs.api import EnvOptions
from drml.suites.robots import hopper


def test_first_states_are_gymnasiums():
    env = make()
    env.reset(directions(*[1.0] * 20), 20, SEED)
    qpos, qvel = env.simulation.qpos, env.simulation.qvel
    # 3600 draws: U(-0.1, 0.1) comes within 1e-3 of both ends with probability 1 - 2e-8;
    # a standard deviation has error 0.1 / sqrt(2 * 3600) = 1.2e-3, four of which are 5e-3
    assert -0.1 <= qpos.min() < -0.099
    assert 0.099 < qpos.max() <= 0.1
    assert abs(qvel.std() - 0.1) < 5e-3
    assert len(np.unique(qpos, axis=0)) == 400


def test_episodes_end_together_at_the_horizon():
    env = make(replace(DIRECTION, horizon=3))
    steps = run(env, directions(1.0, -1.0), 2, actions(7, 2, 2, 6))
    assert [bool(step.truncated.all()) for step in steps] == [False, False, True, False, False, True, False]
    assert not any(step.terminated.any() or step.diverged.any() for step in steps)
    for step in (steps[2], steps[5]):
        assert step.obs[..., :8].abs().max() <= 0.1  # the next episode's first state
        assert not torch.equal(step.obs, step.final_obs)
    assert not torch.equal(steps[2].obs, steps[5].obs)  # each episode has its own
    assert torch.equal(steps[1].obs, steps[1].final_obs)


def test_final_obs_is_what_an_unending_episode_shows():
    action = actions(3, 1, 2, 6)
    ending = run(make(replace(DIRECTION, horizon=3)), directions(1.0), 2, action)
    unending = run(make(), directions(1.0), 2, action)
    assert torch.equal(ending[2].final_obs, unending[2].obs)
    assert torch.equal(ending[2].reward, unending[2].reward)


def test_threads_change_nothing():
    variant = replace(DIRECTION, horizon=20)
    action = actions(30, 4, 4, 6)
    one, two = (run(make(variant, threads), directions(1.0, -1.0, 1.0, -1.0), 4, action) for threads in (1, 2))
    for step, other in zip(one, two, strict=True):
        assert_same(step, other)


def test_a_task_does_not_depend_on_its_neighbours():
    variant = replace(DIRECTION, horizon=8)
    action, tasks = actions(20, 4, 3, 6), directions(1.0, -1.0, 1.0, -1.0, first_id=10)
    some = torch.tensor([3, 1])
    together = run(make(variant), tasks, 3, action)
    alone = run(make(variant), tasks.select(some), 3, action[:, some])
    for step, other in zip(together, alone, strict=True):
        assert_same(step, other, index=some)


def test_returned_tensors_are_left_alone():
    env = make(replace(DIRECTION, horizon=2))
    first = env.reset(directions(1.0), 2, SEED)
    kept = [first]
    copies = [first.clone()]
    for action in actions(5, 1, 2, 6):
        step = env.step(action)
        told = [value for value in vars(step).values() if value is not None]  # robots say nothing of success
        kept += told
        copies += [value.clone() for value in told]
    assert all(torch.equal(value, copy) for value, copy in zip(kept, copies, strict=True))


def break_velocity(env, action):
    env.simulation.qvel[4] = 1e12  # copy 1 of task 1


def break_action(env, action):
    action[1, 1, 2] = torch.nan


@pytest.mark.parametrize("break_one", [break_velocity, break_action])
def test_a_broken_simulation_is_flagged_in_its_step(break_one):
    sound_steps = run(make(), directions(1.0, -1.0), 3, actions(12, 2, 3, 6))
    env, steps = make(), []
    env.reset(directions(1.0, -1.0), 3, SEED["reset"])
    for moment, action in enumerate(actions(12, 2, 3, 6)):
        if moment == 5:
            break_one(env, action)
        steps.append(env.step(action))

    broken = torch.zeros(2, 3, dtype=torch.bool)
    broken[1, 1] = True
    for moment, (step, sound) in enumerate(zip(steps, sound_steps, strict=True)):
        assert torch.equal(step.diverged, broken if moment == 5 else torch.zeros_like(broken))
        assert torch.equal(step.truncated, step.diverged)
        assert not step.terminated.any()
        assert_same(step, sound, index=~broken, other_index=~broken)
    assert steps[5].reward[1, 1] == 0.0
    assert torch.equal(steps[5].final_obs[1, 1], sound_steps[4].obs[1, 1])  # the last sound observation
    assert steps[5].obs[1, 1, :8].abs().max() <= 0.1  # a fresh episode
    assert all(bool(value.isfinite().all()) for step in steps for value in (step.obs, step.final_obs, step.reward))


def test_an_observation_that_is_not_finite_is_flagged(monkeypatch):
    env = make()
    first = env.reset(directions(1.0), 2, SEED)

    def step_silently():
        env.simulation.qvel[1, 3] = np.inf
        return np.empty(0, np.intp)

    monkeypatch.setattr(env.simulation, "step", step_silently)
    step = env.step(actions(1, 2, 6))
    assert step.diverged.tolist() == [[False, True]]
    assert torch.equal(step.final_obs[0, 1], first[0, 1])
    assert step.obs.isfinite().all()


def test_an_error_inside_mujoco_is_flagged(monkeypatch):
    env = make()
    env.reset(directions(1.0), 3, SEED)

    def fail(self, nstep):
        raise batch.SimulationError(np.array([2]), "stack overflow")

    monkeypatch.setattr(batch.Batch, "step", fail)
    assert env.step(actions(1, 3, 6)).diverged.tolist() == [[False, False, True]]


FALLING = replace(hopper.PROMP, action_scale=1.0, varies=())


def fall(copies=8, steps=60):
    """Return the steps of hoppers under large random actions, all of which fall within them."""
    return run(make(FALLING), tasks_with(mass=[0.0]), copies, actions(steps, 1, copies, 3))


def test_a_fall_ends_the_episode():
    steps = fall()
    fallen = torch.stack([step.terminated for step in steps])  # [T, 1, B]
    assert fallen.any(0).all()
    for step in steps:
        height, lean = step.final_obs[..., 0], step.final_obs[..., 1]
        assert torch.equal(step.terminated, (height <= 0.7) | (lean.abs() >= 0.2))
        assert not (step.truncated | step.diverged).any()
        assert bool(((step.obs == step.final_obs).all(-1) ^ step.terminated).all())  # obs differs where one fell
        # the next episode's first state: 1.25 m and rest, up to U(-0.005, 0.005)
        upright = step.obs[step.terminated] - torch.tensor([1.25] + [0.0] * 10)
        assert (upright.abs() <= 0.0051).all()


def test_a_fall_leaves_the_others_alone():
    steps, unhurt = fall(), run(make(replace(FALLING, healthy=())), tasks_with(mass=[0.0]), 8, actions(60, 1, 8, 3))
    standing = torch.ones(1, 8, dtype=torch.bool)
    for step, other in zip(steps, unhurt, strict=True):
        assert torch.equal(step.reward[standing], other.reward[standing])
        assert torch.equal(step.final_obs[standing], other.final_obs[standing])
        standing &= ~step.terminated
        assert torch.equal(step.obs[standing], other.obs[standing])


def test_a_fall_at_the_horizon_is_a_fall():
    first = next(t for t, step in enumerate(fall()) if step.terminated.any())
    step = run(make(replace(FALLING, horizon=first + 1)), tasks_with(mass=[0.0]), 8, actions(first + 1, 1, 8, 3))[-1]
    assert step.terminated.any()
    assert torch.equal(step.truncated, ~step.terminated)


def test_a_diverged_robot_has_not_fallen():
    env = make(FALLING)
    env.reset(tasks_with(mass=[0.0]), 3, SEED)
    env.simulation.qvel[1] = 1e12
    step = env.step(actions(1, 3, 3))
    assert step.diverged.tolist() == step.truncated.tolist() == [[False, True, False]]
    assert not step.terminated.any()


def test_a_missing_parameter_is_named():
    with pytest.raises(InputError, match=r"half_cheetah tasks need the parameter 'direction', got \['velocity'\]"):
        make().reset(tasks_with(velocity=[1.0]), 1, SEED)
    with pytest.raises(InputError, match="hopper tasks need the parameter 'damping'"):
        make(hopper.PROMP).reset(tasks_with(mass=[[1.0] * 4], inertia=[1.0], friction=[1.0]), 1, SEED)


def test_an_action_of_another_shape_is_refused():
    env = make()
    env.reset(directions(1.0), 2, SEED)
    with pytest.raises(InputError, match=r"action has shape \[1, 3, 6\], expected \[1, 2, 6\]"):
        env.step(torch.zeros(1, 3, 6))


def test_suites_without_mujoco(monkeypatch):
    for module in ("half_cheetah", "robot", "robot_env", "simulation"):
        monkeypatch.delitem(sys.modules, f"drml.envs.mujoco.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    suite = importlib.import_module("drml.suites.robots.half_cheetah").SUITES[0]
    with pytest.raises(InputError, match=r'^the suite needs MuJoCo: pip install "drml\[mujoco\]"$'):
        suite.make(EnvOptions())
