import importlib
import sys
import types

import numpy as np
import pytest
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Step, Tasks
from drml.envs.api import EnvOptions
from drml.envs.mujoco.half_cheetah import SUITES, HalfCheetah, Variant

mujoco = pytest.importorskip("mujoco")
mujoco_batch = pytest.importorskip("mujoco.batch")

SEED = Streams(7)
DIRECTION = Variant("direction", horizon=100, action_scale=1.0)


def directions(*values, first_id=0):
    target = torch.tensor(values, dtype=torch.float64)
    return Tasks({"direction": target}, torch.arange(first_id, first_id + len(values)))


def make(variant=DIRECTION, threads=1):
    return HalfCheetah(variant, EnvOptions(threads=threads))


def actions(*shape):
    return SEED["action"].uniform(shape) * 2.0 - 1.0


def run(env, tasks, copies, action):
    """Return the steps taken under actions [T, K, B, A], from a reset."""
    env.reset(tasks, copies, SEED["reset"])
    return [env.step(a) for a in action]


def assert_same(step: Step, other: Step, index=slice(None), other_index=slice(None)):
    for name, value in vars(step).items():
        assert torch.equal(value[index], vars(other)[name][other_index]), name


@pytest.fixture
def gymnasium_cheetah(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs there that an attribute of this model is deprecated
    monkeypatch.setitem(sys.modules, "imageio", types.ModuleType("imageio"))  # for its viewer's screenshots alone
    env = pytest.importorskip("gymnasium").make("HalfCheetah-v5").unwrapped
    yield env
    env.close()


@pytest.mark.parametrize("magnitude", [0.1, 1.0])
def test_moves_like_gymnasium(gymnasium_cheetah, magnitude):
    theirs = gymnasium_cheetah
    theirs.reset(seed=3)
    ours = make(Variant("direction", horizon=1000, action_scale=1.0, control_cost=0.1))  # v5 charges 0.1
    ours.reset(directions(1.0), 1, SEED)
    for action in magnitude * actions(50, 1, 1, 6):
        ours.simulation.qpos[0], ours.simulation.qvel[0] = theirs.data.qpos, theirs.data.qvel
        obs, reward, *_ = theirs.step(action.numpy().reshape(6))
        step = ours.step(action)
        # Both models agree to one unit in the last place (4e-16 of a mass) and accelerations reach 1e4 m/s^2, so a
        # substep of 0.01 s adds about 1e4 * 0.01 * 4e-16 = 4e-14 m/s; contacts may multiply it a hundredfold within the
        # five substeps. A constant that is off by 1 % shows at 1e-3.
        np.testing.assert_allclose(ours.simulation.qpos[0], theirs.data.qpos, rtol=0, atol=1e-11)
        np.testing.assert_allclose(ours.simulation.qvel[0], theirs.data.qvel, rtol=0, atol=1e-11)
        # float32: half a unit in the last place of |obs| < 32 and |reward| < 16
        np.testing.assert_allclose(step.obs[0, 0].numpy(), obs, rtol=0, atol=2e-6)
        np.testing.assert_allclose(step.reward.item(), reward, rtol=0, atol=1e-6)


def test_stays_with_gymnasium_for_fifty_steps(gymnasium_cheetah):
    theirs = gymnasium_cheetah
    theirs.reset(seed=4)
    ours = make()
    ours.reset(directions(1.0), 1, SEED)
    ours.simulation.qpos[0], ours.simulation.qvel[0] = theirs.data.qpos, theirs.data.qvel
    for action in 0.1 * actions(50, 1, 1, 6):
        theirs.step(action.numpy().reshape(6))
        ours.step(action)
    # The 4e-14 of one step, grown by a contact's instability: at most tenfold per ten steps under these small actions.
    np.testing.assert_allclose(ours.simulation.qpos[0], theirs.data.qpos, rtol=0, atol=1e-8)
    np.testing.assert_allclose(ours.simulation.qvel[0], theirs.data.qvel, rtol=0, atol=1e-8)


def test_observation_is_joint_state_and_torso_position():
    env = make(Variant("direction", horizon=9, action_scale=1.0, observes_position=True))
    obs = env.reset(directions(1.0, -1.0), 3, SEED)
    for k, b in ((0, 0), (1, 2)):
        qpos, qvel = env.pose(k, b).numpy(), env.simulation.qvel[3 * k + b]
        expected = np.concatenate([qpos[1:], qvel, [qpos[0], 0.0, qpos[1] + 0.7]])
        assert np.array_equal(obs[k, b].numpy(), expected.astype(np.float32))


def test_direction_reward_is_velocity_minus_cost():
    env = make(Variant("direction", horizon=9, action_scale=0.1))
    env.reset(directions(1.0, -1.0), 2, SEED)
    before = env.simulation.qpos[:, 0].copy()
    step = env.step(torch.tensor([2.0, -3.0, 20.0, -20.0, 0.0, 10.0]).expand(2, 2, 6))
    control = [0.2, -0.3, 1.0, -1.0, 0.0, 1.0]  # scaled by 0.1, then clipped
    np.testing.assert_allclose(env.simulation.ctrl, np.tile(control, (4, 1)), rtol=1e-7)
    velocity = (env.simulation.qpos[:, 0] - before) / 0.05
    expected = np.array([1.0, 1.0, -1.0, -1.0]) * velocity - 0.05 * (0.04 + 0.09 + 3.0)
    np.testing.assert_allclose(step.reward.reshape(4).numpy(), expected, rtol=0, atol=1e-6)  # float32, |r| < 8


def test_velocity_reward_is_largest_at_the_target():
    env = make(Variant("velocity", horizon=9, action_scale=1.0))
    tasks = Tasks({"velocity": torch.tensor([0.0, 2.5], dtype=torch.float64)}, torch.arange(2))
    env.reset(tasks, 2, SEED)
    before = env.simulation.qpos[:, 0].copy()
    step = env.step(torch.full((2, 2, 6), -0.5))
    velocity = (env.simulation.qpos[:, 0] - before) / 0.05
    expected = -np.abs(velocity - np.array([0.0, 0.0, 2.5, 2.5])) - 0.05 * 6 * 0.25
    np.testing.assert_allclose(step.reward.reshape(4).numpy(), expected, rtol=0, atol=1e-6)  # float32, |r| < 8


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
    env = make(Variant("direction", horizon=3, action_scale=1.0))
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
    ending = run(make(Variant("direction", horizon=3, action_scale=1.0)), directions(1.0), 2, action)
    unending = run(make(), directions(1.0), 2, action)
    assert torch.equal(ending[2].final_obs, unending[2].obs)
    assert torch.equal(ending[2].reward, unending[2].reward)


def test_threads_change_nothing():
    variant = Variant("direction", horizon=20, action_scale=1.0)
    action = actions(30, 4, 4, 6)
    one, two = (run(make(variant, threads), directions(1.0, -1.0, 1.0, -1.0), 4, action) for threads in (1, 2))
    for step, other in zip(one, two, strict=True):
        assert_same(step, other)


def test_a_task_does_not_depend_on_its_neighbours():
    variant = Variant("direction", horizon=8, action_scale=1.0)
    action, tasks = actions(20, 4, 3, 6), directions(1.0, -1.0, 1.0, -1.0, first_id=10)
    some = torch.tensor([3, 1])
    together = run(make(variant), tasks, 3, action)
    alone = run(make(variant), tasks.select(some), 3, action[:, some])
    for step, other in zip(together, alone, strict=True):
        assert_same(step, other, index=some)


def test_returned_tensors_are_left_alone():
    env = make(Variant("direction", horizon=2, action_scale=1.0))
    first = env.reset(directions(1.0), 2, SEED)
    kept = [first]
    copies = [first.clone()]
    for action in actions(5, 1, 2, 6):
        step = env.step(action)
        kept += list(vars(step).values())
        copies += [value.clone() for value in vars(step).values()]
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


def test_a_breakdown_is_returned_and_leaves_no_trace_elsewhere(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    env = make(threads=2)
    env.reset(directions(1.0, -1.0), 20, SEED)
    env.simulation.qvel[::7] = 1e12
    assert env.simulation.step().tolist() == list(range(0, 40, 7))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    log = mujoco.MjLogConfig.get()
    assert (log.logto_console, log.logto_file, log.logfile) == (True, True, "MUJOCO_LOG.TXT")  # MuJoCo's own defaults


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


def test_tasks_are_the_published_ones():
    units, ids = np.array([[0.0], [0.75]]), torch.arange(2)
    by_name = {suite.name: suite.tasks for suite in SUITES}
    direction = by_name["half-cheetah-dir-promp-v1"].tasks(units, "test", ids)
    assert direction.params["direction"].tolist() == [-1.0, 1.0]
    beyond = by_name["half-cheetah-vel-maml-v1"].tasks(units, "ood", ids)  # U[0, 2], so 2 .. 3 is out of distribution
    assert beyond.params["velocity"].tolist() == [2.0, 2.75]
    assert by_name["half-cheetah-vel-pearl-v1"].describe().startswith("velocity  []  Uniform(0, 3)  ood Uniform(3, 4)")


def test_an_error_inside_mujoco_is_flagged(monkeypatch):
    env = make()
    env.reset(directions(1.0), 3, SEED)

    def fail(batch, nstep):
        raise mujoco_batch.SimulationError(np.array([2]), "stack overflow")

    monkeypatch.setattr(mujoco_batch.Batch, "step", fail)
    assert env.step(actions(1, 3, 6)).diverged.tolist() == [[False, False, True]]


def test_bad_input_is_refused():
    env = make()
    with pytest.raises(InputError, match="need the parameter 'direction'"):
        env.reset(Tasks({"goal": torch.zeros(1)}, torch.arange(1)), 1, SEED)
    with pytest.raises(InputError, match=r"action has shape \[1, 2, 6\], expected \[0, 0, 6\]"):
        env.step(actions(1, 2, 6))


def test_suites_without_mujoco(monkeypatch):
    name = "drml.envs.mujoco.half_cheetah"
    for module in (name, "drml.envs.mujoco.simulation"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    suite = importlib.import_module(name).SUITES[0]
    with pytest.raises(InputError, match=r'^the suite needs MuJoCo: pip install "drml\[mujoco\]"$'):
        suite.make(EnvOptions())


def test_suites_have_their_published_constants():
    found = {
        suite.name: (suite.spec.horizon, suite.spec.obs_size, suite.make(EnvOptions(threads=1)).variant.action_scale)
        for suite in SUITES
    }
    assert found == {
        "half-cheetah-dir-promp-v1": (100, 17, 0.1),
        "half-cheetah-dir-promp-h200-v1": (200, 17, 0.1),
        "half-cheetah-dir-maml-v1": (200, 20, 0.1),
        "half-cheetah-dir-maml-rl-pytorch-v1": (100, 20, 0.1),
        "half-cheetah-dir-varibad-v1": (200, 17, 1.0),
        "half-cheetah-vel-maml-v1": (200, 20, 0.1),
        "half-cheetah-vel-promp-v1": (100, 17, 0.1),
        "half-cheetah-vel-pearl-v1": (200, 17, 1.0),
    }


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suites_tasks_run_in_its_environment(suite):
    split = "ood" if "velocity" in suite.tasks.params else "train"
    tasks = suite.tasks.tasks(np.array([[0.0], [0.75]]), split, torch.arange(2))
    env = suite.make(EnvOptions(threads=1))
    obs = env.reset(tasks, 2, SEED)
    assert obs.shape == (2, 2, suite.spec.obs_size)
    assert env.step(actions(2, 2, suite.spec.action.size)).obs.shape == obs.shape
