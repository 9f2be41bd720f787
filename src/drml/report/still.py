"""One picture of a suite, for pages that show what there is."""

import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.envs.api import EnvOptions, Filmable, Suite
from drml.report.film import Frames
from drml.tasks.samplers.uniform import UniformSampler

SETTLING_STEPS = 12  # without control: enough for a robot to come down on its feet, not enough to fall


def take_still(suite: Suite, seed: int = 0) -> Frames:
    """Return a picture `[height, width, 3]` uint8 of a suite's environment after some steps with action 0.

    Raises:
        InputError: it has no pictures, or what the environment or its pictures need is not installed.
    """
    env, rng = suite.make(EnvOptions(threads=1)), Streams(seed)["still"]
    if not isinstance(env, Filmable):
        raise InputError(f"{suite.name} has no pictures")
    tasks = UniformSampler().sample({}, suite.tasks, "train", 1, rng["tasks"])
    obs, action = env.reset(tasks, 1, rng["env"]), suite.spec.action
    is_continuous = action.kind == "continuous"
    still = obs.new_zeros((1, 1, action.size)) if is_continuous else torch.zeros((1, 1), dtype=torch.int64)
    for _ in range(SETTLING_STEPS):
        env.step(still)
    return env.render(0, env.pose(0, 0)[None])[0]
