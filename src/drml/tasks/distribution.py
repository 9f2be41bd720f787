"""Task distributions p(T): products of named parameters, with splits that are disjoint by construction.

The unit cube of all coordinates is cut into cells: a value of a `Choice` is its own cell, a continuous coordinate is
cut into equal bins, so many that there are at least `min_cells`. A hash of the cell's index decides once and for all
whether its tasks are for training (8 in 10), validation (1 in 10) or test (1 in 10). A task lies in one cell, so it
belongs to one split, whoever draws it, with whatever seed. Only rounding to float64 can make one task of two that
lie within about 1e-16 of the range on either side of a cell's edge; `check_leak` finds such a pair.
"""

import hashlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from drml.core.errors import InputError, suggest
from drml.core.types import Tasks
from drml.tasks.parameter import Parameter

Split = Literal["train", "validation", "test", "ood"]

DEFAULT_CELLS = 4096  # a split of a continuous family is empty with probability 0.9^4096 ≈ 1e-187
FINE_CELLS = 2**40  # a split's mean of a function that varies by σ differs from the whole family's by some 3e-6 σ
MAX_LISTED = 4096
CELL_SPLITS = np.array(["train"] * 8 + ["validation", "test"])  # by the last digit of the cell's hash


@dataclass(frozen=True)
class TaskDistribution:
    """A product of independent named parameters, split into train, validation, test and out-of-distribution tasks.

    Points of the unit cube, `units [n, size]`, stand for tasks; their columns follow the parameters in order of name.
    The 'ood' split takes all parameters that declare an out-of-distribution range from there, the others as usual.

    Raises:
        InputError: if there is no parameter, if one is no distribution, if tasks are to be held out of a family that
            has too few of them, or if nothing is held out of a continuous family.
    """

    params: Mapping[str, Parameter]
    """The parameters by name."""
    held_out: bool = True
    """False for a family of a few tasks, such as two directions, that train, validation and test have to share."""
    min_cells: int = DEFAULT_CELLS
    """Cells at least of a continuous family. Few and large ones make held-out tasks differ more from those of training;
    many make each split the whole family in small, as it must be where a return is held against an exact optimum."""

    def __post_init__(self) -> None:
        if not self.params:
            raise InputError("TaskDistribution: needs at least one parameter")
        _check_distributions(self.params)
        object.__setattr__(self, "params", dict(sorted(self.params.items())))
        count = self.num_combinations("train")
        if not self.held_out and count is None:
            raise InputError("TaskDistribution: held_out=False is for a few discrete tasks, this family is continuous")
        if self.held_out and count is not None and count <= MAX_LISTED:
            missing = {"train", "validation", "test"} - set(self.split_of(self._grid("train")))
            if missing:
                raise InputError(
                    f"TaskDistribution: {count} tasks are too few to hold any out "
                    f"({', '.join(sorted(missing))} would be empty); declare held_out=False"
                )

    @property
    def size(self) -> int:
        """Return the number of unit-cube coordinates of a task."""
        return sum(parameter.size for parameter in self.params.values())

    def parameters(self, split: Split) -> dict[str, Parameter]:
        """Return the parameters that the tasks of a split are drawn from, in order of name.

        Raises:
            InputError: if the split is unknown, or is 'ood' and no parameter declares an out-of-distribution range.
        """
        if split not in get_args(Split):
            raise InputError(f"unknown split '{split}'{suggest(split, list(get_args(Split)))}")
        if split != "ood":
            return dict(self.params)
        outside = {name: parameter.out_of_distribution() for name, parameter in self.params.items()}
        if all(parameter is None for parameter in outside.values()):
            raise InputError(f"split 'ood': none of the parameters {', '.join(self.params)} declares an ood range")
        return {name: outside[name] or parameter for name, parameter in self.params.items()}

    def num_combinations(self, split: Split) -> int | None:
        """Return how many value combinations the split's parameters have, held out or not; None where continuous."""
        counts = [parameter.num_values for parameter in self.parameters(split).values()]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    @cached_property
    def bins(self) -> np.ndarray:
        """Return the number of bins of each coordinate, `[size]` int64."""
        continuous = sum(parameter.size for parameter in self.params.values() if parameter.num_values is None)
        fine = _root_above(self.min_cells, continuous) if continuous else 1
        return np.concatenate([np.full(p.size, p.num_values or fine) for p in self.params.values()])

    def split_of(self, units: np.ndarray) -> np.ndarray:
        """Return 'train', 'validation' or 'test' for each point `units [n, size]` of the unit cube.

        Raises:
            InputError: if `units` are not points of the unit cube, or the family holds no tasks out.
        """
        if not self.held_out:
            raise InputError("split_of: no held-out tasks, every task belongs to train, validation and test")
        self._check_units(units)
        cells = np.minimum((units * self.bins).astype("<i8"), self.bins - 1).astype("<i8")  # [n, size]
        digits = [_last_digit(cell.tobytes()) for cell in cells]
        return CELL_SPLITS[np.array(digits, dtype=np.int64)]

    def belongs(self, units: np.ndarray, split: Split) -> np.ndarray:
        """Return which points `units [n, size]` are tasks of the split, `[n]` bool.

        Raises:
            InputError: as `parameters` and `split_of` do.
        """
        self.parameters(split)
        if split == "ood" or not self.held_out:
            return np.ones(len(units), dtype=np.bool_)
        return self.split_of(units) == split

    def tasks(self, units: np.ndarray, split: Split, ids: Tensor) -> Tasks:
        """Return the tasks at points of the unit cube, their parameters in float64.

        Args:
            units: `[K, size]` in [0, 1), all of this split.
            split: the split; 'ood' reads the coordinates over the out-of-distribution ranges.
            ids: `[K]` int64, the tasks' stream keys.

        Raises:
            InputError: if a point lies outside of the unit cube or belongs to another split, or ids are not K.
        """
        parameters = self.parameters(split)
        self._check_units(units)
        if ids.shape != (len(units),):
            raise InputError(f"tasks: ids have shape {list(ids.shape)}, expected [{len(units)}], one per task")
        foreign = np.flatnonzero(~self.belongs(units, split))
        if foreign.size:
            raise InputError(f"tasks: point {foreign[0]} does not belong to split '{split}'; see split_of")
        return _tasks(parameters, units, ids)

    def listed_units(self, split: Split) -> np.ndarray:
        """Return one point `[N, size]` for each task of a split of a discrete family.

        Raises:
            InputError: if a parameter is continuous, or there are more than 4096 combinations of values.
        """
        units = self._grid(split)
        return units[self.belongs(units, split)]

    def all_tasks(self) -> Tasks:
        """Return each task of a discrete family once, those of all splits but 'ood'.

        Raises:
            InputError: if a parameter is continuous, or there are more than 4096 combinations of values.
        """
        units = self._grid("train")
        return _tasks(self.params, units, torch.arange(len(units)))

    def describe(self) -> str:
        """Return one row per parameter (name, shape, distribution, out-of-distribution range) and one on the splits."""
        width = max(len(name) for name in self.params)
        rows: list[str] = []
        for name, parameter in self.params.items():
            outside = parameter.out_of_distribution()
            ood = "" if outside is None else f"  ood {outside.describe()}"
            rows.append(f"{name:<{width}}  {list(parameter.shape)}  {parameter.describe()}{ood}")
        return "\n".join([*rows, self._describe_splits()])

    def _describe_splits(self) -> str:
        if not self.held_out:
            count = self.num_combinations("train")
            return f"no held-out tasks: the {count} tasks are shared by train, validation and test"
        cells = math.prod(int(bins) for bins in self.bins)
        return f"held out: about 1 in 10 of {cells:.3g} cells for validation, 1 in 10 for test"

    def _grid(self, split: Split) -> np.ndarray:
        """Return the centre of each cell of a discrete family's parameters, `[N, size]`."""
        count = self.num_combinations(split)
        if count is None or count > MAX_LISTED:
            family = "a continuous family" if count is None else f"a family of {count} tasks (more than {MAX_LISTED})"
            raise InputError(f"the tasks of {family} cannot be listed one by one; sample them instead")
        counts = [parameter.num_values or 1 for parameter in self.parameters(split).values()]
        index = np.indices(counts).reshape(len(counts), -1).T  # [N, size]
        return (index + 0.5) / np.array(counts)

    def _check_units(self, units: np.ndarray) -> None:
        if units.ndim != 2 or units.shape[1] != self.size:
            raise InputError(f"units have shape {list(units.shape)}, expected [n, {self.size}]")
        if not bool(((units >= 0.0) & (units < 1.0)).all()):  # also False for nan
            raise InputError("units must lie in [0, 1)")


