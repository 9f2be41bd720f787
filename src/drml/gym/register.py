"""The way back: importing this module registers every suite with Gymnasium, as `drml/` and the suite's name.

    import gymnasium, drml.gym.register
    env = gymnasium.make("drml/navigation-maml-v1", task={"goal": (0.3, -0.2)})         # a single.TaskEnv
    envs = gymnasium.make_vec("drml/half-cheetah-dir-promp-v1", num_envs=64)            # a vector.TaskVectorEnv

A suite's name ends in its version, so it is Gymnasium's id as it is. A program that takes nothing but an id finds them
as well, since Gymnasium imports what stands before a colon: `drml.gym.register:drml/navigation-maml-v1`.
Gymnasium 1 loads no plugins by itself. Episodes end at the suite's horizon without a `TimeLimit`.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from drml.envs.api import EnvOptions
from drml.gym.single import TaskEnv
from drml.gym.vector import TaskVectorEnv
from drml.suites.registry import SUITES, suite
from drml.tasks.distribution import Split

NAMESPACE = "drml"


def make_single(
    suite_name: str, task: dict[str, Any] | None = None, split: Split = "train", threads: int = 1, device: str = "cpu"
) -> TaskEnv:
    """Return one copy of one task; see `TaskEnv`, and `EnvOptions` for the last two.

    Raises:
        InputError: there is no such suite, or the task or split does not fit it.
    """
    return TaskEnv(suite(suite_name), task, split, EnvOptions(device, threads))


def make_vector(
    suite_name: str,
    num_envs: int,
    task: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    split: Split = "train",
    threads: int = 0,
    device: str = "cpu",
) -> TaskVectorEnv:
    """Return one copy each of several tasks; see `TaskVectorEnv`, and `EnvOptions` for the last two.

    Raises:
        InputError: there is no such suite, or a task or the split does not fit it.
    """
    return TaskVectorEnv(suite(suite_name), num_envs, task, split, EnvOptions(device, threads))


def register_all() -> None:
    """Register each suite that is not registered yet."""
    for name in SUITES:
        env_id = f"{NAMESPACE}/{name}"
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=f"{__name__}:make_single",
                vector_entry_point=f"{__name__}:make_vector",
                kwargs={"suite_name": name},
            )


register_all()
