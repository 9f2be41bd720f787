"""Each robot beside Gymnasium's own of version 5, step by step, where they share a definition."""

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco")
pytest.importorskip("gymnasium")

import gymnasium
import mujoco
from robots import DIRECTION, SEED, actions, directions, make, tasks_with

from drml.core.types import Tasks
from drml.envs.mujoco.goal import FORWARD
from drml.envs.mujoco.robot import Variant
from drml.suites.robots import ant, hopper, humanoid, reacher, walker2d

ONE = tasks_with(unused=[0.0])
NO_CONTACT_FORCES = {"contact_cost_weight": 0.0, "include_cfrc_ext_in_observation": False}


@dataclass
class Pair:
    """A variant of ours, and the environment of theirs that shares its definition."""

    variant: Variant
    theirs: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    tasks: Tasks = ONE
    state: slice = field(default_factory=lambda: slice(None))
    """Of their state, what ours has too."""
    observation: Callable = lambda obs: obs
    """Their observation as ours has it."""
    alive: float = 0.0
    """What they pay only where the robot is still healthy after the step, and ours always."""


def without_target(obs):
    """Return ours of (cos, sin, target, velocity, fingertip − target), without knowing the target."""
    return np.concatenate([obs[:4], obs[6:8], obs[8:] + obs[4:6]])


PAIRS = [
    Pair(replace(DIRECTION, control_cost=0.1), "HalfCheetah-v5", tasks=directions(1.0)),
    Pair(replace(ant.PEARL_DIRECTIONS, goal=FORWARD), "Ant-v5", NO_CONTACT_FORCES, alive=1.0),
    Pair(replace(hopper.PROMP, action_scale=1.0, varies=()), "Hopper-v5", alive=1.0),
    Pair(replace(walker2d.PROMP_PARAMS, action_scale=1.0, varies=()), "Walker2d-v5", alive=1.0),
    Pair(
        replace(humanoid.PROMP_DIRECTIONS, goal=FORWARD, action_scale=1.0),
        "Humanoid-v5",
        NO_CONTACT_FORCES,
        alive=5.0,
    ),
    Pair(replace(reacher.HIDDEN_GOALS, action_scale=1.0), "Reacher-v5", state=slice(2), observation=without_target),
]
ROBOTS = [pair.theirs for pair in PAIRS]


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs there that an attribute of the half-cheetah's model is deprecated
    monkeypatch.setitem(sys.modules, "imageio", types.ModuleType("imageio"))  # for a viewer's screenshots alone


def place_ours(env, pair, theirs):
    """Put ours into their state, the solver's first guess included."""
    simulation = env.simulation
    simulation.qpos[0] = theirs.data.qpos[pair.state]
    simulation.qvel[0] = theirs.data.qvel[pair.state]
    simulation.field("qacc_warmstart")[0] = theirs.data.qacc_warmstart[pair.state]


@pytest.mark.parametrize("magnitude", [0.1, 1.0])
@pytest.mark.parametrize("pair", PAIRS, ids=ROBOTS)
def test_moves_like_gymnasium(quiet, pair, magnitude):
    theirs, ours = gymnasium.make(pair.theirs, **pair.kwargs).unwrapped, make(replace(pair.variant, horizon=1000))
    seen, _ = theirs.reset(seed=3)
    tasks = tasks_with(goal=[seen[4:6].tolist()]) if pair.theirs == "Reacher-v5" else pair.tasks
    ours.reset(tasks, 1, SEED)
    starts = True
    for action in magnitude * actions(60, 1, 1, ours.spec.action.size):
        place_ours(ours, pair, theirs)
        if starts:
            ours.simulation.batch.forward()
            place_ours(ours, pair, theirs)
        limit = pair.variant.robot.motor_limit
        obs, reward, fallen, *_ = theirs.step(limit * action.numpy().reshape(-1))
        step = ours.step(action)
        starts = bool(step.terminated)
        assert bool(step.terminated) == fallen
        assert not step.diverged
        if not fallen:
            # The models agree to one unit in the last place (4e-16 of a mass) and accelerations reach 1e4 m/s^2, so a
            # substep of 0.01 s adds about 1e4 * 0.01 * 4e-16 = 4e-14 m/s; contacts may multiply it a hundredfold within
            # the five substeps. A constant that is off by 1 % shows at 1e-3.
            np.testing.assert_allclose(ours.simulation.qpos[0], theirs.data.qpos[pair.state], rtol=0, atol=1e-11)
            np.testing.assert_allclose(ours.simulation.qvel[0], theirs.data.qvel[pair.state], rtol=0, atol=1e-11)
        expected = pair.observation(obs)
        # float32: half a unit in the last place, 6e-8 of the number; torques of a humanoid reach 100
        np.testing.assert_allclose(step.final_obs[0, 0].numpy(), expected, rtol=1.2e-7, atol=2e-6)
        np.testing.assert_allclose(step.reward.item() - pair.alive * fallen, reward, rtol=1.2e-7, atol=1e-6)
        if fallen:
            theirs.reset()
    theirs.close()


