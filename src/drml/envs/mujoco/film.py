"""Films of a simulated robot: from poses to pictures, with OpenGL where there is one, else drawn plainly.

    poses = []
    for ...:
        poses.append(env.pose(task=0, copy=0))      # before each step: a step may begin the next episode
        env.step(action)
    film = make_film(MODEL_PATH, torch.stack(poses))

Unlike `mujoco.Renderer`, which draws through what the environment variable MUJOCO_GL named when MuJoCo was imported, a
film asks for an off-screen EGL context first, so that it needs neither a display nor a setting.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mujoco
import numpy as np
from torch import Tensor

from drml.core.errors import InputError
from drml.envs.mujoco.side_view import Capsules, draw

CAMERA = "side"

mj: Any = mujoco  # the compiled part of MuJoCo has no stubs


@dataclass(frozen=True)
class Film:
    """Pictures of one copy of a robot, one per control step."""

    frames: np.ndarray
    """`[T, height, width, 3]` uint8."""
    renderer: Literal["opengl", "side view"]
    """What drew them."""
