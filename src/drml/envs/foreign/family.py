"""Your own tasks: a function from named parameters to an environment, and the distributions of the parameters.

    import gymnasium as gym
    from drml import Uniform, task_family

    @task_family(length=Uniform(0.5, 1.5), gravity=Uniform(8.0, 12.0))
    def pendulum(length: float, gravity: float) -> gym.Env:
        env = gym.make("Pendulum-v1", g=gravity)
        env.unwrapped.l = length
        return env

`drml train mymodule:pendulum maml` trains on it. A function that takes `num_envs` as well returns a vector environment
of so many copies of one task. A class with `params` and `make` does the same, see `family_of`.
"""

import inspect
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from numbers import Integral, Real
from typing import Any, TypeVar, cast, final

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from drml.core.blame import foreign
from drml.core.errors import DrmlError, EnvError, InputError, suggest
from drml.core.fault import NO_SEED, Watch, nobody
from drml.core.types import EnvSpec
from drml.envs.api import BatchEnv, EnvOptions, Suite
from drml.envs.foreign.adapter import Foreign, GymEnv, TaskParams, shown
from drml.envs.foreign.copies import (
    AnyEnv,
    AnyVectorEnv,
    Copies,
    Give,
    Options,
    PlainCopies,
    action_space_of,
    copies_of,
    obs_space_of,
)
from drml.envs.foreign.legacy import modern
from drml.envs.foreign.limits import check_one_limit, early_limit, proposed_horizon, time_limit
from drml.envs.foreign.watched import Watched
from drml.spaces.interface import Interface
from drml.spaces.observations import bytes_note, observations
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice, Parameter

Make = Callable[..., AnyEnv | AnyVectorEnv]
Seen = TypeVar("Seen")
NUM_ENVS = "num_envs"
EDGES = (0.02, 0.98)  # quantiles of all parameters at once: tasks that are far apart, and inside of the ranges


