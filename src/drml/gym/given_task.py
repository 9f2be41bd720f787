"""One task of a family by its parameters: what users of Gymnasium write, checked, and what our environments take."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from drml.core.errors import InputError, suggest
from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.tasks.distribution import Split, TaskDistribution
from drml.tasks.samplers.uniform import UniformSampler

Task = dict[str, np.ndarray]
"""The parameters of one task by name, each in the shape that its family declares, float64."""


def given_task(family: TaskDistribution, values: Mapping[str, Any]) -> Task:
    """Return the task with these parameters; they may lie outside of the family's ranges.

    Raises:
        InputError: if a parameter is unknown, missing, of another shape, or not finite.
    """
    for name in values:
        if name not in family.params:
            raise InputError(f"unknown task parameter '{name}'{suggest(name, list(family.params))}")
    task: Task = {}
    for name, parameter in family.params.items():
        if name not in values:
            raise InputError(f"task parameter '{name}' is missing, expected shape {list(parameter.shape)}")
        value = np.asarray(values[name], np.float64)
        if value.shape != parameter.shape:
            raise InputError(f"task parameter '{name}' has shape {list(value.shape)}, expected {list(parameter.shape)}")
        if not np.isfinite(value).all():
            raise InputError(f"task parameter '{name}' is {value}, must be finite")
        task[name] = value
    return task


def drawn_task(family: TaskDistribution, split: Split, seed: int) -> Task:
    """Return the task of a split that belongs to a seed.

    Raises:
        InputError: if the family has no such split.
    """
    tasks = UniformSampler().sample({}, family, split, 1, Streams(seed)["gymnasium", "task"])
    return {name: value[0].numpy() for name, value in tasks.params.items()}


def as_tasks(tasks: Sequence[Task], ids: Sequence[int]) -> Tasks:
    """Return K tasks with the stream keys `ids`."""
    names = tasks[0]
    params = {name: torch.from_numpy(np.stack([task[name] for task in tasks])) for name in names}
    return Tasks(params, torch.tensor(ids, dtype=torch.int64))
