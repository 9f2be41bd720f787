"""Sketches of roads from above: the pictures that films are made of, of a few tasks."""

import numpy as np
import torch
from matplotlib.axes import Axes

from drml.core.rng import Streams
from drml.envs.api import EnvOptions, Filmable, Suite
from drml.tasks.samplers.uniform import UniformSampler

ROADS, SECONDS, SHORTER = 3, 5, 30
"""Roads that are drawn, when after the start, and pixels that are left out on either side."""


def highway(axes: Axes, suite: Suite) -> None:
    """Draw the traffic of a few tasks, the one with most lanes at the bottom, after seconds of driving straight on."""
    rng = Streams(3)
    tasks = UniformSampler().sample({}, suite.tasks, "train", 4 * ROADS, rng["tasks"])
    lanes = tasks.params["lanes"]
    spread = lanes.argsort()[torch.linspace(0, len(tasks) - 1, ROADS).long()]
    env = suite.make(EnvOptions())
    assert isinstance(env, Filmable)
    env.reset(tasks.select(spread), 1, rng["env"])
    for _ in range(SECONDS):
        env.step(torch.ones((ROADS, 1), dtype=torch.int64))
    roads = [env.render(k, env.pose(k, 0)[None])[0, :, SHORTER:-SHORTER] for k in range(ROADS)]
    axes.imshow(np.concatenate(roads))
    axes.set_axis_off()