@pytest.mark.parametrize("pair", PAIRS, ids=ROBOTS)
def test_stays_with_gymnasium(quiet, pair):
    theirs, ours = gymnasium.make(pair.theirs, **pair.kwargs).unwrapped, make(replace(pair.variant, horizon=1000))
    theirs.reset(seed=4)
    ours.reset(tasks_with(goal=[[0.1, 0.1]]) if pair.theirs == "Reacher-v5" else pair.tasks, 1, SEED)
    place_ours(ours, pair, theirs)
    for action in 0.1 * actions(20, 1, 1, ours.spec.action.size):
        theirs.step(pair.variant.robot.motor_limit * action.numpy().reshape(-1))
        ours.step(action)
    # The 4e-14 of one step, grown by a contact's instability: at most tenfold per four steps under these small actions.
    np.testing.assert_allclose(ours.simulation.qpos[0], theirs.data.qpos[pair.state], rtol=0, atol=1e-8)
    np.testing.assert_allclose(ours.simulation.qvel[0], theirs.data.qvel[pair.state], rtol=0, atol=1e-8)


MODELS = {"half_cheetah": "half_cheetah", "ant": "ant", "hopper": "hopper", "walker2d": "walker2d_v5"}
MODELS |= {"humanoid": "humanoid"}  # theirs has two tendons, which pull at nothing; the reacher's has a target
FELT = ("opt.", "body_mass", "body_inertia", "body_ipos", "body_iquat", "body_pos", "body_quat", "jnt_", "dof_")
FELT += ("qpos0", "qpos_spring", "geom_type", "geom_con", "geom_friction", "geom_sol", "geom_margin", "geom_pos")
FELT += ("geom_quat", "actuator_")


@pytest.mark.parametrize(("ours", "theirs"), MODELS.items(), ids=list(MODELS))
def test_models_are_equal_in_all_that_is_felt(quiet, ours, theirs):
    folder = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    mine = mujoco.MjModel.from_xml_path(str(ant.ROBOT.model_path.with_name(f"{ours}.xml")))
    other = mujoco.MjModel.from_xml_path(str(folder / f"{theirs}.xml"))
    names = [name for name in dir(mine) if name.startswith(FELT)] + ["timestep", "gravity", "integrator", "solver"]
    compared = 0
    for name in [*names, "iterations", "cone"]:
        owners = (mine, other) if hasattr(mine, name) else (mine.opt, other.opt)
        a, b = (np.asarray(getattr(owner, name)) for owner in owners)
        if a.dtype.kind in "fiu":
            # theirs states the half-cheetah's total mass, ours the density that gives it: both are rounded to 1e-16,
            # and what follows through the robot's nine degrees of freedom adds up some tens of roundings
            np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15, err_msg=name)
            compared += 1
    assert compared > 60
    np.testing.assert_array_equal(mine.geom_size[1:], other.geom_size[1:])  # the floor's is that of its picture


def test_first_states_are_gymnasiums():
    # 13 numbers of 400 robots: U(-1, 1) comes within 1e-2 of both ends with probability 1 - 2 (0.995^5200) = 1 - 1e-11
    for pair in PAIRS[1:]:
        env, start = make(pair.variant), pair.variant.robot.start
        tasks = tasks_with(goal=[[0.1, 0.1]]) if pair.theirs == "Reacher-v5" else pair.tasks
        env.reset(tasks, 5200 // env.simulation.model.nq, SEED)
        away = (env.simulation.qpos - env.simulation.init_qpos) / start.position
        assert -1.0 <= away.min() < -0.99
        assert 0.99 < away.max() <= 1.0
        speed = env.simulation.qvel / start.velocity
        if start.velocity_noise == "uniform":
            assert -1.0 <= speed.min() < -0.99
            assert 0.99 < speed.max() <= 1.0
        else:
            assert abs(speed.std() - 1.0) < 0.05  # error 1 / sqrt(2 * 4800) = 0.01, five of which
    assert torch.is_tensor(tasks.ids)
