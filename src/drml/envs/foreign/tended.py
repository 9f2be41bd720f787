"""Asynchronous vector environments, whose copies live in processes: one that dies is named, and none is left."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any, final

from gymnasium.vector import AsyncVectorEnv, VectorEnv, VectorWrapper

from drml.core.fault import how_it_ended

SECONDS_TO_DIE = 1.0  # its connection closes a moment before it has ended


class CopyDied(Exception):  # noqa: N818 — what has happened
    """The process of a copy has ended; the text says how."""

    def __init__(self, copy: int, how: str) -> None:
        super().__init__(how)
        self.copy = copy


@final
class Tended(VectorWrapper):
    """Passes each call on; where the process of a copy has died, it says so and ends the others."""

    def __init__(self, env: VectorEnv[Any, Any, Any], processes: AsyncVectorEnv) -> None:
        super().__init__(env)
        self._tended = processes

    def step(self, actions: Any) -> Any:  # noqa: ANN401 — as Gymnasium has it
        """Step all copies."""
        with self._told():
            return self.env.step(actions)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        """Reset copies."""
        with self._told():
            return self.env.reset(seed=seed, options=options)

    def close(self, **kwargs: Any) -> None:  # noqa: ANN401
        """Close all copies, unless they have been ended."""
        if not self._tended.closed:
            self.env.close(**kwargs)

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except (EOFError, ConnectionError) as error:
            processes = self._tended.processes
            ended = wait([process.sentinel for process in processes], SECONDS_TO_DIE)
            copy = next((i for i, process in enumerate(processes) if process.sentinel in ended), -1)
            if copy >= 0:
                processes[copy].join()
            how = how_it_ended(processes[copy].exitcode if copy >= 0 else None)
            self._end()
            raise CopyDied(copy, how) from error

    def _end(self) -> None:
        """End all processes; to close them in order, as Gymnasium does, would wait for the one that is no more."""
        for process in self._tended.processes:
            process.kill()
        for process in self._tended.processes:
            process.join()
        for pipe in self._tended.parent_pipes:
            with suppress(OSError):
                pipe.close()
        self._tended.closed = True


def tended(env: VectorEnv[Any, Any, Any]) -> VectorEnv[Any, Any, Any]:
    """Return a vector environment that names a copy whose process has died, where copies live in processes."""
    inner = env.unwrapped
    return Tended(env, inner) if isinstance(inner, AsyncVectorEnv) else env
