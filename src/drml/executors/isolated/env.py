"""K tasks x B copies in K processes: any environment, cut off where it hangs, dies or takes too much memory.

Each process holds the copies of one task and runs the very code that would run here, so a healthy environment gives the
same numbers in both places, to the bit. A process that fails is killed at once; the task is out until the next reset,
which starts another one. Nothing is replayed.
"""

import logging
import pickle
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import EnvError, InputError
from drml.core.fault import NO_SEED, Fault, label
from drml.core.rng import Streams
from drml.core.types import EnvSpec, Step, Tasks
from drml.envs.api import BatchEnv, EnvOptions, Isolation, Suite
from drml.executors.isolated import wire
from drml.executors.isolated.process import Answer, Failure, Process, gather
from drml.executors.isolated.worker import Make
from drml.tasks.distribution import content_hashes

_log = logging.getLogger(__name__)


def isolated(suite: Suite, bounds: Isolation, one_episode: bool = False) -> "IsolatedEnv":
    """Return the environment of a suite, each task in a process of its own.

    Args:
        suite: the suite.
        bounds: what a process may take.
        one_episode: see `EnvOptions`.

    Raises:
        InputError: if the suite cannot be sent to another process.
    """
    from drml.suites.registry import SUITES

    is_known = ":" in suite.name or SUITES.get(suite.name) is suite
    make: Make = partial(_make_by_name, suite.name) if is_known else suite.make
    return IsolatedEnv(suite.spec, _pickled(suite.name, partial(_make, make, one_episode)), bounds)


def _make_by_name(name: str, options: EnvOptions) -> BatchEnv:
    from drml.suites.registry import suite

    return suite(name).make(options)


def _make(make: Make, one_episode: bool, options: EnvOptions) -> BatchEnv:
    return make(replace(options, one_episode=one_episode))


def _pickled(name: str, make: Make) -> bytes:
    """Return a function for a process of ours; Gymnasium's own pickler also takes functions that have no name."""
    try:
        from cloudpickle import dumps
    except ModuleNotFoundError:
        dumps = pickle.dumps
    try:
        return dumps(make)
    except Exception as error:
        raise InputError(
            f"{name} cannot be sent to a process of its own ({error}); name it module:attribute, or do not isolate it"
        ) from error


