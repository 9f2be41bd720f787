"""All robot suites: that they run, and that they are what their sources say."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco")

from robots import SEED, assert_same, make, run, tasks_with

from drml.core.errors import InputError
from drml.envs.api import EnvOptions
from drml.suites.registry import SUITES as ALL
from drml.suites.robots import ant, half_cheetah, hopper, humanoid, reacher, walker2d
from drml.tasks.samplers.stratified import StratifiedSampler

ROBOTS = (half_cheetah, ant, hopper, walker2d, humanoid, reacher)
SUITES = [suite for robot in ROBOTS for suite in robot.SUITES]


def sampled(suite, split, count=3):
    sampler = StratifiedSampler()
    return sampler.sample({}, suite.tasks, split, count, SEED["tasks"])


def env_of(suite):
    return suite.make(EnvOptions(threads=1))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_suites_tasks_run_in_its_environment(suite):
    env = env_of(suite)
    splits = ["train", "ood"] if any(p.out_of_distribution() for p in suite.tasks.params.values()) else ["train"]
    action = SEED["action"].uniform((3, 3, 2, suite.spec.action.size)) - 0.5
    for split in splits:
        obs = env.reset(sampled(suite, split), 2, SEED)
        for now in action:
            step = env.step(now)
            assert obs.shape == step.obs.shape == (3, 2, suite.spec.obs_size)
            assert step.obs.isfinite().all()
            assert step.reward.isfinite().all()
            assert not step.diverged.any()
    assert env.simulation.model.nu == suite.spec.action.size
    assert env.variant.parameters == set(suite.tasks.params)


def test_all_are_listed():
    assert {suite.name for suite in SUITES} <= set(ALL)
    assert len({suite.name for suite in SUITES}) == len(SUITES)


def test_suites_have_their_published_constants():
    found = {}
    for suite in SUITES:
        v = env_of(suite).variant
        row = (v.horizon, suite.spec.obs_size, v.frame_skip, v.action_scale, v.progress, v.control_cost, v.alive)
        found[suite.name] = (*row, bool(v.healthy))
    robots = ("ant", "hopper", "walker2d", "humanoid", "reacher")
    assert {name: row for name, row in found.items() if name.startswith(robots)} == {
        "ant-dir-promp-v1": (200, 27, 5, 0.1, 1.0, 0.5, 1.0, True),
        "ant-dir-maml-rl-pytorch-v1": (100, 39, 5, 0.1, 1.0, 0.005, 0.05, True),
        "ant-dir-pearl-v1": (200, 27, 5, 1.0, 1.0, 0.5, 1.0, True),
        "ant-dir-varibad-v1": (200, 27, 5, 1.0, 1.0, 0.5, 1.0, True),
        "ant-dir2d-promp-v1": (200, 27, 5, 0.1, 1.0, 0.5, 1.0, True),
        "ant-dir2d-pearl-v1": (200, 27, 5, 1.0, 1.0, 0.5, 1.0, True),
        "ant-vel-maml-rl-pytorch-v1": (100, 39, 5, 0.1, 1.0, 0.005, 1.05, True),
        "ant-goal-promp-v1": (200, 29, 5, 0.1, 1.0, 0.1, 0.0, False),
        "ant-goal-pearl-v1": (200, 29, 5, 1.0, 1.0, 0.1, 0.0, False),
        "ant-goal-maml-rl-pytorch-v1": (100, 39, 5, 0.1, 1.0, 0.005, 4.05, True),
        "ant-broken-v1": (200, 29, 5, 0.1, 1.0, 0.0, 0.05, False),
        "ant-payload-v1": (200, 29, 5, 0.1, 1.0, 0.0, 0.05, False),
        "hopper-params-promp-v1": (200, 11, 4, 0.1, 1.0, 0.001, 1.0, True),
        "hopper-params-pearl-v1": (200, 11, 4, 1.0, 1.0, 0.001, 1.0, True),
        "walker2d-params-promp-v1": (200, 17, 4, 0.1, 1.0, 0.001, 1.0, True),
        "walker2d-params-pearl-v1": (200, 17, 4, 1.0, 1.0, 0.001, 1.0, True),
        "walker2d-dir-promp-v1": (200, 17, 8, 0.1, 1.0, 0.001, 1.0, True),
        "walker2d-vel-promp-v1": (200, 17, 8, 0.1, 1.0, 0.001, 15.0, True),
        "humanoid-dir-promp-v1": (200, 270, 5, 0.1, 1.25, 0.1, 5.0, True),
        "humanoid-dir2d-promp-v1": (200, 270, 5, 0.1, 1.25, 0.1, 5.0, True),
        "humanoid-dir2d-pearl-v1": (200, 270, 5, 1.0, 1.25, 0.1, 5.0, True),
        "reacher-goal-v1": (50, 8, 2, 0.1, 1.0, 1.0, 0.0, False),
    }


def test_ant_goal_reward_by_hand():
    env = make(replace(ant.PROMP_GOALS, action_scale=1.0))
    env.reset(tasks_with(goal=[[1.0, 2.0], [-1.0, 0.0]]), 1, SEED)
    step = env.step(torch.full((2, 1, 8), 0.5))
    place = env.simulation.field("xpos")[:, 3:5]
    expected = -np.abs(place - [[1.0, 2.0], [-1.0, 0.0]]).sum(1) - 0.1 * 8 * 0.25
    np.testing.assert_allclose(step.reward[:, 0].numpy(), expected, rtol=1e-6)
    # with RK4 the torso's derived place is that of the last stage: within 1e-2 m of the state's, at 1 m/s and 0.01 s
    np.testing.assert_allclose(place, env.simulation.qpos[:, :2], atol=1e-2)


def test_ant_observes_its_torso():
    env = make(ant.MAML_DIRECTIONS)
    obs = env.reset(tasks_with(direction=[1.0]), 3, SEED)[0]
    w, x, y, z = (obs[:, 1:5] / obs[:, 1:5].norm(dim=1, keepdim=True)).unbind(1)
    expected = torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], 1)  # first row
    torch.testing.assert_close(obs[:, 27:30], expected, rtol=0, atol=1e-6)  # float32
    assert np.allclose(obs[:, 36:39].numpy(), env.simulation.qpos[:, :3], atol=1e-6)


def test_a_humanoids_motors_reach_a_fraction():
    env = make(humanoid.PROMP_DIRECTIONS)
    env.reset(tasks_with(direction=[1.0]), 1, SEED)
    env.step(torch.tensor([1.0, -5.0, 10.0, 99.0, -99.0] + [0.0] * 12).expand(1, 1, 17))
    np.testing.assert_allclose(env.simulation.ctrl[0, :5], [0.04, -0.2, 0.4, 0.4, -0.4], rtol=1e-6)


def test_two_directions_are_forward_and_backward():
    assert ant.TWO_WAYS.all_tasks().params["direction"].tolist() == [-1.0, 1.0]
    angles = next(s for s in SUITES if s.name == "ant-dir-varibad-v1").tasks.all_tasks().params["angle"]
    assert angles.tolist() == [-1.0, 1.0]


def test_a_broken_motor_is_held_out_as_out_of_distribution():
    for name, held_out in {"half-cheetah-broken-v1": [0.0], "ant-broken-v1": [0.0, 1.0]}.items():
        tasks = ALL[name].tasks
        assert tasks.parameters("ood")["broken"].quantile(np.array([[0.0], [0.99]]))[[0, -1]].tolist() == [
            held_out[0],
            held_out[-1],
        ]
        assert not set(held_out) & set(tasks.all_tasks().params["broken"].tolist())


def test_definitions_are_exact():
    assert ALL["humanoid-dir2d-promp-v1"].definition == {
        "robot": "humanoid.xml, 5 physics steps per control step",
        "reward": "1.25 (v_x cos(angle) + v_y sin(angle)) + 5 − 0.1 ‖u‖²",
        "place p": "the centre of mass's x and y; v = Δp / Δt over the control step",
        "control u": "0.4 clip(0.1 action, −1, 1)",
        "observation": "qpos[2:24], qvel[0:23], cinert[10:140], cvel[6:84], qfrc_actuator[6:23]",
        "first state": "qpos = the model file's + 0.01 U(−1, 1), qvel = 0.01 U(−1, 1)",
        "end": "after 200 steps, and as soon as it fails that 1 < qpos[2] < 2",
    }
    payload = ALL["half-cheetah-payload-v1"].definition
    assert payload["payload (task)"] == "body_mass[1] increased by it"
    assert payload["reward"] == "v_x − 0.05 ‖u‖²"
    assert payload["end"] == "after 200 steps"
    assert ALL["hopper-params-pearl-v1"].definition["friction (task)"] == "geom_friction[0:5] multiplied by it"


def test_ood_needs_a_range():
    with pytest.raises(InputError, match="declares an ood range"):
        ALL["reacher-goal-v1"].tasks.parameters("ood")


@pytest.mark.parametrize("name", ["hopper-params-pearl-v1", "ant-dir2d-pearl-v1", "humanoid-dir2d-pearl-v1"])
def test_neither_threads_nor_neighbours_change_a_task(name):
    suite = ALL[name]
    tasks, action = sampled(suite, "train", 4), 2.0 * SEED["action"].uniform((40, 4, 3, suite.spec.action.size)) - 1.0
    some = torch.tensor([3, 1])
    together = run(env_of(suite), tasks, 3, action)
    in_threads = run(suite.make(EnvOptions(threads=2)), tasks, 3, action)
    alone = run(env_of(suite), tasks.select(some), 3, action[:, some])
    for step, threaded, apart in zip(together, in_threads, alone, strict=True):
        assert_same(step, threaded)
        assert_same(step, apart, index=some)
    assert any(bool(step.terminated.any()) for step in together)


def test_with_a_mujoco_that_is_too_old_the_line_says_which_one_serves(monkeypatch):
    for module in ("drml.envs.mujoco.robot_env", "drml.envs.mujoco.simulation"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mujoco.batch", None)
    with pytest.raises(InputError, match=r"needs MuJoCo 3.17 or newer, as mujoco.batch is not there.*one of its own"):
        env_of(half_cheetah.SUITES[0])


def test_a_mixture_of_two_mujocos_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "drml.envs.mujoco.robot_env")

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "drml.envs.mujoco.robot_env":
                raise OSError("libmujoco.so.4.0.0: cannot open shared object file")

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(InputError, match=r"libmujoco.so.4.0.0.*two versions of it were mixed\. Install"):
        env_of(half_cheetah.SUITES[0])
