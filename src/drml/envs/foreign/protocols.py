"""Environments that bring their tasks with them, by one of the field's older conventions, accepted as they are.

    sample_tasks(n), set_task(task)          learn2learn, garage, RLlib until 2.x
    get_all_task_idx(), reset_task(index)    PEARL
    sample_tasks(n), reset_task(task)        VariBAD
    sample_tasks(n) or tasks, and reset(options={"task": task})

Their tasks are opaque to us, so the one task parameter is an index into a list of tasks, which is drawn once, with a
fixed seed, and without repetitions: a task that is in the list twice could be trained and tested on.
"""

import inspect
import pickle
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from drml.core.blame import foreign
from drml.core.errors import InputError
from drml.core.global_generators import seeded
from drml.envs.foreign.copies import AnyEnv, Give, Options
from drml.envs.foreign.family import GymFamily
from drml.envs.foreign.legacy import modern
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice

NUM_SAMPLED_TASKS = 100  # as PEARL's and VariBAD's sets; about ten of them each for validation and test
TASK_SEED = 0
INDEX = "task"
CONVENTIONS = ("sample_tasks", "get_all_task_idx", "tasks")

Factory = Callable[[], object]


@dataclass(frozen=True)
class TaskList:
    """The tasks that an environment brings, and how it is turned to one."""

    tasks: Sequence[Any]
    give: Give


def family_by_protocol(name: str, factory: Factory, horizon: int = 0) -> GymFamily:
    """Return the family of an environment class, or of a function without parameters that returns an environment.

    Args:
        name: the family's name.
        factory: makes one environment.
        horizon: steps per episode; 0 takes the environment's own time limit.

    Raises:
        InputError: if it cannot be called, speaks none of the conventions, or draws other tasks each time.
    """
    listed = _listed(name, factory)
    again = _listed(name, factory)
    if [_fingerprint(task) for task in listed.tasks] != [_fingerprint(task) for task in again.tasks]:
        raise InputError(
            f"{name}: sample_tasks draws other tasks each time, so a run could not be resumed or repeated; it has to "
            "draw from self.np_random or from NumPy's global generator"
        )
    indices = Choice(tuple(range(len(listed.tasks))))
    try:
        tasks = TaskDistribution({INDEX: indices})
    except InputError:  # too few to hold any out, such as forward and backward
        tasks = TaskDistribution({INDEX: indices}, held_out=False)

    def make(task: int) -> AnyEnv:
        return modern(factory())

    summary = (inspect.getdoc(factory) or "").partition("\n")[0]
    return GymFamily(name, make, tasks, horizon, summary=summary, give=listed.give)


def brings_tasks(factory: Factory) -> bool:
    """Return whether environments bring tasks with them: one is built, as tasks may be made in `__init__`."""
    env = modern(factory())
    found = any(env.has_wrapper_attr(name) for name in CONVENTIONS)
    env.close()
    return found


def _listed(name: str, factory: Factory) -> TaskList:
    """Build an environment and return its tasks, without repetitions."""
    with foreign(f"{name}: asking an environment for its tasks"):
        env = modern(factory())
        with _seeded(env):
            found = _task_list(env)
        env.close()
    if found is None:
        raise InputError(
            f"{name}: its environments bring no tasks (sample_tasks and set_task, or reset_task and get_all_task_idx); "
            "say what varies: a function of parameters under @task_family"
        )
    with foreign(
        f"{name}: telling tasks apart, made of numbers, text, arrays, lists, dictionaries or what can be pickled,"
    ):
        different = {_fingerprint(task): task for task in found.tasks}
    if not different:
        raise InputError(f"{name}: the environment lists no tasks")
    tasks = list(different.values())
    return TaskList(tasks, _giver(found.give, tasks))


def _giver(give: Callable[[AnyEnv, Any], Options | None], tasks: Sequence[Any]) -> Give:
    def give_by_index(env: AnyEnv, task: Mapping[str, Any]) -> Options | None:
        return give(env, tasks[task[INDEX]])

    return give_by_index


def _task_list(env: AnyEnv) -> TaskList | None:
    """Return the tasks of an environment by the first convention that it speaks; None where it speaks none."""
    has = env.has_wrapper_attr
    if has("sample_tasks") and has("set_task"):
        return TaskList(_sampled(env), _set_task)
    if has("get_all_task_idx") and has("reset_task"):
        return TaskList([int(i) for i in env.get_wrapper_attr("get_all_task_idx")()], _reset_task)
    if has("sample_tasks") and has("reset_task"):
        return TaskList(_sampled(env), _reset_task)
    if has("sample_tasks"):
        return TaskList(_sampled(env), _task_option)
    if has("tasks"):
        return TaskList(list(env.get_wrapper_attr("tasks")), _task_option)
    return None


def _sampled(env: AnyEnv) -> Sequence[Any]:
    return list(env.get_wrapper_attr("sample_tasks")(NUM_SAMPLED_TASKS))


def _set_task(env: AnyEnv, task: Any) -> None:  # noqa: ANN401 — opaque
    env.get_wrapper_attr("set_task")(task)


def _reset_task(env: AnyEnv, task: Any) -> None:  # noqa: ANN401
    env.get_wrapper_attr("reset_task")(task)


def _task_option(env: AnyEnv, task: Any) -> Options:  # noqa: ANN401
    return {"task": task}


@contextmanager
def _seeded(env: AnyEnv) -> Generator[None]:
    """Seed what an environment may draw its tasks from: its own generator, and the global ones.

    Much of the field's code draws tasks from `np.random`. The global generators are as before afterwards.
    """
    with seeded(TASK_SEED):
        env.unwrapped.np_random = np.random.Generator(np.random.PCG64(TASK_SEED))
        inner = getattr(env.unwrapped, "seed", None)
        if callable(inner):
            inner(TASK_SEED)
        yield


def _fingerprint(task: Any) -> bytes:  # noqa: ANN401
    """Return what a task is, so that equal tasks are equal bytes."""
    if isinstance(task, Mapping):
        entries = sorted(_fingerprint(key) + b":" + _fingerprint(value) for key, value in task.items())
        return b"{" + b",".join(entries) + b"}"
    if isinstance(task, list | tuple):
        return b"[" + b",".join(_fingerprint(part) for part in task) + b"]"
    if isinstance(task, np.ndarray | np.generic | float | int):
        return repr((np.shape(task), np.asarray(task, np.float64).tolist())).encode()
    return task.encode() if isinstance(task, str) else pickle.dumps(task)
