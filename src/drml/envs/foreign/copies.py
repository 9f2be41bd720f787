"""B copies of one task as NumPy rows: plain environments one after the other, or one vector environment.

Gymnasium's vector environments start the next episode of a copy in one of three ways, declared in
`metadata["autoreset_mode"]`. Here each of them is brought to the same form: `step` gives what is true after the step,
and `restart` begins the next episodes of the copies that ended, in the same moment, with seeds of their own.

    Disabled    restart = reset(options={"reset_mask": ended})
    NextStep    the same where the environment is Gymnasium's own (Sync, Async); otherwise the next step of the copy
                is taken by its reset and nothing happens in it: the copy `waits`
    SameStep    the true last observation is info["final_obs"]; restart as above where the environment is Gymnasium's
                own, otherwise the episode that the environment began by itself
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, final

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from drml.core.errors import EnvError
from drml.envs.foreign.answers import NAMES, column, single
from drml.envs.foreign.successes import success_of, successes_of
from drml.envs.foreign.tended import tended
from drml.spaces.joint_actions import rows_of
from drml.spaces.observations import AnySpace, Write

TRUE_AS_THEY_ARE = (list, tuple, str)  # [False] is no less true than [True]
AnyEnv = gym.Env[Any, Any]
AnyVectorEnv = VectorEnv[Any, Any, Any]
Seeds = Callable[[int], int]
"""Returns the seed of the next episode of copy b."""
Options = dict[str, Any]
Give = Callable[[AnyEnv, Mapping[str, Any]], Options | None]
"""Turns an environment to a task and returns the options of its resets."""


class Copies(Protocol):
    """B copies of one task. All arrays are rows of the caller's, to be written into; nothing is kept of them."""

    @property
    def restarts_any(self) -> bool:
        """Return whether any copy can be restarted at any time; if not, only those that ended by themselves, or all."""
        ...

    @property
    def waits(self) -> bool:
        """Return whether a copy that ended takes its next step to restart, unless all have ended."""
        ...

    @property
    def called(self) -> int:
        """Return the copy whose call has raised; -1 where all are called at once."""
        ...

    @property
    def success(self) -> np.ndarray | None:
        """Return which copies said at the last step that it was a success, `[B]` bool; None where all were silent."""
        ...

    def reset(self, seeds: Seeds, obs: np.ndarray) -> None:
        """Start a first episode in each copy, seeded with its own of the `seeds`, and write `obs [B, O]`."""
        ...

    def step(
        self, action: np.ndarray, obs: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """Step by the space's own actions `[B, ...]`; write the true observations `obs [B, O]` and the rest, `[B]`.

        What is written for a copy that waited for this step to restart is not used, but for the observation.
        """
        ...

    def restart(self, ended: np.ndarray, seeds: Seeds, obs: np.ndarray) -> None:
        """Start the next episode of the copies that ended; where they wait, only all can.

        Args:
            ended: the copies, `[B]` bool.
            seeds: where the seeds of the new episodes come from.
            obs: `[B, O]`, the rows of the copies that ended are written.
        """
        ...

    def leave(self, copies: np.ndarray) -> bool:
        """Leave `copies [B]` alone to the next `reset`: steps write nothing for them. False where they must go on."""
        ...

    def give(self, task: Mapping[str, Any]) -> bool:
        """Turn all copies to another task, from the next `reset` on; False where new environments must be built."""
        ...

    def picture(self, copy: int) -> object:
        """Return what the environment of a copy renders; None where it renders nothing.

        A vector environment that resets in the same step renders the next episode where one has ended.
        """
        ...

    def close(self) -> None:
        """Free what the environments hold."""
        ...


@final
class PlainCopies:
    """B environments, stepped one after the other."""

    def __init__(self, envs: Sequence[AnyEnv], write: Write, give: Give | None = None) -> None:
        """Take over environments.

        Args:
            envs: the B environments of one task.
            write: writes an observation into a row.
            give: turns an environment to another task, where it can be, and returns the options of its resets.
        """
        self.restarts_any = True
        """True where any copy can be restarted at any time."""
        self.waits = False
        """True where a copy takes a step to restart."""
        self.called = -1
        """The copy whose call has raised."""
        self.success: np.ndarray | None = None
        """Copies that said at the last step that it was a success; None where all were silent."""
        self._envs, self._write, self._give = envs, write, give
        self._acting = range(len(envs))
        self._options: Options | None = None

    def give(self, task: Mapping[str, Any]) -> bool:
        """Turn the environments to another task, where they can be."""
        if self._give is None:
            return False
        for env in self._envs:
            self._options = self._give(env, task)
        return True

    def reset(self, seeds: Seeds, obs: np.ndarray) -> None:
        """Start a first episode in each copy."""
        self._acting = range(len(self._envs))
        for b, (env, row) in enumerate(zip(self._envs, obs, strict=True)):
            self.called = b
            self._write(env.reset(seed=seeds(b), options=self._options)[0], row)

    def step(
        self, action: np.ndarray, obs: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """Step each copy that is not left alone."""
        write, envs, b, self.success = self._write, self._envs, -1, None
        act = rows_of(action)
        try:
            for b in self._acting:
                answer: Any = envs[b].step(act[b])
                try:
                    seen, reward[b], terminated[b], truncated[b], info = answer
                    if isinstance(answer[2], TRUE_AS_THEY_ARE) or isinstance(answer[3], TRUE_AS_THEY_ARE):
                        raise TypeError
                except (TypeError, ValueError):
                    seen, reward[b], terminated[b], truncated[b] = single(answer, envs[b])
                    info = answer[4]
                write(seen, obs[b])
                if type(info) is dict and ("success" in info or "is_success" in info):
                    self._hear(b, success_of(info))
        except BaseException:
            self.called = b
            raise

    def _hear(self, b: int, said: bool | None) -> None:
        """Note what copy b has said of success."""
        if said is not None:
            self.success = np.zeros(len(self._envs), np.bool_) if self.success is None else self.success
            self.success[b] = said

    def restart(self, ended: np.ndarray, seeds: Seeds, obs: np.ndarray) -> None:
        """Reset the copies that ended."""
        for b in np.flatnonzero(ended).tolist():
            self.called = b
            self._write(self._envs[b].reset(seed=seeds(b), options=self._options)[0], obs[b])

    def leave(self, copies: np.ndarray) -> bool:
        """Leave copies alone."""
        self._acting = [b for b in self._acting if not copies[b]]
        return True

    def picture(self, copy: int) -> object:
        """Return what the environment of a copy renders."""
        return self._envs[copy].render()

    def close(self) -> None:
        """Close each environment."""
        for b, env in enumerate(self._envs):
            self.called = b
            env.close()


@final
class BrokenCopies:
    """Remains of the copies of a task once a call has failed: nothing happens in them."""

    restarts_any = True
    waits = False
    called = -1
    success = None

    def reset(self, seeds: Seeds, obs: np.ndarray) -> None:
        """Write zeros."""
        obs[:] = 0.0

    def step(
        self, action: np.ndarray, obs: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """Write zeros."""
        obs[:], reward[:], terminated[:], truncated[:] = 0.0, 0.0, False, False

    def restart(self, ended: np.ndarray, seeds: Seeds, obs: np.ndarray) -> None:
        """Write zeros."""
        obs[ended] = 0.0

    def leave(self, copies: np.ndarray) -> bool:
        """Return True: nothing happens in any of them."""
        return True

    def give(self, task: Mapping[str, Any]) -> bool:
        """Return False."""
        return False

    def picture(self, copy: int) -> object:
        """Return None."""
        return None

    def close(self) -> None:
        """Do nothing."""


@final
class VectorCopies:
    """One vector environment of B copies.

    Raises:
        EnvError: if it does not declare how it resets.
    """

    def __init__(self, env: AnyVectorEnv, write: Write) -> None:
        self._env, self._write = env, write
        declared = (env.metadata or {}).get("autoreset_mode")
        try:
            mode = AutoresetMode(getattr(declared, "value", declared))
        except ValueError:
            raise EnvError(
                f"vector environment {env} declares no autoreset mode (metadata['autoreset_mode'] is {declared!r}); "
                "set it in its metadata to what it does: gymnasium.vector.AutoresetMode"
            ) from None
        own = isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv)
        self._takes_seeds = own
        self.called = -1
        self.success: np.ndarray | None = None
        """Copies that said at the last step that it was a success; None where all were silent."""
        self._same_step = mode is AutoresetMode.SAME_STEP
        self.restarts_any = own or mode is AutoresetMode.DISABLED
        """True where any copy can be restarted at any time."""
        self.waits = mode is AutoresetMode.NEXT_STEP and not own
        """True where a copy takes a step to restart."""
        self._seen: Any = None
        self._starting = np.zeros(env.num_envs, np.bool_)  # copies that take the next step to begin an episode

    def reset(self, seeds: Seeds, obs: np.ndarray) -> None:
        """Start a first episode in each copy."""
        self._starting = np.zeros_like(self._starting)
        self._write(self._reset(seeds, None), obs)

    def step(
        self, action: np.ndarray, obs: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """Step all copies."""
        seen, *said, info = self._env.step(action)
        for name, out, value in zip(NAMES, (reward, terminated, truncated), said, strict=True):
            out[:] = value if np.shape(value) == out.shape else column(name, value, self._env)  # else it would spread
        self._write(seen, obs)
        ended = terminated | truncated
        restarted = ended & self._same_step
        self.success = successes_of(info, restarted, self._starting)
        if self.waits:
            self._starting = ended
        if self._same_step:
            self._seen = seen
            for b in np.flatnonzero(restarted).tolist():
                self._write(self._final_obs(info, b), obs[b])

    def restart(self, ended: np.ndarray, seeds: Seeds, obs: np.ndarray) -> None:
        """Reset the copies that ended, or take over what the environment has begun by itself."""
        if self.restarts_any:
            self._write_ended(self._reset(seeds, ended), ended, obs)
        elif np.count_nonzero(ended) == len(ended):
            self.reset(seeds, obs)
        else:
            self._write_ended(self._seen, ended, obs)

    def leave(self, copies: np.ndarray) -> bool:
        """Return False: all are stepped at once."""
        return False

    def give(self, task: Mapping[str, Any]) -> bool:
        """Return False: it belongs to the task that it was built for."""
        return False

    def picture(self, copy: int) -> object:
        """Return what the environment renders of a copy: all of them are rendered for it."""
        rendered = self._env.render()
        return None if rendered is None else rendered[copy]

    def close(self) -> None:
        """Close the vector environment."""
        self._env.close()

    def _reset(self, seeds: Seeds, ended: np.ndarray | None) -> Any:  # noqa: ANN401 — observations
        """Return what is seen after a reset of all copies, or of those that `ended`."""
        options = None if ended is None else {"reset_mask": ended.copy()}
        seed: Any
        if self._takes_seeds:
            seed = [seeds(b) if ended is None or ended[b] else None for b in range(self._env.num_envs)]
        else:  # a third party's reset promises to take one seed: for the generator of all copies, or to count on from
            seed = seeds(0)
        return self._env.reset(seed=seed, options=options)[0]

    def _write_ended(self, seen: Any, ended: np.ndarray, obs: np.ndarray) -> None:  # noqa: ANN401
        fresh = np.empty_like(obs)
        self._write(seen, fresh)
        obs[ended] = fresh[ended]

    def _final_obs(self, info: dict[str, Any], b: int) -> Any:  # noqa: ANN401 — an observation
        found = info.get("final_obs", info.get("final_observation"))
        if found is None:
            raise EnvError(f"{self._env} resets in the same step, but info['final_obs'] is missing")
        return _part(found, b)


def obs_space_of(env: AnyEnv | AnyVectorEnv) -> AnySpace:
    """Return the space of one copy's observations."""
    return env.single_observation_space if isinstance(env, VectorEnv) else env.observation_space


def action_space_of(env: AnyEnv | AnyVectorEnv) -> AnySpace:
    """Return the space of one copy's actions."""
    return env.single_action_space if isinstance(env, VectorEnv) else env.action_space


def copies_of(env: AnyVectorEnv, write: Write) -> Copies:
    """Return the copies that a vector environment holds.

    Gymnasium's synchronous one only holds plain environments, and its own resets of single copies are slow; so it is
    taken apart, unless it is wrapped.
    """
    return PlainCopies(env.envs, write) if type(env) is SyncVectorEnv else VectorCopies(tended(env), write)


def _part(batch: Any, b: int) -> Any:  # noqa: ANN401
    """Return the observation of copy b from an array of objects, or from a dictionary or tuple of arrays."""
    if isinstance(batch, dict):
        return {key: _part(value, b) for key, value in batch.items() if not str(key).startswith("_")}
    if isinstance(batch, tuple):
        return tuple(_part(value, b) for value in batch)
    return batch[b]