@final
@dataclass(frozen=True)
class GymFamily:
    """A family of tasks whose environments speak Gymnasium.

    Raises:
        InputError: if `make` does not take the parameters, or `horizon` or `action_scale` is not such a number.
    """

    name: str
    make: Make
    """Called with one task's parameters by name: numbers, and NumPy arrays where a parameter has a shape. Also with
    `num_envs`, if it takes that, and then returns a vector environment of so many copies of the one task."""
    tasks: TaskDistribution
    horizon: int = 0
    """Steps after which an episode is truncated; 0 takes the environments' own time limit, the same for all tasks."""
    action_scale: float = 1.0
    """Factor on a continuous policy's output, before [−1, 1] is mapped to the bounds of the action."""
    summary: str = ""
    """One sentence."""
    source: str = "The user's own."
    """Publication of this definition."""
    spec: EnvSpec | None = None
    """The shape of the environments, where it is known beforehand; otherwise one is built to see it."""
    give: Give | None = None
    """Turns an environment to another task, where it can be; such environments are built once and used again."""

    def __post_init__(self) -> None:
        if not (isinstance(self.horizon, Integral) and self.horizon >= 0):
            raise InputError(f"{self.name}: horizon is {self.horizon!r}, must be a whole number, 0 or more")
        if not (isinstance(self.action_scale, Real) and 0.0 < self.action_scale < math.inf):
            raise InputError(f"{self.name}: action_scale is {self.action_scale!r}, must be a number above 0")
        taken = _taken(self.make, list(self.tasks.params))
        for name in self.tasks.params:
            if taken is not None and name not in taken:
                raise InputError(f"{self.name}: make does not take the parameter '{name}'{suggest(name, taken)}")

    def __call__(self, **params: Any) -> AnyEnv | AnyVectorEnv:  # noqa: ANN401 — numbers and arrays
        """Return the environment of one task, as `make` does."""
        return self.make(**params)

    def suite(self) -> Suite:
        """Return the family as a suite, ready to be trained on.

        Raises:
            InputError: if an environment has to be built to see its spaces, and cannot, or does not fit.
        """
        try:
            if self.spec:
                return Suite(
                    self.name, self.summary, self.source, self.tasks, self.spec, self.open, look=self._interface
                )
            interface = self.interface
        except EnvError as error:
            raise InputError(str(error)) from error
        return Suite(
            self.name,
            self.summary,
            self.source,
            self.tasks,
            interface.spec,
            self.open,
            limit_note=self._shown.limit_note,
            bytes_note=bytes_note(interface.observations.layout),
            look=self._interface,
        )

    def open(self, options: EnvOptions) -> BatchEnv:
        """Return an environment of this family, in this process.

        Raises:
            InputError: if it is not what the family says it is.
        """
        interface = self.interface
        if self.spec is not None and interface.spec != self.spec:
            raise InputError(f"{self.name}: the environment has {interface.spec}, the family declares {self.spec}")
        opened = partial(self.copies, watch=options.watch)
        foreign = Foreign(self.name, interface.spec, interface.actions, opened, self.plain)
        return GymEnv(foreign, options.watch, one_episode=options.one_episode)

    def copies(self, task: TaskParams, num: int, watch: Watch = nobody) -> Copies:
        """Return `num` copies of the environment of one task; `watch` is told of each call of them.

        Raises:
            EnvError: if one cannot be built, or its spaces are not those of the other tasks.
        """
        interface = self.interface
        with _named(self.name):
            try:
                built = self._built(task, num, watch)
                for env in [built] if isinstance(built, VectorEnv) else built:
                    self._check_same(env, task)
            except InputError as error:  # the first environment was sound: what was asked for is, this task is not
                raise EnvError(f"the environment of {shown(task)}: {error}") from error.__cause__
        if isinstance(built, VectorEnv):
            return copies_of(built, interface.observations.write)
        copies = PlainCopies(built, interface.observations.write, None if self.give is None else self._turned)
        copies.give(task)
        return copies

    def _turned(self, env: AnyEnv, task: Mapping[str, Any]) -> Options | None:
        """Turn an environment to a task."""
        options = None if self.give is None else self.give(env, task)
        with _named(self.name):
            self._check_limit(env, task)
        return options

    def plain(self, params: Mapping[str, Tensor], k: int) -> TaskParams:
        """Return the parameters of task k as `make` takes them.

        Raises:
            InputError: if they are not those of this family.
        """
        if params.keys() != self.tasks.params.keys():
            raise InputError(
                f"{self.name}: tasks have the parameters {sorted(params)}, expected {[*self.tasks.params]}"
            )
        values = {name: value[k].cpu().numpy() for name, value in params.items()}
        return {name: _number(self.tasks.params[name], value) for name, value in values.items()}

    @property
    def interface(self) -> Interface:
        """Return the spaces and the horizon that one environment, of the task in the middle, shows of all.

        Raises:
            InputError: if its spaces do not fit, or there is no horizon.
            EnvError: if it cannot be built, looked at or closed, or does not say how it resets; or if tasks have
                time limits of their own.
        """
        return self._shown.interface

    def _interface(self) -> Interface:
        return self.interface

    @cached_property
    def _shown(self) -> "_Shown":
        """Return what the environment of the task in the middle of the distribution shows.

        Without a horizon, tasks at the edges of the distribution are looked at as well: do they have its time limit?
        """
        middle = self._task_at(0.5)
        with _named(self.name):
            found = self._look(middle, self._shown_by)
            if not self.horizon:
                limits = {shown(middle): found.interface.horizon}
                for task in map(self._task_at, EDGES):
                    with suppress(EnvError):  # a task that fails is out when it is met, and the others go on
                        limits[shown(task)] = self._look(task, time_limit)
                check_one_limit(limits)
        return found

    def _task_at(self, quantile: float) -> TaskParams:
        params = self.tasks.params.items()
        return self.plain({name: torch.from_numpy(p.quantile(np.full((1, p.size), quantile))) for name, p in params}, 0)

    def _look(self, task: TaskParams, see: Callable[[Any], Seen]) -> Seen:
        """Build the environment of a task, see what it shows, and close it."""
        built = self._built(task, 1)
        env = built if isinstance(built, VectorEnv) else built[0]
        with (
            foreign(f"closing the environment of {shown(task)}", EnvError),
            closing(env),
            foreign(f"looking at the environment of {shown(task)}", EnvError),
        ):
            if self.give is not None and not self.horizon and not isinstance(env, VectorEnv):
                self.give(env, task)  # its time limit may come with it
            return see(env)

    def _shown_by(self, env: AnyEnv | AnyVectorEnv) -> "_Shown":
        horizon = int(self.horizon) or time_limit(env)
        if not horizon:
            raise InputError(
                f"the environment has no time limit, so the family needs a horizon: {proposed_horizon(env)}, or "
                "max_episode_steps where the environment is made"
            )
        interface = Interface(obs_space_of(env), action_space_of(env), float(self.action_scale), horizon)
        if not interface.spec.obs_size:
            raise InputError(
                f"observations in {interface.observation_space} hold no number; show at least one, such as a zero"
            )
        if isinstance(env, VectorEnv):
            copies_of(env, interface.observations.write)  # refuses what does not say how it resets
        return _Shown(interface, early_limit(env, horizon) if self.horizon else "")

    def _built(self, task: TaskParams, num: int, watch: Watch = nobody) -> list[AnyEnv] | AnyVectorEnv:
        """Return what `make` makes: one vector environment, or `num` plain ones."""
        with foreign(f"making the environment of {shown(task)}", EnvError):
            if is_vectorised(self):
                return self._vector(self.make(**task, num_envs=num), num)
            return [self._watched(task, copy, watch) for copy in range(num)]

    def _watched(self, task: TaskParams, copy: int, watch: Watch) -> AnyEnv:
        watch("construct", copy, NO_SEED)
        env = self._single(self.make(**task))
        return env if watch is nobody else Watched(env, copy, watch)

    def _single(self, env: object) -> AnyEnv:
        if isinstance(env, VectorEnv):
            raise InputError("make returns a vector environment, so it has to take num_envs")
        try:
            return modern(env)
        except InputError as error:
            raise InputError(f"make returns what is no environment: {error}") from error

    def _vector(self, env: object, num: int) -> AnyVectorEnv:
        if not isinstance(env, VectorEnv) or env.num_envs != num:
            got = f"a vector environment of {env.num_envs}" if isinstance(env, VectorEnv) else type(env).__name__
            raise InputError(f"make takes num_envs={num} and returns {got}, expected a VectorEnv of {num}")
        return cast(AnyVectorEnv, env)

    def _check_same(self, env: AnyEnv | AnyVectorEnv, task: TaskParams) -> None:
        interface = self.interface
        if observations(obs_space_of(env)).layout != interface.observations.layout:
            raise EnvError(
                f"the environment of {shown(task)} has observations in {obs_space_of(env)}, other tasks "
                f"{interface.spec.obs_size} numbers; all tasks need the same spaces"
            )
        if action_space_of(env) != interface.action_space:
            raise EnvError(
                f"the environment of {shown(task)} has actions in {action_space_of(env)}, other tasks in "
                f"{interface.action_space}; all tasks need the same spaces"
            )
        if self.give is None:  # else it is turned to the task yet
            self._check_limit(env, task)

    def _check_limit(self, env: AnyEnv | AnyVectorEnv, task: Mapping[str, Any]) -> None:
        if not self.horizon:
            check_one_limit({"other tasks": self.interface.spec.horizon, shown(task): time_limit(env)})


