"""The tasks of a test as vector environments, for whoever wants to meet them in a program of his own.

Each holds B copies of one task. The environment draws from the streams of `drml test`: its p-th reset is the p-th phase
(before adaptation, after one step, after two, …). So what acts and adapts as a test does gets a test's numbers:

    for task in tasks_under_test("navigation-maml-v1", num_tasks=5, copies=20):
        agent, curve = drml.load("runs/nav").adapt_to(task.env, episodes=20, steps=3, session=task.session)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast, final

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions, Suite
from drml.envs.foreign.family import GymFamily, is_vectorised
from drml.spaces.interface import as_shown
from drml.suites.registry import suite
from drml.tasks.distribution import Split
from drml.tasks.samplers.tested import tasks_to_test

AnyVectorEnv = VectorEnv[Any, Any, Any]


@final
@dataclass(frozen=True)
class TaskUnderTest:
    """One task of a test."""

    session: int
    """Name of the session that meets it, which keys its random numbers."""
    row: int
    """Row of the task in the test's result; more than one session has it where all tasks are met in several rounds."""
    params: Mapping[str, Any]
    """Parameters of the task, as plain values."""
    env: AnyVectorEnv
    """Copies of it."""


def tasks_under_test(
    tasks: Suite | str, num_tasks: int, copies: int, split: Split = "test", seed: int = 0, first_phase: int = 0
) -> list[TaskUnderTest]:
    """Return the tasks of `drml test --tasks NUM --episodes COPIES --seed SEED`, each with an environment of its own.

    Args:
        tasks: a suite, or its name.
        num_tasks: how many are asked for.
        copies: B.
        split: which; an agent's own noise is that of a test on the split `test`.
        seed: root of the random streams.
        first_phase: phase that the first reset begins; more than 0 goes on with an agent that has met its task before.

    Raises:
        InputError: if there is no such suite or split, or a number is out of its range.
    """
    if copies < 1 or first_phase < 0:
        raise InputError(f"copies is {copies} and first_phase {first_phase}, expected 1 or more and 0 or more")
    family = suite(tasks) if isinstance(tasks, str) else tasks
    rng = Streams(seed)["test", split]
    drawn, is_whole = tasks_to_test(family.tasks, split, num_tasks, rng["tasks"])
    rounds = max(2, num_tasks // len(drawn)) if is_whole else 1
    met = drawn.repeated(rounds) if is_whole else drawn
    found: list[TaskUnderTest] = []
    for k, session in enumerate(met.ids.tolist()):
        one = met.select(torch.tensor([k]))
        foreign = getattr(family.make, "__self__", None)
        env = (
            copies_of_task(foreign, one, copies)
            if isinstance(foreign, GymFamily)
            else EnvUnderTest(family, one, copies, rng, first_phase)
        )
        found.append(TaskUnderTest(session, k // rounds, met.plain_params(k), env))
    return found


@final
class EnvUnderTest(VectorEnv[Any, np.ndarray, np.ndarray]):
    """Copies of one task of an engine of ours; seeds mean nothing to it."""

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 — Gymnasium's contract

    def __init__(self, family: Suite, task: Tasks, copies: int, rng: Streams, first_phase: int) -> None:
        interface = family.interface()
        self._env, self._task, self._rng, self._phase = family.make(EnvOptions()), task, rng, first_phase
        self._spec, self._discrete = family.spec, family.spec.action.kind == "discrete"
        self._fresh = np.empty(0, np.float32)
        self.num_envs = copies
        self.single_observation_space, self.single_action_space = interface.observation_space, interface.action_space
        self.observation_space = batch_space(self.single_observation_space, copies)
        self.action_space = batch_space(self.single_action_space, copies)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin the next phase; or, with a `reset_mask`, the next episodes of the copies that have ended."""
        if options and "reset_mask" in options:
            return as_shown(self._spec, self._fresh), {}
        self._fresh = self._env.reset(self._task, self.num_envs, self._rng["collect", self._phase]["env"])[0].numpy()
        self._phase += 1
        return as_shown(self._spec, self._fresh), {}

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all copies; the reward of one whose simulation has broken down is NaN."""
        dtype = np.int64 if self._discrete else np.float32
        step = self._env.step(torch.from_numpy(np.asarray(actions).astype(dtype)[None]))
        reward = step.reward[0].numpy().astype(np.float64)
        reward[step.diverged[0].numpy()] = np.nan
        self._fresh = step.obs[0].numpy()
        terminated, truncated = step.terminated[0].numpy(), step.truncated[0].numpy()
        info = {} if step.success is None else {"success": step.success[0].numpy().copy()}
        return as_shown(self._spec, step.final_obs[0].numpy()), reward, terminated.copy(), truncated.copy(), info


@final
class _WithOptions(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that is turned to its task by the options of its resets."""

    def __init__(self, env: gym.Env[Any, Any], options: dict[str, Any]) -> None:
        super().__init__(env)
        self._options = options

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment to its task."""
        return self.env.reset(seed=seed, options={**self._options, **(options or {})})


def copies_of_task(family: GymFamily, task: Tasks, copies: int) -> AnyVectorEnv:
    """Return copies of the one task of a family that speaks Gymnasium: its own environments, which are seeded."""
    params = family.plain(task.params, 0)
    if is_vectorised(family):
        return cast(AnyVectorEnv, family(**params, num_envs=copies))
    return SyncVectorEnv([partial(_turned, family, params)] * copies, autoreset_mode=AutoresetMode.SAME_STEP)


def _turned(family: GymFamily, params: dict[str, Any]) -> gym.Env[Any, Any]:
    env = cast("gym.Env[Any, Any]", family(**params))
    options = None if family.give is None else family.give(env, params)
    return env if options is None else _WithOptions(env, options)
