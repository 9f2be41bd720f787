"""Task parameters: maps from the unit cube to values, one coordinate per degree of freedom.

Each parameter is the quantile function of its distribution: independent coordinates uniform on [0, 1) become values.
The maps are one-to-one in every continuous coordinate, so that disjoint regions of the unit cube are disjoint sets of
tasks; `drml.tasks.distribution` cuts its splits there.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from drml.core.errors import InputError
from drml.tasks.given import Range, Shape, Value, as_range_beside, as_shape, as_values, check_numbers

SMALLEST_UNIT = 2.0**-54  # below the finest uniform draw but zero, 2^-53: keeps the quantiles of 0 finite


@runtime_checkable
class Parameter(Protocol):
    """A named quantity in which tasks differ."""

    @property
    def shape(self) -> Shape:
        """Return the shape of one task's value."""
        ...

    @property
    def size(self) -> int:
        """Return the number of unit-cube coordinates that one value takes."""
        ...

    @property
    def num_values(self) -> int | None:
        """Return the number of distinct values, None where the parameter is continuous."""
        ...

    def quantile(self, unit: np.ndarray) -> np.ndarray:
        """Return values `[n, *shape]` float64 for coordinates `[n, size]` in [0, 1)."""
        ...

    def out_of_distribution(self) -> "Parameter | None":
        """Return the parameter over its out-of-distribution range, None where none is declared."""
        ...

    def describe(self) -> str:
        """Return the distribution as text, such as `Uniform(0, 2)`."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Independent numbers uniform on [low, high): x = low + u (high − low).

    Raises:
        InputError: unless low < high, both finite, and `ood` is such a range beside [low, high).
    """

    low: float
    """Smallest value."""
    high: float
    """Upper end, never reached."""
    shape: Shape = ()
    """Shape of one task's value."""
    ood: Range | None = None
    """Out-of-distribution range; may touch [low, high) but not overlap it."""

    def __post_init__(self) -> None:
        ood = as_range_beside("Uniform", (self.low, self.high), self.ood)
        _set(self, shape=as_shape("Uniform", self.shape), ood=ood)

    @property
    def size(self) -> int:
        """Return one coordinate per number."""
        return math.prod(self.shape)

    @property
    def num_values(self) -> None:
        """Return None: continuous."""
        return None

    def quantile(self, unit: np.ndarray) -> np.ndarray:
        """Return low + u (high − low), `[n, *shape]`."""
        value = self.low + unit * (self.high - self.low)
        return _below(value, self.high).reshape(-1, *self.shape)

    def out_of_distribution(self) -> "Uniform | None":
        """Return the uniform distribution on `ood`."""
        return None if self.ood is None else Uniform(*self.ood, self.shape)

    def describe(self) -> str:
        """Return `Uniform(low, high)`."""
        return f"Uniform({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class LogUniform:
    """Independent positive numbers whose logarithm is uniform: x = low (high / low)ᵘ.

    Raises:
        InputError: unless 0 < low < high, both finite, and `ood` is such a range beside [low, high).
    """

    low: float
    """Smallest value, positive."""
    high: float
    """Upper end, never reached."""
    shape: Shape = ()
    """Shape of one task's value."""
    ood: Range | None = None
    """Out-of-distribution range; may touch [low, high) but not overlap it."""

    def __post_init__(self) -> None:
        ood = as_range_beside("LogUniform", (self.low, self.high), self.ood)
        _set(self, shape=as_shape("LogUniform", self.shape), ood=ood)
        if min((self.low, *(self.ood or ()))) <= 0.0:
            raise InputError(f"LogUniform({self.low:g}, {self.high:g}): every bound must be positive")

    @property
    def size(self) -> int:
        """Return one coordinate per number."""
        return math.prod(self.shape)

    @property
    def num_values(self) -> None:
        """Return None: continuous."""
        return None

    def quantile(self, unit: np.ndarray) -> np.ndarray:
        """Return low (high / low)ᵘ, `[n, *shape]`."""
        value = self.low * np.exp(unit * math.log(self.high / self.low))
        return _below(value, self.high).reshape(-1, *self.shape)

    def out_of_distribution(self) -> "LogUniform | None":
        """Return the log-uniform distribution on `ood`."""
        return None if self.ood is None else LogUniform(*self.ood, self.shape)

    def describe(self) -> str:
        """Return `LogUniform(low, high)`."""
        return f"LogUniform({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Normal:
    """Independent normal numbers: x = mean + std Φ⁻¹(u).

    Raises:
        InputError: unless mean and std are finite and std > 0.
    """

    mean: float
    """Mean."""
    std: float
    """Standard deviation."""
    shape: Shape = ()
    """Shape of one task's value."""

    def __post_init__(self) -> None:
        _set(self, shape=as_shape("Normal", self.shape))
        check_numbers("Normal", self.mean, self.std)
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0.0):
            raise InputError(f"Normal({self.mean:g}, {self.std:g}): mean must be finite, std finite and positive")

    @property
    def size(self) -> int:
        """Return one coordinate per number."""
        return math.prod(self.shape)

    @property
    def num_values(self) -> None:
        """Return None: continuous."""
        return None

    def quantile(self, unit: np.ndarray) -> np.ndarray:
        """Return mean + std Φ⁻¹(u), `[n, *shape]`."""
        inside = torch.from_numpy(np.maximum(unit, SMALLEST_UNIT))
        value = self.mean + self.std * torch.special.ndtri(inside).numpy()
        return value.reshape(-1, *self.shape)

    def out_of_distribution(self) -> None:
        """Return None: a normal distribution leaves no range free."""
        return None

    def describe(self) -> str:
        """Return `Normal(mean, std)`."""
        return f"Normal({self.mean:g}, {self.std:g})"


