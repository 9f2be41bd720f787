"""Changes that tasks make to a robot: a parameter of the task stands in for constants of its model.

The changed constants are written once, at reset, for each simulation its own; a step takes no longer for them.
Constants that MuJoCo derives from them (a joint's inertia in the initial pose, say) are computed anew, so that a
simulation is that of a model which had these constants from the start.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import LogUniform

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Variation:
    """Rows of a model field that a task parameter changes."""

    parameter: str
    """Name of the task parameter."""
    field: str
    """Name of the `MjModel` field."""
    first: int
    """The first row (body, joint, geom or motor) that is changed."""
    count: int
    """Number of rows."""
    change: Callable[[Floats, Floats], Floats]
    """Function from the file's rows `[count, ...]` and the parameter's values `[N, ...]` to rows `[N, count, ...]`."""

    def describe(self) -> str:
        """Return the change, as text."""
        return f"{rows_of(self.field, self.first, self.count)} {self.change.__name__.replace('_', ' ')} it"

    def varied(self, original: Floats, value: Floats) -> Floats:
        """Return the whole field `[N, ...]`, given as the model file has it and the parameter's values."""
        rows = slice(self.first, self.first + self.count)
        field = np.repeat(original[None], len(value), axis=0)
        field[:, rows] = self.change(original[rows], value)
        return field


def rows_of(field: str, first: int, count: int) -> str:
    """Return `field[first]` or `field[first:end]`."""
    return f"{field}[{first}]" if count == 1 else f"{field}[{first}:{first + count}]"


def multiplied_by(original: Floats, factor: Floats) -> Floats:
    """Return each constant times its factor."""
    return original * factor


def increased_by(original: Floats, amount: Floats) -> Floats:
    """Return the constants of one row with an amount added to them."""
    return original + amount[:, None]


def zero_at(original: Floats, index: Floats) -> Floats:
    """Return the constants with those of one row set to zero."""
    lost = index[:, None] == np.arange(len(original))  # [N, count]
    return np.where(lost.reshape(*lost.shape, *(1,) * (original.ndim - 1)), 0.0, original)


@dataclass(frozen=True)
class Body:
    """Counts of the parts of a robot's model that have a physics of their own."""

    bodies: int
    """Bodies with a mass; the world, which comes first, has none."""
    fixed_dofs: int
    """Degrees of freedom of the root, which come first and have no damping."""
    dofs: int
    """The other ones."""
    geoms: int
    """Geoms, the floor's included."""


LOG_SCALE_LIMIT = 3.0


def random_physics(body: Body) -> tuple[TaskDistribution, tuple[Variation, ...]]:
    """Return tasks that differ in masses, inertias, damping and friction, and how they change the robot.

        mass, inertia, friction × 1.5^U(−3, 3)      damping × 1.3^U(−3, 3)

    Each body's mass, each of its three moments of inertia, each joint's damping, and each of the three coefficients of
    friction of each geom has a factor of its own.

    Source: Rothfuss et al. 2019 (ProMP), through the package rand_param_envs, `RandomEnv` with log_scale_limit 3. There
    bodies and degrees of freedom without a mass or damping have a factor too, which changes nothing; and constants that
    follow from the changed ones stay those of the unchanged robot.
    """
    wide, narrow = 1.5**LOG_SCALE_LIMIT, 1.3**LOG_SCALE_LIMIT
    tasks = TaskDistribution(
        {
            "mass": LogUniform(1.0 / wide, wide, shape=(body.bodies,)),
            "inertia": LogUniform(1.0 / wide, wide, shape=(body.bodies, 3)),
            "damping": LogUniform(1.0 / narrow, narrow, shape=(body.dofs,)),
            "friction": LogUniform(1.0 / wide, wide, shape=(body.geoms, 3)),
        }
    )
    variations = (
        Variation("mass", "body_mass", 1, body.bodies, multiplied_by),
        Variation("inertia", "body_inertia", 1, body.bodies, multiplied_by),
        Variation("damping", "dof_damping", body.fixed_dofs, body.dofs, multiplied_by),
        Variation("friction", "geom_friction", 0, body.geoms, multiplied_by),
    )
    return tasks, variations
