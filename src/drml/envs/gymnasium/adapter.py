"""Foreign environments as one `BatchEnv` of K tasks x B copies.

Each of K slots holds the B copies of one task. A slot is built again only where no slot holds the task already and none
can be turned to it. Every episode has a seed of its own, a function of (stream, task id, copy, episode).
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import DrmlError, EnvError, InputError
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.gymnasium.blame import blame
from drml.envs.gymnasium.copies import Copies
from drml.envs.gymnasium.spaces import Actions

EPISODES_PER_BLOCK = 8  # how many episodes' seeds are drawn at a time
NUM_SEEDS = 2**31  # below it a seed fits wherever somebody keeps it in an int32

TaskParams = dict[str, Any]
"""One task's parameters by name: numbers, and arrays where a parameter has a shape."""


@dataclass(frozen=True)
class Foreign:
    """What the adapter needs to know of a family."""

    name: str
    spec: EnvSpec
    actions: Actions
    open: Callable[[TaskParams, int], Copies]
    """Builds B copies of a task."""
    plain: Callable[[Mapping[str, Tensor], int], TaskParams]
    """Returns the parameters of task k as the family wants them."""


@final
class GymEnv:
    """K x B copies of foreign environments; implements `BatchEnv`."""

    def __init__(self, foreign: Foreign) -> None:
        self._foreign = foreign
        self._pool: list[_Slot] = []
        self._slots: list[_Slot] = []
        self._close = weakref.finalize(self, _close_all, self._pool)

    @property
    def spec(self) -> EnvSpec:
        """Return the shape of observations and actions, and the horizon."""
        return self._foreign.spec

    def close(self) -> None:
        """Close all environments; it also happens when this object is forgotten."""
        self._close()

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Start a first episode in `copies` copies of each task and return the observations `[K, B, O]`.

        Raises:
            InputError: if `copies` < 1.
            EnvError: if an environment cannot be built or reset.
        """
        if copies < 1:
            raise InputError(f"copies is {copies}, expected at least 1")
        params = [self._foreign.plain(tasks.params, k) for k in range(len(tasks))]
        self._slots = self._assign(params, copies)
        self._seeds = [EpisodeSeeds(rng["seed", task_id], copies) for task_id in tasks.ids.tolist()]
        self._elapsed = np.zeros((len(tasks), copies), np.int64)  # steps since the start of the episode
        self._idle = np.zeros((len(tasks), copies), np.bool_)
        self._never = torch.zeros((len(tasks), copies), dtype=torch.bool)
        obs = np.empty((len(tasks), copies, self.spec.obs_size), np.float32)
        for k, slot in enumerate(self._slots):
            try:
                slot.copies.reset(self._seeds[k], obs[k])
            except Exception as error:
                self._fail(k, "reset", error)
        return torch.from_numpy(obs)

    def step(self, action: Tensor) -> Step:
        """Step all copies by one action each: `[K, B, A]` float32, or `[K, B]` int64 where actions are discrete.

        Raises:
            InputError: if the action does not fit, or there was no reset.
            EnvError: if an environment raises.
        """
        shape = self._shape_of(action)
        act = self._foreign.actions.decode(action.detach().cpu().numpy())
        obs = np.empty((*shape, self.spec.obs_size), np.float32)
        reward = np.empty(shape, np.float32)
        terminated, truncated = np.empty((2, *shape), np.bool_)
        k = -1
        try:
            for k, (slot, *rows) in enumerate(zip(self._slots, act, obs, reward, terminated, truncated, strict=True)):
                slot.copies.step(*rows)
        except Exception as error:
            self._fail(k, "step", error)
        idle = self._idle
        if np.count_nonzero(idle):
            self._idle = np.zeros_like(idle)
            self._elapsed[idle] = -1
            reward[idle], terminated[idle], truncated[idle] = 0.0, False, False
        self._elapsed += 1
        late = self._elapsed >= self.spec.horizon
        if np.count_nonzero(late):
            self._check_cut(late, terminated | truncated)
            truncated |= late
        truncated &= ~terminated
        final_obs = obs
        ended = terminated | truncated
        if np.count_nonzero(ended):
            obs = obs.copy()
            self._restart(ended, obs)
        return Step(
            obs=torch.from_numpy(obs),
            reward=torch.from_numpy(reward),
            terminated=torch.from_numpy(terminated),
            truncated=torch.from_numpy(truncated),
            diverged=self._never,
            final_obs=torch.from_numpy(final_obs),
            idle=torch.from_numpy(idle),
        )

    def _restart(self, ended: np.ndarray, obs: np.ndarray) -> None:
        """Start the next episodes of the copies that `ended [K, B]` and write their first observations."""
        self._elapsed[ended] = 0
        for k in np.flatnonzero(ended.any(1)).tolist():
            try:
                self._slots[k].copies.restart(ended[k], self._seeds[k], obs[k], self._idle[k])
            except Exception as error:
                self._fail(k, "reset", error)

    def _check_cut(self, late: np.ndarray, ended: np.ndarray) -> None:
        """Check that copies which our horizon cuts, but their environment did not, can be restarted."""
        for k in np.flatnonzero((late & ~ended).any(1)).tolist():
            if not (self._slots[k].copies.restarts_any or (late | ended)[k].all()):
                raise EnvError(
                    f"{self._foreign.name}: the vector environment goes on at the horizon ({self.spec.horizon} steps) "
                    "and cannot reset one copy alone; give it the horizon as its own time limit (max_episode_steps of "
                    "gymnasium.make_vec), or return a plain environment"
                )

    def _assign(self, params: Sequence[TaskParams], copies: int) -> list["_Slot"]:
        """Return one slot per task: one that holds the task, else one that can be turned to it, else a new one."""
        keys = [_key(task, copies) for task in params]
        free = list(self._pool)
        chosen: list[_Slot | None] = [_pop(free, key) for key in keys]
        spare = [slot for slot in free if slot.key[0] == copies]
        slots: list[_Slot] = []
        for k, (key, slot) in enumerate(zip(keys, chosen, strict=True)):
            slots.append(slot or self._turned(spare, params[k], key) or self._built(params[k], copies, key))
        unused = [slot for slot in self._pool if slot not in slots]
        _close_all(unused)
        self._pool[:] = slots
        return slots

    def _turned(self, spare: "list[_Slot]", task: TaskParams, key: "Key") -> "_Slot | None":
        if not spare or not spare[-1].copies.give(task):
            return None
        slot = spare.pop()
        slot.key, slot.task = key, task
        return slot

    def _built(self, task: TaskParams, copies: int, key: "Key") -> "_Slot":
        return _Slot(key, task, self._foreign.open(task, copies))

    def _shape_of(self, action: Tensor) -> tuple[int, int]:
        if not self._slots:
            raise InputError("step was called before reset; an environment gets its tasks from reset")
        spec = self.spec.action
        shape = self._never.shape
        expected = (*shape, spec.size) if spec.kind == "continuous" else shape
        if action.shape != expected:
            raise InputError(f"action has shape {list(action.shape)}, expected {list(expected)} as reset")
        return shape[0], shape[1]

    def _fail(self, k: int, verb: str, error: Exception) -> NoReturn:
        if isinstance(error, DrmlError):
            raise error
        raise EnvError(f"{self._foreign.name}: {verb} of task {shown(self._slots[k].task)} {blame(error)}") from error


@final
class EpisodeSeeds:
    """The seeds of one task's episodes, functions of (stream, copy, episode) and of nothing that happened in them."""

    def __init__(self, rng: Streams, copies: int) -> None:
        self._rng = rng
        self._episode = [-1] * copies  # by copy, the one that was begun last
        self._seeds: list[list[int]] = []  # by episode and copy

    def __call__(self, copy: int) -> int:
        """Return the seed of the next episode of a copy."""
        self._episode[copy] = episode = self._episode[copy] + 1
        while episode >= len(self._seeds):
            generator = self._rng[len(self._seeds) // EPISODES_PER_BLOCK].generator()
            self._seeds += generator.integers(NUM_SEEDS, size=(EPISODES_PER_BLOCK, len(self._episode))).tolist()
        return self._seeds[episode][copy]


Key = tuple[int, bytes]
"""The number of copies, and the task's parameters."""


@dataclass(slots=True, eq=False)
class _Slot:
    """The copies of one task."""

    key: Key
    task: TaskParams
    copies: Copies


def _key(task: TaskParams, copies: int) -> Key:
    return copies, b"".join(name.encode() + np.asarray(value).tobytes() for name, value in sorted(task.items()))


def _pop(free: list[_Slot], key: Key) -> _Slot | None:
    for i, slot in enumerate(free):
        if slot.key == key:
            return free.pop(i)
    return None


def _close_all(slots: Sequence[_Slot]) -> None:
    for slot in slots:
        slot.copies.close()


def shown(task: TaskParams) -> str:
    """Return a task's parameters as text, such as `length=0.8`."""
    return ", ".join(f"{name}={np.array2string(np.asarray(value), precision=4)}" for name, value in task.items())