@dataclass(frozen=True)
class _Shown:
    """Interface of a family's environments, as one of them shows it."""

    interface: Interface
    limit_note: str
    """Note on a time limit of its own below the declared horizon."""


def task_family(
    *, horizon: int = 0, action_scale: float = 1.0, held_out: bool = True, **params: Parameter
) -> Callable[[Make], GymFamily]:
    """Make a function from parameters to an environment a family of tasks.

    The family can still be called as the function was, with one task's parameters.

    Args:
        horizon: steps per episode; 0 takes the environment's own time limit.
        action_scale: what a continuous policy's output is multiplied by.
        held_out: False for a family of a few tasks that training and testing have to share.
        params: the distribution of each parameter.

    Raises:
        InputError: if something is not a distribution, or the function does not take the parameters.
    """
    options: dict[str, Any] = {"horizon": horizon, "action_scale": action_scale, "held_out": held_out}
    for name, value in options.items():
        if isinstance(value, Parameter):
            raise InputError(f"task_family: '{name}' is an option; to vary a parameter of this name, use GymFamily")
    return partial(_family, TaskDistribution(params, held_out=held_out), horizon, action_scale)


def _family(tasks: TaskDistribution, horizon: int, action_scale: float, make: Make) -> GymFamily:
    name = getattr(make, "__name__", type(make).__name__)
    return GymFamily(name, make, tasks, horizon, action_scale, _first_line(make), f"{make.__module__}")


def family_of(kind: Any) -> GymFamily:  # noqa: ANN401 — a class or an object of the user's
    """Return the family that a plain class stands for, or an object of one.

        class Pendulums:
            params = {"length": Uniform(0.5, 1.5)}
            horizon = 200

            def make(self, length: float) -> gym.Env: ...

    `horizon`, `action_scale` and `held_out` may be left out.

    Raises:
        InputError: if the class cannot be called without arguments, or one of these is not what a family needs.
    """
    name = kind.__name__ if inspect.isclass(kind) else type(kind).__name__
    with foreign(f"{name}: reading params, make and horizon"):
        made: Any = kind() if inspect.isclass(kind) else kind
        options = {key: getattr(made, key) for key in ("horizon", "action_scale") if hasattr(made, key)}
        with _named(name):
            tasks = TaskDistribution(made.params, held_out=getattr(made, "held_out", True))
        return GymFamily(name, made.make, tasks, **options, summary=_first_line(made))


def is_vectorised(family: GymFamily) -> bool:
    """Return whether a family makes vector environments."""
    return NUM_ENVS in (_taken(family.make, [NUM_ENVS]) or [])


@contextmanager
def _named(name: str) -> Generator[None]:
    """Say which family is meant, where something is wrong with its environments."""
    try:
        yield
    except DrmlError as error:
        raise type(error)(f"{name}: {error}") from error.__cause__


def _taken(make: Make, wanted: list[str]) -> list[str] | None:
    """Return the names that a function takes; None where it cannot be told, or it takes any."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters) and NUM_ENVS not in wanted:
        return None
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def _number(parameter: Parameter, value: np.ndarray) -> float | int | np.ndarray:
    """Return a value as Python number where it is one, and whole where all of a choice's values are."""
    if value.ndim:
        return value
    whole = isinstance(parameter, Choice) and all(isinstance(v, int) for v in parameter.values)
    return int(value) if whole else float(value)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]
