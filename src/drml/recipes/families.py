"""Short recipes: does a learner learn to adapt on each family of robots and of classic control?

Each takes minutes. What it is to show is that one adaptation step gains on held-out tasks (or on all tasks, where a
family has only a few): that the interval of the gain, over the tasks or episodes of one seed, excludes zero. None of
them is trained to the end.
"""

from drml.algos.gradient.promp import ProMPConfig
from drml.loop.config import TrainConfig
from drml.policies.mlp import MLPConfig
from drml.recipes.recipe import Recipe
from drml.run.config import RunConfig

META_ITERS = {  # what takes minutes on two cores
    "half-cheetah-broken-v1": 30,
    "ant-dir-promp-v1": 20,
    "hopper-params-promp-v1": 30,
    "walker2d-dir-promp-v1": 40,
    "humanoid-dir-promp-v1": 10,
    "reacher-goal-v1": 40,
    "cartpole-varied-v1": 40,
    "pendulum-varied-v1": 40,
    "acrobot-varied-v1": 20,
    "mountain-car-varied-v1": 20,
    "lunar-lander-varied-v1": 120,
}


def _short(suite: str, meta_iters: int) -> Recipe:
    train = TrainConfig(meta_iters, num_tasks=20, copies=10, validate_every=meta_iters, checkpoint_every=5)
    return Recipe(
        RunConfig(suite, "promp", ProMPConfig(), MLPConfig(), train),
        "ProMP with the settings of Rothfuss et al. 2019 on 20 tasks x 10 episodes; what is asked is a gain, no level",
        gain_above=0.0,
        adapt_steps=1,
        test_tasks=40,
        test_copies=20,
    )


SHORT = {f"short-{suite.removesuffix('-v1')}": _short(suite, n) for suite, n in META_ITERS.items()}
