"""Foreign environments as one `BatchEnv` of K tasks x B copies.

Each of K slots holds the B copies of one task. A slot is built again only where no slot holds the task already and none
can be turned to it. Every episode has a seed of its own, a function of (stream, task id, copy, episode).

Foreign code may raise whatever it likes: that is a `Fault` of its task, and the slot is out until the next reset builds
it anew.
"""

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from drml.core.blame import Modes, blame, torch_modes, undone
from drml.core.errors import DrmlError, EnvError, InputError
from drml.core.fault import NO_SEED, Fault, FaultKind, Moment, Watch, is_interruption, label, nobody
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.foreign.copies import BrokenCopies, Copies
from drml.envs.foreign.filmed import FPS, picture_of
from drml.envs.foreign.seeds import EpisodeSeeds
from drml.envs.foreign.tended import CopyDied
from drml.spaces.actions import Actions
from drml.spaces.joint_actions import rows_of
from drml.tasks.distribution import content_hashes

_log = logging.getLogger(__name__)

TaskParams = dict[str, Any]
"""One task's parameters by name: numbers, and arrays where a parameter has a shape."""


@dataclass(frozen=True)
class Foreign:
    """Family as the adapter sees it."""

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

    def __init__(self, foreign: Foreign, watch: Watch = nobody, *, one_episode: bool = False) -> None:
        self._foreign, self._watch, self._one_episode = foreign, watch, one_episode
        self._pool: list[_Slot] = []
        self._slots: list[_Slot] = []
        self._faults: list[Fault] = []
        """Failures that were not told yet."""
        weakref.finalize(self, _close_at_last, self._pool, watch)

    @property
    def spec(self) -> EnvSpec:
        """Return the shape of observations and actions, and the horizon."""
        return self._foreign.spec

    def take_faults(self) -> tuple[Fault, ...]:
        """Return what has failed since this was asked last."""
        told, self._faults = tuple(self._faults), []
        return told

    def close(self) -> None:
        """Close all environments; it also happens when this object is forgotten. What fails there is a warning."""
        _close_at_last(self._pool, self._watch)
        self._slots = []

    @property
    def fps(self) -> float:
        """Return at how many pictures per second a film is shown."""
        return FPS

    def pose(self, task: int, copy: int) -> Tensor:
        """Return the picture `[height, width, 3]` of one copy, at the end of an episode that of its end.

        From here to the next reset the ends of its episodes are kept.

        Raises:
            InputError: if its environment renders no pictures.
        """
        end = self._filmed.setdefault((task, copy), None)
        return self._picture(task, copy) if end is None else end

    def _picture(self, task: int, copy: int) -> Tensor:
        return torch.from_numpy(picture_of(self._foreign.name, self._slots[task].copies, copy))

    def render(self, task: int, poses: Tensor) -> np.ndarray:
        """Return the pictures `[T, height, width, 3]` uint8 that were taken."""
        return poses.numpy()

    def words(self, task: int) -> str:
        """Return nothing: all that is known of a task are its parameters."""
        return ""

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Start a first episode in `copies` copies of each task and return the observations `[K, B, O]`.

        Raises:
            InputError: if `copies` < 1, or the tasks' parameters are not those of the family.
            EnvError: if the family is wrong as a whole, such as one whose tasks have different spaces.
        """
        if copies < 1:
            raise InputError(f"copies is {copies}, expected at least 1")
        before = torch_modes()
        self._seeds = [EpisodeSeeds(rng["seed", task_id], copies) for task_id in tasks.ids.tolist()]
        self._elapsed = np.zeros((len(tasks), copies), np.int64)  # steps since the start of the episode
        self._idle = np.zeros((len(tasks), copies), np.bool_)
        self._left = np.zeros((len(tasks), copies), np.bool_)  # alone, as the one episode asked of them has ended
        self._down = torch.zeros((len(tasks), copies), dtype=torch.bool)
        self._waits = np.zeros((len(tasks), 1), np.bool_)
        self._filmed: dict[tuple[int, int], Tensor | None] = {}  # copies, with the picture of what has just ended
        self._slots = self._assign(tasks, copies)
        self._waits[:, 0] = [slot.copies.waits for slot in self._slots]
        obs = self._rows(len(tasks), copies)
        for k, slot in enumerate(self._slots):
            try:
                self._watch("reset", -1, NO_SEED)
                slot.copies.reset(self._seeds[k], obs[k])
            except BaseException as error:
                self._fail(k, "reset", error)
                obs[k] = 0.0
        self._check_torch(before, "reset")
        return torch.from_numpy(obs)

    def step(self, action: Tensor) -> Step:
        """Step all copies by one action each: `[K, B, A]` float32, or `[K, B]` int64 where actions are discrete.

        Raises:
            InputError: if the action does not fit, or there was no reset.
            EnvError: if copies have to be restarted at the horizon that cannot, or the family is wrong otherwise.
        """
        shape, before = self._shape_of(action), torch_modes()
        act = self._foreign.actions.decode(action.detach().cpu().numpy())
        obs = self._rows(*shape)
        reward = np.empty(shape, np.float64)
        terminated, truncated = np.empty((2, *shape), np.bool_)
        by_task = zip(self._slots, rows_of(act), obs, reward, terminated, truncated, strict=True)
        for k, (slot, act_k, obs_k, reward_k, terminated_k, truncated_k) in enumerate(by_task):
            try:
                self._watch("step", -1, NO_SEED)
                slot.copies.step(act_k, obs_k, reward_k, terminated_k, truncated_k)
            except BaseException as error:
                self._fail(k, "step", error, action[k])
                self._slots[k].copies.step(act_k, obs_k, reward_k, terminated_k, truncated_k)
        self._check_torch(before, "step")
        success = self._successes()
        down = self._down  # what fails below concerns the next episode
        idle = self._idle
        if np.count_nonzero(idle):
            self._idle = np.zeros_like(idle)
            self._elapsed[idle] = -1
            reward[idle], terminated[idle], truncated[idle] = 0.0, False, False
        if self._one_episode:
            left = self._left
            obs[left], reward[left], terminated[left], truncated[left] = 0.0, 0.0, False, False
            self._elapsed[left] = -1
        self._elapsed += 1
        late = self._elapsed >= self.spec.horizon
        if np.count_nonzero(late):
            self._check_cut(late, terminated | truncated)
            truncated |= late
        truncated &= ~terminated
        final_obs = obs
        ended = terminated | truncated
        if self._filmed:
            self._filmed = {(k, b): self._picture(k, b) if ended[k, b] else None for k, b in self._filmed}
        if np.count_nonzero(ended):
            obs = obs.copy()
            self._restart(ended, obs)
            self._check_torch(before, "reset")
        return Step(
            obs=torch.from_numpy(obs),
            reward=torch.from_numpy(as_float32(reward)),
            terminated=torch.from_numpy(terminated),
            truncated=torch.from_numpy(truncated),
            diverged=down,
            final_obs=torch.from_numpy(final_obs),
            idle=torch.from_numpy(idle),
            success=success,
        )

    def _successes(self) -> Tensor | None:
        """Return which copies said that a step was a success, `[K, B]`; None where all were silent."""
        said = [slot.copies.success for slot in self._slots]
        if all(row is None for row in said):
            return None
        silent = np.zeros(self._idle.shape[1], np.bool_)
        return torch.from_numpy(np.stack([silent if row is None else row for row in said]))

    def _rows(self, num_tasks: int, copies: int) -> np.ndarray:
        """Return room for the observations of all copies."""
        return np.empty((num_tasks, copies, self.spec.obs_size), np.uint8 if self.spec.parts else np.float32)

    def _restart(self, ended: np.ndarray, obs: np.ndarray) -> None:
        """Start the next episodes of the copies that `ended [K, B]`, or leave them idle; write first observations."""
        self._elapsed[ended] = 0
        if self._one_episode:
            ended = ended & ~self._leave(ended)
        self._idle = self._waits & ended & ~ended.all(1, keepdims=True)
        for k in np.flatnonzero((ended & ~self._idle).any(1)).tolist():
            try:
                self._watch("reset", -1, NO_SEED)
                self._slots[k].copies.restart(ended[k], self._seeds[k], obs[k])
            except BaseException as error:
                self._fail(k, "reset", error)
                obs[k] = 0.0

    def _check_torch(self, before: Modes, moment: Moment) -> None:
        """Check that no environment has changed torch for the whole program."""
        if changed := undone(before):
            raise EnvError(f"{self._foreign.name}: {moment} of an environment {changed}")

    def _leave(self, ended: np.ndarray) -> np.ndarray:
        """Return which copies that `ended [K, B]` are left alone from here on, where their environments allow it."""
        for k in np.flatnonzero(ended.any(1)).tolist():
            if self._slots[k].copies.leave(ended[k]):
                self._left[k] |= ended[k]
        return self._left

    def _check_cut(self, late: np.ndarray, ended: np.ndarray) -> None:
        """Check that copies which our horizon cuts, but their environment did not, can be restarted."""
        for k in np.flatnonzero((late & ~ended).any(1)).tolist():
            if not (self._slots[k].copies.restarts_any or (late | ended)[k].all()):
                raise EnvError(
                    f"{self._foreign.name}: the vector environment goes on at the horizon ({self.spec.horizon} steps) "
                    "and cannot reset one copy alone; give it the horizon as its own time limit (max_episode_steps of "
                    "gymnasium.make_vec), or return a plain environment"
                )

    def _assign(self, tasks: Tasks, copies: int) -> list["_Slot"]:
        """Return one slot per task: one that holds the task, else one that can be turned to it, else a new one."""
        params = [self._foreign.plain(tasks.params, k) for k in range(len(tasks))]
        keys = [_key(task, copies) for task in params]
        free = list(self._pool)
        chosen: list[_Slot | None] = [_pop(free, key) for key in keys]
        spare = [slot for slot in free if slot.key[0] == copies]
        hashes = content_hashes(tasks)
        self._slots = []
        for k, (key, slot) in enumerate(zip(keys, chosen, strict=True)):
            self._slots.append(slot or _Slot(key, hashes[k], tasks.plain_params(k), BrokenCopies()))
            if slot is None:
                self._open(k, params[k], spare)
        unused = [slot for slot in self._pool if slot not in self._slots]
        self._pool[:] = self._slots
        self._faults += _close_all(unused, self._watch)
        return self._slots

    def _open(self, k: int, task: TaskParams, spare: "list[_Slot]") -> None:
        """Give slot k its copies: those of a spare one that can be turned to the task, else new ones."""
        slot = self._slots[k]
        self._watch("construct", -1, NO_SEED)
        try:
            given = spare.pop() if spare else None
            if given is not None and given.copies.give(task):
                slot.copies, given.copies = given.copies, BrokenCopies()
            else:
                slot.copies = self._foreign.open(task, slot.key[0])
        except BaseException as error:
            self._fail(k, "construct", error)

    def _shape_of(self, action: Tensor) -> tuple[int, int]:
        if not self._slots:
            raise InputError("step was called before reset; an environment gets its tasks from reset")
        shape = self._down.shape
        expected = (*shape, *self.spec.action.shape)
        if action.shape != expected:
            raise InputError(f"action has shape {list(action.shape)}, expected {list(expected)} as reset")
        return shape[0], shape[1]

    def _fail(self, k: int, moment: Moment, error: BaseException, action: Tensor | None = None) -> None:
        """Take a slot out until the next reset, and note why; what is wrong with the family as a whole is raised."""
        if is_interruption(error) or (_cause(error) is error and isinstance(error, DrmlError)):
            raise error
        slot = self._slots[k]
        copy = error.copy if isinstance(error, CopyDied) else slot.copies.called
        episode, seed = self._seeds[k].begun(copy) if moment != "construct" else (0, NO_SEED)
        self._faults.append(
            Fault(
                task=slot.task,
                params=slot.params,
                row=k,
                copy=copy,
                episode=episode,
                step=int(self._elapsed[k, copy]) if moment == "step" and copy >= 0 else 0,
                moment=moment,
                kind=_kind(error),
                message=_message(error),
                action=() if action is None else tuple(action[max(copy, 0)].double().reshape(-1).tolist()),
                seed=seed,
            )
        )
        self._down = self._down.clone()
        self._down[k] = True
        slot.key = BROKEN  # it stays in the pool, to be closed by the next reset
        self._slots[k] = _Slot(BROKEN, slot.task, slot.params, BrokenCopies())
        self._waits[k] = False


def as_float32(numbers: np.ndarray) -> np.ndarray:
    """Return numbers in float32, infinite where they are beyond it."""
    with np.errstate(over="ignore"):  # what is not finite is told further down, as a fault
        return numbers.astype(np.float32)


Key = tuple[int, bytes]
"""The number of copies, and the task's parameters."""
BROKEN: Key = (0, b"")