@dataclass(frozen=True)
class Dirichlet:
    """Uniform points of the simplex along the last axis, Dirichlet(1, ..., 1), by breaking a stick.

        vᵢ = 1 − (1 − uᵢ)^(1/(n − i)),  pᵢ = vᵢ Πⱼ﹤ᵢ (1 − vⱼ),  i = 1 .. n − 1;  pₙ is the rest

    Each vᵢ is Beta(1, n − i). Unlike n normalised exponentials, n − 1 coordinates give each point of the simplex once.

    Source: Sethuraman, 1994, "A constructive definition of Dirichlet priors", for the stick.

    Raises:
        InputError: unless concentration is 1 and the last axis of `shape` has at least two entries.
    """

    concentration: float = 1.0
    """Concentration of each entry; only 1 has quantiles in closed form."""
    shape: Shape = (2,)
    """Shape of one task's value; the last axis is a simplex."""

    def __post_init__(self) -> None:
        _set(self, shape=as_shape("Dirichlet", self.shape))
        if self.concentration != 1.0:
            raise InputError(f"Dirichlet: concentration {self.concentration} is not supported, use 1.0")
        if not self.shape or self.shape[-1] < 2:
            raise InputError(f"Dirichlet: shape {self.shape} needs a last axis (the simplex) of at least 2 entries")

    @property
    def size(self) -> int:
        """Return n − 1 coordinates per simplex of n entries."""
        return math.prod(self.shape[:-1]) * (self.shape[-1] - 1)

    @property
    def num_values(self) -> None:
        """Return None: continuous."""
        return None

    def quantile(self, unit: np.ndarray) -> np.ndarray:
        """Return points of the simplex, `[n, *shape]`."""
        entries = self.shape[-1]
        unit = unit.reshape(-1, *self.shape[:-1], entries - 1)
        log_kept = np.log1p(-unit) / np.arange(entries - 1, 0, -1)  # log(1 − vᵢ)
        log_rest = np.cumsum(log_kept, axis=-1) - log_kept  # log of the stick before break i
        broken = -np.expm1(log_kept) * np.exp(log_rest)
        last = np.exp(log_kept.sum(axis=-1, keepdims=True))
        return np.concatenate([broken, last], axis=-1)

    def out_of_distribution(self) -> None:
        """Return None: the whole simplex is in distribution."""
        return None

    def describe(self) -> str:
        """Return `Dirichlet(concentration)`."""
        return f"Dirichlet({self.concentration:g})"


