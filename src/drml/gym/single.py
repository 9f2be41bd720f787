"""One of our environments as a `gymnasium.Env`: one copy of one task.

    reset(seed=7)                          an episode of the task that was given, or else of the one drawn with seed 7
    reset()                                the next episode of the same task
    reset(options={"task": {...}})         the task from here on, by the names of its parameters

So several episodes of one task are `reset(seed=7)` and then `reset()`; a reset never draws another task unasked.
`info["task"]` of a reset holds the parameters. An episode is a function of seed, task, actions and its number since the
last seed, the same as in `vector.TaskVectorEnv`.
"""

from typing import Any, final

import gymnasium as gym
import numpy as np
import torch

from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.core.types import EnvSpec
from drml.envs.api import Closable, EnvOptions, Suite
from drml.gym.given_task import Task, as_tasks, drawn_task, given_task
from drml.spaces.interface import as_shown, engine_space, native_action_space
from drml.tasks.distribution import Split

NUM_IDS = 2**63
ROOT = Streams(0)["gymnasium", "noise"]  # a seed is the stream key of its task: tasks differ, the root does not
AnySpace = gym.Space[Any]


@final
class TaskEnv(gym.Env[Any, Any]):
    """One copy of one task of a suite.

    Args:
        suite: the family.
        task: the parameters of the task, by name; None draws one from `split` with the seed of a reset.
        split: where tasks are drawn from.
        options: how the environment runs.

    Raises:
        InputError: the task or the split does not fit the suite, or an extra is missing.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 — Gymnasium's contract

    def __init__(self, suite: Suite, task: dict[str, Any] | None, split: Split, options: EnvOptions) -> None:
        suite.tasks.parameters(split)
        self._suite = suite
        self._split: Split = split
        self._given: Task | None = None if task is None else given_task(suite.tasks, task)
        self._env = suite.make(options)
        self.observation_space = engine_space(suite.spec)
        self.action_space = native_action_space(suite.spec.action)
        self._seed = -1
        self._restarts = 0
        self._first_obs: Any = None  # of the next episode, where the last one has ended

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Start an episode and return its first observation `[O]` and `{"task": ...}`.

        Raises:
            InputError: the task in the options does not fit the suite.
        """
        super().reset(seed=seed)
        if options and "task" in options:
            self._given, self._first_obs = given_task(self._suite.tasks, options["task"]), None
        if seed is None and self._seed >= 0 and self._first_obs is not None:
            obs, self._first_obs = self._first_obs, None
            return obs, {"task": _copy(self._task)}
        if seed is None and self._seed >= 0:
            self._restarts += 1
        else:
            self._restarts = 0
            self._seed = int(self.np_random.integers(NUM_IDS)) if seed is None else seed
            self._task = self._given or drawn_task(self._suite.tasks, self._split, self._seed)
        self._task = self._given or self._task
        tasks = as_tasks([self._task], [self._seed % NUM_IDS])
        self._first_obs = None
        obs = self._env.reset(tasks, 1, ROOT["restart", self._restarts])
        return as_shown(self._suite.spec, obs[0, 0].numpy()), {"task": _copy(self._task)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:  # noqa: ANN401 — by the space
        """Take one action and return observation `[O]`, reward, terminated, truncated and `{"diverged": bool}`.

        Where the family says what a success is, the info has `"success"`, too.

        Raises:
            InputError: there was no reset, or the episode has ended.
        """
        if self._seed < 0 or self._first_obs is not None:
            raise InputError("step was called before reset" if self._seed < 0 else "the episode has ended; call reset")
        step = self._env.step(as_actions(np.asarray(action)[None], self._suite.spec))
        terminated, truncated = bool(step.terminated), bool(step.truncated)
        if terminated or truncated:
            self._first_obs = as_shown(self._suite.spec, step.obs[0, 0].numpy())
        obs = as_shown(self._suite.spec, step.final_obs[0, 0].numpy())
        info = {"diverged": bool(step.diverged)} | ({} if step.success is None else {"success": bool(step.success)})
        return obs, float(step.reward), terminated, truncated, info

    def close(self) -> None:
        """Let go of what the environment holds."""
        if isinstance(self._env, Closable):
            self._env.close()


def as_actions(actions: np.ndarray, spec: EnvSpec) -> torch.Tensor:
    """Return actions `[K, ...]` as those of one copy of K tasks, `[K, 1, A]` float32 or `[K, 1]` int64."""
    dtype = np.int64 if spec.action.kind == "discrete" else np.float32
    return torch.from_numpy(actions.astype(dtype)[:, None])


def _copy(task: Task) -> Task:
    return {name: value.copy() for name, value in task.items()}
