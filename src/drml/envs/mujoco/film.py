"""Films of a simulated robot: from poses to pictures, with OpenGL where there is one, else drawn plainly.

    poses.append(env.pose(task=0, copy=0))                  # after the reset and after each step
    film = make_film(MODEL_PATH, torch.stack(poses))

`mujoco.Renderer` draws through whatever the environment variable MUJOCO_GL said when MuJoCo was imported. A film needs
no setting and no display: unless MUJOCO_GL asks for something else, it opens an off-screen EGL context of its own.
"""

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mujoco
import numpy as np
from torch import Tensor

from drml.core.errors import InputError

Renderer = Literal["opengl", "side view"]

CAMERA = "side"
ROBOT = 1  # the first body after the world

mj: Any = mujoco  # MuJoCo's compiled part has no stubs
MjModel = Any
GLContext = Any


@dataclass(frozen=True)
class Film:
    """Pictures of one robot, one per control step."""

    frames: np.ndarray
    """`[T, height, width, 3]` uint8."""
    renderer: Renderer
    """Renderer that drew them."""


def make_film(
    model_path: Path,
    poses: Tensor,
    width: int = 320,
    height: int = 240,
    renderer: Renderer | None = None,
) -> Film:
    """Draw a robot in T poses, seen from the side by a camera that follows it.

    Args:
        model_path: the robot's MJCF file, with a camera named "side".
        poses: `[T, nq]` joint positions.
        width: of a picture, in pixels.
        height: of a picture, in pixels.
        renderer: what draws; by default OpenGL, and the plain side view where that fails.

    Raises:
        InputError: there are no poses, or none of the allowed renderers works here.
    """
    if not len(poses):
        raise InputError("a film needs at least one pose, got none")
    model = mj.MjModel.from_xml_path(str(model_path))
    trajectory = poses.numpy()
    if renderer == "side view":
        return Film(_draw_side_view(model, trajectory, width, height), "side view")
    try:
        return Film(_render(model, trajectory, width, height), "opengl")
    except Exception as error:  # a missing library, driver or display shows as any kind of error, by platform
        if renderer == "opengl":
            raise InputError(f"OpenGL does not work here ({error}); use renderer='side view'") from error
    return Film(_draw_side_view(model, trajectory, width, height), "side view")


def _render(model: MjModel, trajectory: np.ndarray, width: int, height: int) -> np.ndarray:
    """Render with MuJoCo's own renderer in an off-screen OpenGL context."""
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height  # no buffer larger than the picture
    context = _open_context(width, height)
    try:
        context.make_current()
        target = mj.MjrContext(model, mj.mjtFontScale.mjFONTSCALE_100)
        mj.mjr_setBuffer(mj.mjtFramebuffer.mjFB_OFFSCREEN, target)
        scene, options, view = mj.MjvScene(model, maxgeom=1000), mj.MjvOption(), mj.MjvCamera()
        view.type, view.fixedcamid = mj.mjtCamera.mjCAMERA_FIXED, model.camera(CAMERA).id
        data, picture = mj.MjData(model), mj.MjrRect(0, 0, width, height)
        frames = np.empty((len(trajectory), height, width, 3), np.uint8)
        for frame, qpos in zip(frames, trajectory, strict=True):
            data.qpos[:] = qpos
            mj.mj_forward(model, data)
            mj.mjv_updateScene(model, data, options, None, view, mj.mjtCatBit.mjCAT_ALL, scene)
            mj.mjr_render(picture, scene, target)
            mj.mjr_readPixels(frame, None, picture, target)
        target.free()
    finally:
        context.free()
    return frames[:, ::-1].copy()  # OpenGL's first row is the lowest


def _open_context(width: int, height: int) -> GLContext:
    if sys.platform == "linux" and os.environ.get("MUJOCO_GL", "egl") == "egl":
        from mujoco import egl

        return egl.GLContext(width, height)
    return mj.GLContext(width, height)


def _draw_side_view(model: MjModel, trajectory: np.ndarray, width: int, height: int) -> np.ndarray:
    """Draw the robot's capsules and balls, projected on the plane that the camera faces."""
    try:
        from drml.envs.mujoco.side_view import Capsules, View, draw
    except ModuleNotFoundError as error:
        raise InputError('a film without OpenGL needs Pillow: pip install "drml[report]"') from error
    shapes = (int(mj.mjtGeom.mjGEOM_SPHERE), int(mj.mjtGeom.mjGEOM_CAPSULE))
    limbs = np.flatnonzero(np.isin(model.geom_type, shapes))[::-1]  # the torso, listed first, in front
    middle, along, centre = _track(model, limbs, trajectory)
    data, camera = mj.MjData(model), model.camera(CAMERA).id
    mj.mj_forward(model, data)
    from_above = bool(abs(data.cam_xmat[camera, 8]) > 0.9)  # a camera looks along its own -z axis
    away = np.linalg.norm(data.cam_xpos[camera] - data.subtree_com[ROBOT])
    across = 2.0 * float(away) * math.tan(math.radians(float(model.cam_fovy[camera])) / 2.0) * width / height
    right_and_up, nearness = ([0, 1], middle[..., 2]) if from_above else ([0, 2], -middle[..., 1])
    rgb = (255 * model.mat_rgba[model.geom_matid[limbs], :3]).astype(int).tolist()
    ends = np.stack([middle - along, middle + along], axis=2)[..., right_and_up]
    capsules = Capsules(ends, nearness, model.geom_size[limbs, 0], [tuple(colour) for colour in rgb])
    centre_x = np.full(len(trajectory), data.cam_xpos[camera, 0]) if from_above else centre
    return draw(capsules, View(across, from_above), centre_x, width, height)


def _track(model: MjModel, limbs: np.ndarray, trajectory: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the limbs' middles and half axes `[T, G, 3]`, and the x of the robot's centre of mass `[T]`."""
    is_capsule = model.geom_type[limbs] == int(mj.mjtGeom.mjGEOM_CAPSULE)
    half_length = np.where(is_capsule, model.geom_size[limbs, 1], 0.0)
    data = mj.MjData(model)
    middle = np.empty((len(trajectory), len(limbs), 3))
    along, centre_x = np.empty_like(middle), np.empty(len(trajectory))
    for moment, qpos in enumerate(trajectory):
        data.qpos[:] = qpos
        mj.mj_forward(model, data)
        middle[moment] = data.geom_xpos[limbs]
        along[moment] = data.geom_xmat[limbs][:, [2, 5, 8]] * half_length[:, None]  # a capsule lies along its z axis
        centre_x[moment] = data.subtree_com[ROBOT, 0]
    return middle, along, centre_x
