"""The recipes: each a configuration with its source, its budget and the published numbers it is held against.

`drml reproduce NAME --seeds 5` trains one; results that were reached are kept in `recipes/results/NAME.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from drml.adapt import InnerConfig
from drml.algos.maml import MAMLConfig
from drml.algos.promp import ProMPConfig
from drml.policies.mlp import MLPConfig
from drml.session import RunConfig
from drml.train import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """An experiment that was published, or that a figure of ours rests on."""

    config: RunConfig
    """What is run, but for the seed."""
    source: str
    """Where the hyper-parameters and the numbers come from."""
    published: tuple[float, ...] = ()
    """Published mean returns after 0, 1, 2, … adaptation steps; empty where only curves were published."""
    at_least: tuple[float, ...] = ()
    """What the lower end of our interval is to reach after 0, 1, 2, … adaptation steps."""
    published_trial: float | None = None
    """Published mean return of a whole trial: the sum over its episodes."""
    at_least_trial: float | None = None
    """What the lower end of our interval is to reach on whole trials."""
    references: Mapping[str, float] = field(default_factory=dict)
    """Mean returns of whole trials under other strategies."""
    adapt_steps: int = 3
    """Adaptation steps of a test."""
    test_tasks: int = 40
    """Tasks of a test."""
    test_copies: int = 40
    """Episodes per task and adaptation step of a test (MAML: 40)."""


PAPER_NET = MLPConfig(hidden=(100, 100), activation="relu")
# MAML's horizon with ProMP's observation (without the torso's x position) and network, the same for both learners
HALF_CHEETAH, HALF_CHEETAH_NET = "half-cheetah-dir-promp-h200-v1", MLPConfig(hidden=(64, 64), activation="tanh")
HALF_CHEETAH_TRAIN = TrainConfig(meta_iters=70, num_tasks=20, copies=20)  # MAML takes longer to pass the paper's 300

RECIPES: dict[str, Recipe] = {
    "navigation-maml": Recipe(
        RunConfig(
            "navigation-maml-v1",
            "maml",
            MAMLConfig(inner=InnerConfig(lr=0.1, later_lr=0.05)),
            PAPER_NET,
            TrainConfig(
                meta_iters=400, num_tasks=20, copies=20, validate_every=400
            ),  # the last policy, as in the paper
        ),
        published=(-40.41, -11.68, -3.33, -3.23),
        source="Finn et al. 2017, appendix table and A.2: rate 0.1, halved after the first step; 20 tasks x 20 "
        "episodes (script: rate 0.5, 40 tasks, 100 meta-iterations), 40 test tasks x 40 episodes as in its test script",
    ),
    "half-cheetah-dir-maml": Recipe(
        RunConfig(
            HALF_CHEETAH,
            "maml",
            MAMLConfig(inner=InnerConfig(lr=0.1, later_lr=0.05)),
            HALF_CHEETAH_NET,
            replace(HALF_CHEETAH_TRAIN, meta_iters=100),
        ),
        published=(-50.69, 293.19, 313.48, 315.65),
        source="Finn et al. 2017, appendix table; 20 episodes x 200 steps as in its script, 20 tasks (script: 40), "
        "observation without the torso's position, tanh 64 64 (paper: relu 100 100)",
    ),
    "half-cheetah-dir-promp": Recipe(
        RunConfig(
            HALF_CHEETAH,
            "promp",
            ProMPConfig(inner=InnerConfig(lr=0.1, later_lr=0.05)),
            HALF_CHEETAH_NET,
            HALF_CHEETAH_TRAIN,
        ),
        published=(),
        source="Rothfuss et al. 2019: Adam 1e-3, five outer steps, clip 0.3, η 5e-4; beside half-cheetah-dir-maml",
    ),
}
