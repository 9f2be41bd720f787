"""An environment whose calls are announced before they are made, to whoever has to cut them off."""

from typing import Any, final

import gymnasium as gym

from drml.core.fault import NO_SEED, Watch


@final
class Watched(gym.Wrapper[Any, Any, Any, Any]):
    """Passes each call on, and says before it which copy is called and with what seed its episode began."""

    def __init__(self, env: gym.Env[Any, Any], copy: int, watch: Watch) -> None:
        super().__init__(env)
        self._copy, self._watch, self._seed = copy, watch, NO_SEED

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        self._seed = NO_SEED if seed is None else seed
        self._watch("reset", self._copy, self._seed)
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:  # noqa: ANN401 — as Gymnasium has it
        """Step the environment."""
        self._watch("step", self._copy, self._seed)
        return self.env.step(action)

    def close(self) -> None:
        """Close the environment."""
        self._watch("close", self._copy, self._seed)
        self.env.close()
