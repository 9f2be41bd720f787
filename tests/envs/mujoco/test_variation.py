"""Robots whose physics a task changes, beside one-model simulations that have these constants from the start."""

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco")

import mujoco
from robots import SEED, actions, make, run, tasks_with

from drml.envs.api import EnvOptions
from drml.envs.mujoco.variation import increased_by, multiplied_by, zero_at
from drml.suites.robots import ant, half_cheetah, hopper, walker2d
from drml.tasks.samplers.stratified import StratifiedSampler

SUITES = {suite.name: suite for robot in (half_cheetah, ant, hopper, walker2d) for suite in robot.SUITES}
MULTIPLIED = {"mass": "body_mass", "inertia": "body_inertia", "damping": "dof_damping", "friction": "geom_friction"}


def sampled(suite, count, stream="tasks"):
    sampler = StratifiedSampler()
    return sampler.sample({}, suite.tasks, "train", count, SEED[stream])


def one_model(suite, params):
    """Return the model of one task, changed by hand."""
    model = mujoco.MjModel.from_xml_path(str(suite.make(EnvOptions(threads=1)).variant.robot.model_path))
    for name, value in params.items():
        if name in MULTIPLIED:
            field = getattr(model, MULTIPLIED[name])
            field[len(field) - len(value) :] *= value  # all rows but the first: the world's or the root's
        elif name == "broken":
            model.actuator_gear[int(value)] = 0.0
        elif name == "payload":
            model.body_mass[1] += value
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


@pytest.mark.parametrize(
    "name",
    [
        "hopper-params-promp-v1",
        "walker2d-params-promp-v1",
        "half-cheetah-broken-v1",
        "half-cheetah-payload-v1",
        "ant-broken-v1",
        "ant-payload-v1",
    ],
)
def test_varied_robots_move_like_models_of_their_own(name):
    suite = SUITES[name]
    env, tasks = suite.make(EnvOptions(threads=2)), sampled(suite, 3)
    env.reset(sampled(suite, 3, "other tasks"), 2, SEED)  # leaves nothing behind
    env.reset(tasks, 2, SEED)
    simulation = env.simulation
    models = [one_model(suite, {n: v[k].numpy() for n, v in tasks.params.items()}) for k in range(3)]
    all_data = [mujoco.MjData(models[i // 2]) for i in range(6)]
    control = actions(30, 6, simulation.model.nu).numpy()
    for i, data in enumerate(all_data):
        data.qpos[:], data.qvel[:] = simulation.qpos[i], simulation.qvel[i]
        if simulation.derived:
            mujoco.mj_forward(models[i // 2], data)  # as the simulation did, whose solver starts from its result
    for now in control:
        simulation.ctrl[:] = now
        assert not simulation.step().size
        for i, data in enumerate(all_data):
            data.ctrl[:] = now[i]
            mujoco.mj_step(models[i // 2], data, nstep=simulation.frame_skip)
            assert np.array_equal(simulation.qpos[i], data.qpos)
            assert np.array_equal(simulation.qvel[i], data.qvel)
    assert len(np.unique(simulation.qvel[:, -1])) == 6


def test_what_follows_from_the_constants_follows():
    suite = SUITES["hopper-params-promp-v1"]
    env, tasks = suite.make(EnvOptions(threads=1)), sampled(suite, 4)
    env.reset(tasks, 1, SEED)
    mass, original = env.simulation.batch.expand("body_mass"), env.simulation.model.body_mass
    np.testing.assert_array_equal(mass[:, 1:], original[1:] * tasks.params["mass"].numpy())
    total = env.simulation.batch.expand("body_subtreemass")[:, 0]
    np.testing.assert_allclose(total, mass.sum(1), rtol=1e-15)  # four terms, two roundings each way


def test_an_unchanged_robot_is_the_robot():
    ones = {"mass": (4,), "inertia": (4, 3), "damping": (3,), "friction": (5, 3)}
    tasks = tasks_with(**{name: np.ones((2, *shape)).tolist() for name, shape in ones.items()})
    action = actions(30, 2, 3, 3)
    varied = run(make(hopper.PROMP), tasks, 3, action)
    plain = run(make(replace(hopper.PROMP, varies=())), tasks, 3, action)
    for step, other in zip(varied, plain, strict=True):
        assert torch.equal(step.final_obs, other.final_obs)
        assert torch.equal(step.reward, other.reward)


def test_a_broken_motor_does_nothing():
    env = SUITES["half-cheetah-broken-v1"].make(EnvOptions(threads=1))
    tasks = tasks_with(broken=[2.0, 5.0])
    pushed = torch.zeros(2, 1, 6)
    pushed[0, 0, 2] = pushed[1, 0, 5] = 10.0
    env.reset(tasks, 1, SEED)
    at_rest = env.step(torch.zeros(2, 1, 6))
    env.reset(tasks, 1, SEED)
    step = env.step(pushed)
    assert torch.equal(step.obs, at_rest.obs)
    torch.testing.assert_close(at_rest.reward - step.reward, torch.full((2, 1), 0.05))  # it is charged for all the same
    env.reset(tasks, 1, SEED)
    assert not torch.equal(env.step(pushed.flip(0)).obs, at_rest.obs)


def test_changes_by_hand():
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert multiplied_by(rows, np.array([[[2.0, 1.0], [1.0, 0.5]]])).tolist() == [[[2.0, 2.0], [3.0, 2.0]]]
    assert increased_by(np.array([5.0]), np.array([0.0, 2.0])).tolist() == [[5.0], [7.0]]
    assert zero_at(rows, np.array([1.0, 0.0])).tolist() == [[[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [3.0, 4.0]]]
    assert zero_at(np.array([1.0, 2.0, 3.0]), np.array([2.0])).tolist() == [[1.0, 2.0, 0.0]]


def test_factors_lie_where_they_were_published():
    params = SUITES["walker2d-params-promp-v1"].tasks.params
    assert {name: (p.shape, round(p.low, 6), p.high) for name, p in params.items()} == {
        "mass": ((7,), 0.296296, 3.375),  # 1.5^3 = 3.375
        "inertia": ((7, 3), 0.296296, 3.375),
        "damping": ((6,), 0.455166, pytest.approx(2.197)),  # 1.3^3 = 2.197
        "friction": ((8, 3), 0.296296, 3.375),
    }
    model = mujoco.MjModel.from_xml_path(str(walker2d.ROBOT.model_path))
    assert (model.nbody - 1, model.nv - 3, model.ngeom) == (7, 6, 8)
    assert model.dof_damping[:3].tolist() == [0.0] * 3
    assert (model.dof_damping[3:] > 0.0).all()
