import numpy as np
import pytest
import torch

pytest.importorskip("mujoco")
pytest.importorskip("PIL")

import mujoco
from robots import SEED, directions, make

from drml.core.errors import InputError
from drml.envs.mujoco import film
from drml.envs.mujoco.film import make_film
from drml.suites.robots import ant, hopper, humanoid, reacher, walker2d
from drml.suites.robots.half_cheetah import ROBOT

MODEL_PATH = ROBOT.model_path
BODY = np.array([0.91, 0.57, 0.20]) * 255  # the torso's colour in the model file
HORIZON = 0.78  # of the height: above it lie the robot and the sky


def poses_at(*x):
    poses = torch.zeros(len(x), 9, dtype=torch.float64)
    poses[:, 0] = torch.tensor(x)
    return poses


def torso(frame):
    """Return which pixels have about the torso's hue: the ratios of its channels, whatever the light."""
    rgb = frame.astype(float) + 1.0
    return (abs(rgb[..., 0] / rgb[..., 2] - BODY[0] / BODY[2]) < 2.0) & (rgb[..., 0] > 1.35 * rgb[..., 1])


def check_follows(frames):
    """The robot stands still in the picture, and the ground passes by."""
    here, moved = frames[0].astype(int), frames[1].astype(int)
    columns = np.flatnonzero(torso(frames[0]).any(axis=0))
    assert columns.size > 0.2 * frames.shape[2]  # clearly visible
    assert abs(columns.mean() / frames.shape[2] - 0.5) < 0.15  # and in the middle
    differs = (abs(here - moved) > 8).any(axis=-1)
    # the torso, 3 pixels thick or more, moves by less than a pixel: only its edge may differ
    assert (torso(frames[0]) & torso(frames[1])).sum() > 0.8 * torso(frames[0]).sum()
    assert differs[int(HORIZON * len(differs)) :].mean() > 0.005


def test_side_view_follows_the_robot():
    shown = make_film(MODEL_PATH, poses_at(0.0, 20.25), renderer="side view")
    assert shown.renderer == "side view"
    assert shown.frames.shape == (2, 240, 320, 3)
    assert shown.frames.dtype == np.uint8
    check_follows(shown.frames)
    # a view moved by 0.25 m shows the same picture above the ground, up to rounding at edges
    above = int(HORIZON * 240)
    assert (shown.frames[0, :above] != shown.frames[1, :above]).mean() < 0.01


def test_opengl_follows_the_robot():
    try:
        shown = make_film(MODEL_PATH, poses_at(0.0, 20.25), width=160, height=120, renderer="opengl")
    except InputError as error:
        pytest.skip(str(error))
    assert shown.frames.shape == (2, 120, 160, 3)
    check_follows(shown.frames)
    sky, ground = shown.frames[0, 5].mean(axis=0), shown.frames[0, -5].mean(axis=0)
    assert sky[2] - sky[0] > 10  # blue above: the picture is not upside down
    assert abs(ground[2] - ground[0]) < 20


def test_without_opengl_the_side_view_is_drawn(monkeypatch):
    def no_context(width, height):
        raise RuntimeError("no driver")

    monkeypatch.setattr(film, "_open_context", no_context)
    assert make_film(MODEL_PATH, poses_at(0.0)).renderer == "side view"
    with pytest.raises(InputError, match=r"OpenGL does not work here \(no driver\)"):
        make_film(MODEL_PATH, poses_at(0.0), renderer="opengl")


def test_a_film_of_nothing_is_refused():
    with pytest.raises(InputError, match="at least one pose"):
        make_film(MODEL_PATH, poses_at())


def test_an_environment_renders_its_own_poses(monkeypatch):
    env = make()
    env.reset(directions(1.0, 1.0), 2, SEED)
    assert torch.equal(env.pose(1, 0), torch.from_numpy(env.simulation.qpos[2]))
    monkeypatch.setattr(film, "_open_context", lambda width, height: None)  # fails at first use
    poses = torch.stack([env.pose(1, 0)])
    expected = make_film(MODEL_PATH, poses, renderer="side view").frames
    assert np.array_equal(env.render(1, poses), expected)


@pytest.mark.parametrize("robot", [ant.ROBOT, hopper.ROBOT, humanoid.ROBOT, reacher.ROBOT, walker2d.ROBOT])
@pytest.mark.parametrize("renderer", ["side view", "opengl"])
def test_every_robot_is_seen_whole_and_in_the_middle(robot, renderer):
    qpos = mujoco.MjModel.from_xml_path(str(robot.model_path)).qpos0
    try:
        frame = (
            make_film(robot.model_path, torch.from_numpy(qpos)[None], renderer=renderer).frames[0].astype(float) + 1.0
        )
    except InputError as error:
        pytest.skip(str(error))
    red, blue = frame[..., 0] / frame[..., 2], frame[..., 2] / frame[..., 0]
    robot_seen = (red > 1.6) | ((blue > 1.6) & (frame[..., 1] < 0.8 * frame[..., 2]))  # orange and red, and deep blue
    rows, columns = np.nonzero(robot_seen)
    assert robot_seen.sum() > 400
    assert abs((columns.min() + columns.max()) / 2 - 160) < 50
    assert 10 < rows.min() < rows.max() < 230
    assert 10 < columns.min() < columns.max() < 310
