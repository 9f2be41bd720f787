"""An environment that is lent: its owner made it, goes on with it and closes it; here it is one task's copies.

Nothing is known of it but what it shows. Its spaces have to be those that were trained on, since an agent that saw and
did something else in them would still act.
"""

import sys
from typing import Any, cast, final

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from drml.core.blame import foreign
from drml.core.errors import EnvError, InputError
from drml.envs.foreign.adapter import Foreign, GymEnv
from drml.envs.foreign.copies import (
    AnyEnv,
    AnyVectorEnv,
    Copies,
    PlainCopies,
    Seeds,
    VectorCopies,
    action_space_of,
    obs_space_of,
)
from drml.envs.foreign.legacy import modern
from drml.spaces.interface import Interface
from drml.spaces.observations import observations


@final
class Lent:
    """Copies whose environments stay open, and are not reset once more at the end of what is played.

    A reset may take a person's time, or a robot's. After as many steps as a horizon has, nobody looks at the episode
    that would begin; where a copy may have waited for a step, that is not known.
    """

    def __init__(self, copies: Copies, horizon: int) -> None:
        self._copies, self._left = copies, 0
        self._horizon = horizon if not copies.waits else sys.maxsize
        self.leave, self.give = copies.leave, copies.give
        self.restarts_any, self.waits = copies.restarts_any, copies.waits

    @property
    def called(self) -> int:
        """Return the copy whose call has raised; -1 where all are called at once."""
        return self._copies.called

    @property
    def success(self) -> np.ndarray | None:
        """Return which copies said at the last step that it was a success; None where all were silent."""
        return self._copies.success

    def reset(self, seeds: Seeds, obs: np.ndarray) -> None:
        """Start a first episode in each copy."""
        self._left = self._horizon
        self._copies.reset(seeds, obs)

    def step(
        self, action: np.ndarray, obs: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """Step each copy."""
        self._left -= 1
        self._copies.step(action, obs, reward, terminated, truncated)

    def restart(self, ended: np.ndarray, seeds: Seeds, obs: np.ndarray) -> None:
        """Start the next episodes of copies that ended, where more steps follow."""
        if self._left > 0:
            self._copies.restart(ended, seeds, obs)

    def picture(self, copy: int) -> object:
        """Return what the environment of a copy renders."""
        return self._copies.picture(copy)

    def close(self) -> None:
        """Do nothing: they are somebody else's."""


@final
class Borrowed:
    """A lent environment, plain or vector, as the copies of one task without parameters."""

    def __init__(self, env: object, interface: Interface) -> None:
        """Look at an environment.

        Args:
            env: a `gymnasium.Env`, of the old gym too, or a `VectorEnv`.
            interface: what its spaces have to be.

        Raises:
            InputError: if it is no environment, or has other spaces.
            EnvError: if a vector environment does not say how it resets.
        """
        self._env: AnyEnv | AnyVectorEnv = cast(AnyVectorEnv, env) if isinstance(env, VectorEnv) else modern(env)
        with foreign("looking at the environment", EnvError):
            _check_spaces(self._env, interface)
        self._interface = interface
        self._open()  # refuses what does not say how it resets

    @property
    def copies(self) -> int:
        """Return how many copies it has."""
        return self._env.num_envs if isinstance(self._env, VectorEnv) else 1

    @property
    def restarts_in_next_step(self) -> bool:
        """Return whether its owner sees a copy spend a step on starting its next episode."""
        declared = self._env.metadata.get("autoreset_mode") if isinstance(self._env, VectorEnv) else None
        return getattr(declared, "value", declared) == AutoresetMode.NEXT_STEP.value

    def batch(self, one_episode: bool) -> GymEnv:
        """Return it as a `BatchEnv` of one task; closing that leaves the environment open."""
        interface = self._interface
        opened = Foreign("env", interface.spec, interface.actions, lambda task, num: self._open(), lambda params, k: {})
        return GymEnv(opened, one_episode=one_episode)

    def _open(self) -> Lent:
        env, write = self._env, self._interface.observations.write
        if not isinstance(env, VectorEnv):
            copies = PlainCopies([env], write)
        elif type(env) is SyncVectorEnv:  # taken apart, as its own resets of single copies are slow
            copies = PlainCopies(env.envs, write)
        else:
            copies = VectorCopies(env, write)
        return Lent(copies, self._interface.horizon)


def _check_spaces(env: AnyEnv | AnyVectorEnv, interface: Interface) -> None:
    seen, acted = obs_space_of(env), action_space_of(env)
    if observations(seen).layout != interface.observations.layout:
        raise InputError(
            f"the environment has observations in {seen}, the agent was trained on {interface.observation_space}"
        )
    if not _same_actions(acted, interface.action_space):
        raise InputError(f"the environment has actions in {acted}, the agent was trained on {interface.action_space}")


def _same_actions(acted: "gym.Space[Any]", trained: "gym.Space[Any]") -> bool:
    """Return whether actions mean the same in two spaces; whether numbers have 32 or 64 bits makes no difference."""
    if isinstance(acted, gym.spaces.Box) and isinstance(trained, gym.spaces.Box):
        floats = np.issubdtype(acted.dtype, np.floating) and np.issubdtype(trained.dtype, np.floating)
        if floats and acted.shape == trained.shape:
            pairs = ((acted.low, trained.low), (acted.high, trained.high))
            return all(np.array_equal(a.astype(np.float32), b.astype(np.float32)) for a, b in pairs)
    return bool(acted == trained)