def content_hashes(tasks: Tasks) -> list[str]:
    """Return what each task is, hashed: blake2b of its parameters' names, shapes and float64 values, without its id."""
    columns = {
        name: np.ascontiguousarray(value.detach().cpu().double().numpy() + 0.0, dtype="<f8")  # −0 and 0 are one value
        for name, value in sorted(tasks.params.items())
    }
    header = repr([(name, column.shape[1:]) for name, column in columns.items()]).encode()
    return [
        hashlib.blake2b(
            header + b"".join(column[k].tobytes() for column in columns.values()), digest_size=16
        ).hexdigest()
        for k in range(len(tasks))
    ]


def check_leak(a: Tasks, b: Tasks) -> None:
    """Check that no task is in both batches.

    Raises:
        InputError: names the first task of `a` that is also in `b`.
    """
    index_of = {digest: k for k, digest in reversed(list(enumerate(content_hashes(b))))}
    for k, digest in enumerate(content_hashes(a)):
        if digest in index_of:
            values = ", ".join(f"{name}={value[k].tolist()}" for name, value in sorted(a.params.items()))
            raise InputError(f"leak: task {k} of the first batch is task {index_of[digest]} of the second ({values})")


def _tasks(parameters: Mapping[str, Parameter], units: np.ndarray, ids: Tensor) -> Tasks:
    ends = np.cumsum([parameter.size for parameter in parameters.values()])
    columns = np.split(units, ends[:-1], axis=1)
    values = zip(parameters.items(), columns, strict=True)
    return Tasks({name: torch.from_numpy(p.quantile(column)) for (name, p), column in values}, ids)


def _check_distributions(params: object) -> None:
    """Check what a user has written as the parameters of a family."""
    if not isinstance(params, Mapping):
        raise InputError(f"TaskDistribution: params is {params!r}, expected a dictionary of distributions by name")
    for name, value in cast(Mapping[str, Any], params).items():
        if inspect.isclass(value) or not isinstance(value, Parameter):
            raise InputError(
                f"TaskDistribution: {name} is {value!r}, expected a distribution such as Uniform(0.5, 1.5)"
            )


def _root_above(number: int, degree: int) -> int:
    """Return the smallest b >= 2 with b^degree >= number, in integers: a rounded root would differ between machines."""
    low, high = 2, max(2, number)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if middle**degree >= number else (middle + 1, high)
    return low


def split_of_content(content: bytes) -> str:
    """Return 'train', 'validation' or 'test' for what a task is made of, as `split_of` does for a cell's index."""
    return str(CELL_SPLITS[_last_digit(content)])


def _last_digit(cell: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(cell, digest_size=8).digest(), "little") % 10
