"""One of our environments as a `gymnasium.vector.VectorEnv`: one copy each of `num_envs` tasks, in one object.

Environment i is `single.TaskEnv` with seed + i, number by number. An episode that ends is followed by the next one of
the same task in the same step (`AutoresetMode.SAME_STEP`): `obs` is the first of the new episode, `info["final_obs"]`
the true last one.
"""

from collections.abc import Sequence
from typing import Any, final

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space
from torch import Tensor

from drml.core.errors import InputError
from drml.envs.api import EnvOptions, Suite
from drml.gym.given_task import Task, as_tasks, drawn_task, given_task
from drml.gym.single import NUM_IDS, ROOT, as_actions
from drml.spaces.interface import as_shown, engine_space, native_action_space
from drml.tasks.distribution import Split

Info = dict[str, Any]


@final
class TaskVectorEnv(gym.vector.VectorEnv[Any, np.ndarray, np.ndarray]):
    """One copy each of several tasks of a suite.

    Args:
        suite: the family.
        num_envs: how many.
        task: the parameters that all of them have, or a list with one task each; None draws them from `split` with the
            seeds of a reset.
        split: where tasks are drawn from.
        options: how the environments run.

    Raises:
        InputError: a task or the split does not fit the suite, `num_envs` < 1, or an extra is missing.
    """

    metadata = {"render_modes": [], "autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self, suite: Suite, num_envs: int, task: Info | Sequence[Info] | None, split: Split, options: EnvOptions
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs is {num_envs}, expected at least 1")
        suite.tasks.parameters(split)
        self._suite = suite
        self._split: Split = split
        self.num_envs = num_envs
        self._given = None if task is None else self._one_each(task)
        self._env = suite.make(options)
        self.single_observation_space = engine_space(suite.spec)
        self.single_action_space = native_action_space(suite.spec.action)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeds: list[int] = []
        self._restarts = 0

    def reset(self, *, seed: int | Sequence[int] | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Start an episode in each environment and return the observations `[N, O]` and their tasks.

        Args:
            seed: environment i takes seed + i, or the i-th of a sequence; None starts the next episodes.
            options: `{"task": {...}}` gives all the same task, `{"task": [{...}, ...]}` one each, from here on.

        Raises:
            InputError: there are not as many tasks or seeds as environments, or a task does not fit the suite.
        """
        first = seed if isinstance(seed, int) or seed is None else int(seed[0])
        super().reset(seed=first)
        if options and "task" in options:
            self._given = self._one_each(options["task"])
        if seed is None and self._seeds:
            self._restarts += 1
        else:
            self._restarts = 0
            self._seeds = self._seeds_of(seed)
            self._tasks = [drawn_task(self._suite.tasks, self._split, s) for s in self._seeds if not self._given]
        self._tasks = self._given or self._tasks
        tasks = as_tasks(self._tasks, [s % NUM_IDS for s in self._seeds])
        obs = self._env.reset(tasks, 1, ROOT["restart", self._restarts])
        return as_shown(self._suite.spec, obs[:, 0].numpy()), self._task_info(np.ones(self.num_envs, np.bool_))

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Step all environments: observations `[N, O]`, rewards, terminations, truncations, each `[N]`, and info.

        Raises:
            InputError: there was no reset, or the actions do not fit.
        """
        if not self._seeds:
            raise InputError("step was called before reset")
        step = self._env.step(as_actions(np.asarray(actions), self._suite.spec))
        terminated, truncated = step.terminated[:, 0].numpy().copy(), step.truncated[:, 0].numpy().copy()
        said = {"diverged": step.diverged} | ({} if step.success is None else {"success": step.success})
        ended = terminated | truncated
        info: Info = {}
        if ended.any():
            final_obs = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(ended):
                final_obs[i] = as_shown(self._suite.spec, step.final_obs[i, 0].numpy())
            info = {
                "final_obs": final_obs,
                "_final_obs": ended.copy(),
                "final_info": _said_by(ended, said),
                "_final_info": ended.copy(),
                **self._task_info(ended),
            }
        if not ended.all():
            info |= _said_by(~ended, said)
        reward = step.reward[:, 0].numpy().astype(np.float64)
        return as_shown(self._suite.spec, step.obs[:, 0].numpy()), reward, terminated, truncated, info

    def _one_each(self, task: Info | Sequence[Info]) -> list[Task]:
        values = [task] * self.num_envs if isinstance(task, dict) else list(task)
        if len(values) != self.num_envs:
            raise InputError(f"{len(values)} tasks for {self.num_envs} environments, expected one each")
        return [given_task(self._suite.tasks, value) for value in values]

    def _seeds_of(self, seed: int | Sequence[int] | None) -> list[int]:
        if seed is None:
            return [int(s) for s in self.np_random.integers(NUM_IDS, size=self.num_envs)]
        if isinstance(seed, int):
            return [seed + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise InputError(f"{len(seed)} seeds for {self.num_envs} environments, expected one each")
        return [int(s) for s in seed]

    def _task_info(self, started: np.ndarray) -> Info:
        """Return the tasks of the environments that `started` an episode, as Gymnasium lays out dictionaries."""
        tasks: Info = {}
        for name in self._tasks[0]:
            column = np.stack([task[name] for task in self._tasks])
            rows = started.reshape(-1, *(1,) * (column.ndim - 1))
            tasks |= {name: np.where(rows, column, 0.0), f"_{name}": started.copy()}
        return {"task": tasks, "_task": started.copy()}


def _said_by(envs: np.ndarray, said: dict[str, Tensor]) -> Info:
    """Return what environments `[N]` say, of flags `[N, 1]`, as Gymnasium lays out infos."""
    found: Info = {}
    for name, flags in said.items():
        found |= {name: flags[:, 0].numpy() & envs, f"_{name}": envs.copy()}
    return found
