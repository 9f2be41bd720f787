import numpy as np
import pytest

pytest.importorskip("mujoco")

import mujoco
from robots import SEED, directions, make

from drml.envs.mujoco.simulation import Simulation
from drml.suites.robots import ant


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


def test_derived_fields_agree_with_a_single_simulation():
    model = mujoco.MjModel.from_xml_path(str(ant.ROBOT.model_path))
    ours, data = Simulation(ant.ROBOT.model_path, 3, 1, 5, {"xpos", "qpos"}), mujoco.MjData(model)
    assert ours.derived == {"xpos"}
    qpos, qvel = np.tile(ours.init_qpos, (3, 1)), np.zeros((3, 14))
    qpos[:, 0] = 1.0, 2.0, 3.0
    ours.reset(None, qpos, qvel)
    assert ours.field("xpos")[:, 3].tolist() == [1.0, 2.0, 3.0]  # the torso's, at once
    data.qpos[:], data.ctrl[:] = qpos[1], 0.5
    ours.ctrl[:] = 0.5
    mujoco.mj_forward(model, data)
    for _ in range(20):
        ours.step()
        mujoco.mj_step(model, data, nstep=5)
        assert np.array_equal(ours.field("xpos")[1], data.xpos.flatten())
    ours.reset(np.array([2]), qpos[:1], qvel[:1])
    assert ours.field("xpos")[2, 3] == 1.0
    assert np.array_equal(ours.field("xpos")[1], data.xpos.flatten())