@dataclass(frozen=True)
class Disc:
    """A point of the plane uniform on a disc about the origin: r = radius √u₁, at the angle 2π u₂.

    Raises:
        InputError: unless 0 < radius < ∞, and `ood` are the radii of a ring outside of the disc.
    """

    radius: float
    """Radius of the disc."""
    ood: Range | None = None
    """Inner and outer radius of the ring that is out of distribution; may touch the disc but not overlap it."""
    inner: float = 0.0
    """Points nearer to the origin are left out: the disc is a ring."""

    def __post_init__(self) -> None:
        _set(self, ood=as_range_beside("Disc", (self.inner, self.radius), self.ood))
        if self.inner < 0.0 or (self.ood and self.ood[0] < self.radius):
            raise InputError(f"Disc({self.radius:g}): radii must be positive, those of ood beyond the disc's")

    @property
    def shape(self) -> Shape:
        """Return (2,): x and y."""
        return (2,)

    @property
    def size(self) -> int:
        """Return 2: radius and angle."""
        return 2

    @property
    def num_values(self) -> None:
        """Return None: continuous."""
        return None

    def quantile(self, unit: np.ndarray) -> np.ndarray:
        """Return points `[n, 2]`; with an inner radius, r² = inner² + u₁ (radius² − inner²)."""
        squared = self.inner**2 + unit[:, 0] * (self.radius**2 - self.inner**2)
        radius, angle = _below(np.sqrt(squared), self.radius), 2.0 * math.pi * unit[:, 1]
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)

    def out_of_distribution(self) -> "Disc | None":
        """Return the uniform distribution on the ring `ood`."""
        return None if self.ood is None else Disc(self.ood[1], inner=self.ood[0])

    def describe(self) -> str:
        """Return `Disc(radius)`, or `Ring(inner, radius)`."""
        return f"Ring({self.inner:g}, {self.radius:g})" if self.inner else f"Disc({self.radius:g})"


@dataclass(frozen=True)
class Choice:
    """One of a few values, each as likely: x = values[⌊u n⌋]; a value is a number or a tuple of numbers.

    Values may also be given as an array or as lists: they become Python's own numbers, and tuples of them.

    Raises:
        InputError: if there is no value, or values (with those of `ood`) repeat, differ in length, or are not numbers
            that are finite.
    """

    values: tuple[Value, ...]
    """The values, all of one length."""
    ood: tuple[Value, ...] | None = None
    """Out-of-distribution values."""

    def __post_init__(self) -> None:
        _set(self, values=as_values(self.values), ood=None if self.ood is None else as_values(self.ood))
        together = (*self.values, *(self.ood or ()))
        try:
            numbers = np.array(together, np.float64)
        except ValueError:
            raise InputError(f"Choice: values differ in length: {together}") from None
        if not np.isfinite(numbers).all():
            raise InputError(f"Choice: values must be finite, got {together}")
        if len(set(together)) < len(together):
            raise InputError(f"Choice: values and ood values must all be different, got {together}")

    @property
    def shape(self) -> Shape:
        """Return the shape of one value: `()` for numbers."""
        return np.shape(self.values[0])

    @property
    def size(self) -> int:
        """Return 1: one coordinate picks the value."""
        return 1

    @property
    def num_values(self) -> int:
        """Return the number of values."""
        return len(self.values)

    def quantile(self, unit: np.ndarray) -> np.ndarray:
        """Return values[⌊u n⌋], `[n, *shape]`."""
        index = np.minimum((unit[:, 0] * self.num_values).astype(np.int64), self.num_values - 1)
        return np.asarray(self.values, dtype=np.float64)[index]

    def out_of_distribution(self) -> "Choice | None":
        """Return the choice among the `ood` values."""
        return None if self.ood is None else Choice(self.ood)

    def describe(self) -> str:
        """Return `Choice(first, second, ...)`, shortened where there are many values."""
        shown = ", ".join(str(value) for value in self.values[:4])
        return f"Choice({shown}{f', ... {self.num_values} values' if self.num_values > 4 else ''})"


def _below(value: np.ndarray, high: float) -> np.ndarray:
    """Return `value`, kept below `high` where rounding reached it."""
    return np.minimum(value, np.nextafter(high, -np.inf))


def _set(parameter: Parameter, **fields: object) -> None:
    """Set fields of a frozen parameter to what its user meant by them."""
    for name, value in fields.items():
        object.__setattr__(parameter, name, value)