@final
class _Slot:
    """A process and the task that it holds."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.key = ""
        """Content hash of the task, and the number of copies; empty while it holds none."""
        self.task = Tasks({}, torch.zeros(1, dtype=torch.int64))
        self.is_worn = False
        """True once it ran out of memory: it is to be replaced as soon as its task is through."""


@final
class IsolatedEnv:
    """K x B copies of an environment in K processes; implements `BatchEnv`."""

    def __init__(self, spec: EnvSpec, pickled: bytes, bounds: Isolation) -> None:
        self._spec, self._pickled, self._bounds = spec, pickled, bounds
        self._pool: list[_Slot] = []
        self._slots: list[_Slot | None] = []  # by task; None where it is out
        self._faults: list[Fault] = []

    @property
    def spec(self) -> EnvSpec:
        """Return the shape of observations and actions, and the horizon."""
        return self._spec

    def close(self) -> None:
        """Close all environments and end all processes; what fails there is a warning."""
        for slot, answer in self._ask(self._pool, [(wire.CLOSE, b"")] * len(self._pool)).items():
            if isinstance(answer, Failure):
                what = Fault("", {}, -1, answer.copy, 0, 0, "close", answer.kind, answer.message)
                _log.warning("task %s: %s", label(slot.task.plain_params(0)), what.describe())
            slot.process.kill()
        self._pool, self._slots = [], []

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Start a first episode in `copies` copies of each task and return the observations `[K, B, O]`.

        Raises:
            InputError: if the environment refuses the tasks, or a process cannot start.
        """
        num_tasks = len(tasks)
        self._tasks, self._copies, self._hashes = tasks, copies, content_hashes(tasks)
        self._elapsed = np.zeros((num_tasks, copies), np.int64)
        self._episode = np.zeros((num_tasks, copies), np.int64)
        self._down = torch.zeros((num_tasks, copies), dtype=torch.bool)
        obs = torch.zeros(num_tasks, copies, self._spec.obs_size, dtype=self._spec.obs_dtype)
        self._slots = [None] * num_tasks
        self._drop([slot for slot in self._pool if slot.is_worn or slot.process.has_ended])
        waiting = list(range(num_tasks))
        while waiting:
            waiting = self._reset(waiting, rng, obs)
        return obs

    def _reset(self, chosen: Sequence[int], rng: Streams, obs: Tensor) -> list[int]:
        """Reset tasks and write their observations; return those that met what another task left behind."""
        again: list[int] = []
        tasks = [self._tasks.select(torch.tensor([k])) for k in chosen]
        slots = self._assign([f"{self._hashes[k]} {self._copies}" for k in chosen])
        requests = [(wire.RESET, wire.pack_reset(task, self._copies, rng)) for task in tasks]
        answers = self._ask(slots, requests)
        for k, task, slot in zip(chosen, tasks, slots, strict=True):
            answer = answers[slot]
            if isinstance(answer, Failure) and answer.moment == "close" and slot.key:
                self._note(-1, slot.task, answer)  # the task before is to blame
                again.append(k)
                continue
            slot.key, slot.task = f"{self._hashes[k]} {self._copies}", task
            self._slots[k] = slot
            found = self._checked(k, answer)
            if found is not None:
                obs[k] = torch.from_numpy(wire.unpack_obs(found.payload, self._copies, self._spec).copy())
        return again

    def step(self, action: Tensor) -> Step:
        """Step all copies by one action each: `[K, B, A]` float32, or `[K, B]` int64 where actions are discrete.

        Raises:
            InputError: if the action does not fit, or there was no reset.
        """
        shape = self._shape_of(action)
        obs, final_obs = torch.zeros(2, *shape, self._spec.obs_size, dtype=self._spec.obs_dtype)
        reward = torch.zeros(shape)
        flags = torch.zeros(wire.NUM_FLAGS + 1, *shape, dtype=torch.bool)
        said = False  # whether anything was said of success
        running = [(k, slot) for k, slot in enumerate(self._slots) if slot is not None]
        answers = self._ask(
            [slot for _, slot in running], [(wire.STEP, wire.pack_action(action[k : k + 1])) for k, _ in running]
        )
        for k, slot in running:
            found = self._checked(k, answers[slot], action[k])
            if found is None:
                continue
            arrays, faults = wire.unpack_step(found.payload, self._copies, self._spec)
            obs[k], final_obs[k], reward[k] = (torch.from_numpy(array.copy()) for array in arrays[:3])
            flags[: len(arrays[3]), k] = torch.from_numpy(arrays[3].astype(np.bool_))
            said |= len(arrays[3]) > wire.NUM_FLAGS
            self._take(k, slot, faults)
        terminated, truncated, diverged, idle, success = flags
        ended = (terminated | truncated).numpy()
        self._episode += ended
        self._elapsed = np.where(ended | idle.numpy(), 0, self._elapsed + 1)
        diverged = diverged | self._down
        return Step(obs, reward, terminated, truncated, diverged, final_obs, idle, success if said else None)

    def take_faults(self) -> tuple[Fault, ...]:
        """Return what has failed since this was asked last."""
        told, self._faults = tuple(self._faults), []
        return told

    def _shape_of(self, action: Tensor) -> tuple[int, int]:
        if not self._slots:
            raise InputError("step was called before reset; an environment gets its tasks from reset")
        shape = (len(self._slots), self._copies)
        expected = (*shape, *self._spec.action.shape)
        if action.shape != expected:
            raise InputError(f"action has shape {list(action.shape)}, expected {list(expected)} as reset")
        return shape

    def _assign(self, keys: Sequence[str]) -> list[_Slot]:
        """Return a process for each task: the one that holds it already, else a free one, else a new one."""
        free = [slot for slot in self._pool if slot not in self._slots]
        chosen: list[_Slot | None] = []
        for key in keys:
            holding = next((slot for slot in free if slot.key == key), None)
            chosen.append(holding)
            if holding is not None:
                free.remove(holding)
        return [slot or (free.pop() if free else self._start()) for slot in chosen]

    def _start(self) -> _Slot:
        slot = _Slot(Process(self._pickled, self._bounds.timeout, round(self._bounds.memory_gb * 2**30)))
        self._pool.append(slot)
        return slot

    def _ask(self, slots: Sequence[_Slot], requests: Sequence[tuple[bytes, bytes]]) -> dict[_Slot, Answer | Failure]:
        """Send each process its request and return the answers; a process that failed is out of the pool."""
        found: dict[_Slot, Answer | Failure] = {}
        asked: dict[Process, _Slot] = {}
        for slot, (verb, payload) in zip(slots, requests, strict=True):
            failure = slot.process.ask(verb, payload)
            if failure is None:
                asked[slot.process] = slot
            else:
                found[slot] = failure
        found |= {asked[process]: answer for process, answer in gather(asked).items()}
        failed = [slot for slot, answer in found.items() if isinstance(answer, Failure)]
        self._pool = [slot for slot in self._pool if slot not in failed]
        return found

    def _checked(self, k: int, answer: Answer | Failure, action: Tensor | None = None) -> Answer | None:
        """Return a good answer; note what is wrong with another one, and take the task out."""
        slot = self._slots[k]
        if isinstance(answer, Answer) and answer.verb != wire.ERROR:
            return answer
        if isinstance(answer, Answer):
            error = wire.unpack_json(answer.payload)[0]
            if error["exit_code"]:
                raise (InputError if error["exit_code"] == InputError.exit_code else EnvError)(error["message"])
            answer = Failure(error["kind"], error["message"], "reset" if action is None else "step", -1, NO_SEED)
        if slot is not None:
            self._note(k, slot.task, answer, action)
            self._take_out(k, slot)
        return None

    def _take(self, k: int, slot: _Slot, faults: Sequence[Fault]) -> None:
        """Pass on what failed within a process that goes on."""
        for fault in faults:
            self._faults.append(replace(fault, row=k if fault.row >= 0 else -1))
            slot.is_worn |= fault.kind == "out of memory"

    def _drop(self, slots: Sequence[_Slot]) -> None:
        for slot in slots:
            slot.process.kill()
        self._pool = [slot for slot in self._pool if slot not in slots]

    def _take_out(self, k: int, slot: _Slot) -> None:
        self._drop([slot])
        self._slots[k] = None
        self._down = self._down.clone()
        self._down[k] = True

    def _note(self, k: int, task: Tasks, failure: Failure, action: Tensor | None = None) -> None:
        """Note a process that failed: in the call of a copy, if the process has told."""
        copy = failure.copy
        known = k >= 0 and copy >= 0
        begins = failure.moment == "reset" and action is not None  # a step's reset starts the next episode
        self._faults.append(
            Fault(
                task=content_hashes(task)[0],
                params=task.plain_params(0),
                row=k,
                copy=copy,
                episode=int(self._episode[k, copy]) + begins if known else 0,
                step=int(self._elapsed[k, copy]) if known and failure.moment == "step" else 0,
                moment=failure.moment,
                kind=failure.kind,
                message=failure.message,
                action=()
                if action is None or failure.moment != "step"
                else tuple(action[max(copy, 0)].double().reshape(-1).tolist()),
                seed=failure.seed,
            )
        )
