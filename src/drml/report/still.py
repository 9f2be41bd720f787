"""One picture of a suite, for pages that show what there is."""

from drml.core.rng import Streams
from drml.envs.api import EnvOptions, Suite
from drml.report.film import Frames
from drml.report.filming import Filmable
from drml.tasks.samplers.uniform import UniformSampler

SETTLING_STEPS = 12  # without control: enough for a robot to come down on its feet, not enough to fall


def take_still(suite: Suite, seed: int = 0) -> Frames | None:
    """Return a picture `[height, width, 3]` uint8 of a suite's environment, or None if it has no pictures.

    Raises:
        InputError: what the environment or its pictures need is not installed.
    """
    env, rng = suite.make(EnvOptions(threads=1)), Streams(seed)["still"]
    if not isinstance(env, Filmable):
        return None
    tasks = UniformSampler().sample({}, suite.tasks, "train", 1, rng["tasks"])
    obs = env.reset(tasks, 1, rng["env"])
    for _ in range(SETTLING_STEPS):
        env.step(obs.new_zeros((1, 1, suite.spec.action.size)))
    return env.render(env.pose(0, 0)[None])[0]