@dataclass(slots=True, eq=False)
class _Slot:
    """The copies of one task."""

    key: Key
    task: str
    """Content hash of the task."""
    params: Mapping[str, Any]
    """Its parameters as plain numbers."""
    copies: Copies


def _key(task: TaskParams, copies: int) -> Key:
    return copies, b"".join(name.encode() + np.asarray(value).tobytes() for name, value in sorted(task.items()))


def _pop(free: list[_Slot], key: Key) -> _Slot | None:
    for i, slot in enumerate(free):
        if slot.key == key:
            return free.pop(i)
    return None


def _close_all(slots: Sequence[_Slot], watch: Watch) -> list[Fault]:
    """Close the environments of slots and return what failed."""
    faults: list[Fault] = []
    for slot in slots:
        watch("close", -1, NO_SEED)
        try:
            slot.copies.close()
        except BaseException as error:
            if is_interruption(error):
                raise
            copy = slot.copies.called
            faults.append(Fault(slot.task, slot.params, -1, copy, 0, 0, "close", _kind(error), _message(error)))
    return faults


def _close_at_last(slots: list[_Slot], watch: Watch) -> None:
    """Close the environments of slots; what fails there is a warning, since no step follows that could tell."""
    before = torch_modes()
    for fault in _close_all(slots, watch):
        _log.warning("task %s: %s", label(fault.params), fault.describe())
    if changed := undone(before):
        _log.warning("close of an environment %s", changed)
    slots.clear()


def _kind(error: BaseException) -> FaultKind:
    if isinstance(error, CopyDied):
        return "died"
    return "out of memory" if isinstance(_cause(error), MemoryError) else "raised"


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, CopyDied) else blame(_cause(error)).removeprefix("raised ")


def _cause(error: BaseException) -> BaseException:
    """Return what foreign code raised, where one of our own errors was raised from it."""
    return error.__cause__ if isinstance(error, DrmlError) and error.__cause__ is not None else error


def shown(task: Mapping[str, Any]) -> str:
    """Return a task's parameters as text, such as `length=0.8`."""
    return ", ".join(f"{name}={np.array2string(np.asarray(value), precision=4)}" for name, value in task.items())
