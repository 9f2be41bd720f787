"""Environments in which not every action is allowed at every step."""

import tempfile
from collections.abc import Sequence
from importlib import import_module
from itertools import permutations
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from drml import Choice, Dirichlet, Uniform, task_family
from foreign.package import comes_from
from foreign.wrappers import LEVELS, Level


class Wired(gym.Wrapper):
    """Actions in another order, and what is told of them in `info`; those beyond the order stay."""

    def __init__(self, env: gym.Env, order: Sequence[int]) -> None:
        super().__init__(env)
        self.order = [*order, *range(len(order), int(env.action_space.n))]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset."""
        obs, info = self.env.reset(seed=seed, options=options)
        return obs, self._told(info)

    def step(self, action: int) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take the action that stands in its place."""
        *rest, info = self.env.step(self.order[int(action)])
        return *rest, self._told(info)

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        return info | {"action_mask": info["action_mask"][self.order]}


class Against(gym.Env):
    """A game of two of PettingZoo as the first player has it; the other one drops pieces by chances of its own."""

    def __init__(self, game: Any, chances: np.ndarray) -> None:  # noqa: ANN401 — an AECEnv of PettingZoo
        self.game, self.chances, self.me = game, chances, game.possible_agents[0]
        self.observation_space, self.action_space = game.observation_space(self.me), game.action_space(self.me)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game."""
        super().reset(seed=seed)
        self.game.reset(seed=seed, options=options)
        return self.game.observe(self.me), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move, and let the other one move."""
        self.game.step(int(action))
        if not self.game.terminations[self.me]:
            allowed = self.game.observe(self.game.agent_selection)["action_mask"] * self.chances
            self.game.step(int(self.np_random.choice(len(allowed), p=allowed / allowed.sum())))
        ended = bool(self.game.terminations[self.me])
        return self.game.observe(self.me), float(self.game.rewards[self.me]), ended, False, {}


@comes_from(
    "pettingzoo",
    "1.27.0",
    "connect_four_v3",
    varies="chances of the other one's columns",
    needed="a wrapper of fifteen lines that plays the other one; a horizon",
)
@task_family(columns=Dirichlet(shape=(7,)), horizon=21)
def fours(columns: np.ndarray) -> gym.Env:
    """Connect four against one who prefers some columns (a Dict of a board and what is allowed)."""
    return Against(import_module("pettingzoo.classic.connect_four_v3").env(), columns + 1e-6)


@comes_from(
    "or-gymnasium",
    "0.1.0",
    "VMPackingEnv",
    varies="demands of the day",
    needed="each reset draws another day: the wrapper of `streets`; a horizon",
)
@task_family(level=LEVELS, horizon=60)
def packing(level: int) -> gym.Env:
    """Place machines of one day in fifty computers (a Dict of loads and what is allowed)."""
    return Level(import_module("or_gymnasium.envs.vmpacking").VMPackingEnv(), level)


class Today(gym.Wrapper):
    """A shop whose reset takes a seed and tells nothing else, and whose arrays are copies in the declared types."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin the day; nothing in it is drawn."""
        del seed, options
        return self._copied(self.env.reset()), {}

    def step(self, action: int) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Give a job to its machine, the first one that may be given where this one may not."""
        allowed = self.env.unwrapped.get_legal_actions()
        obs, *rest = self.env.step(int(action) if allowed[action] else int(np.argmax(allowed)))
        return self._copied(obs), *rest

    def _copied(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.array(part, self.observation_space[name].dtype) for name, part in obs.items()}


@comes_from(
    "jssenv",
    "1.1.0",
    "JssEnv",
    varies="jobs: the order of their machines, how long each takes",
    needed="a horizon; a wrapper, as it keeps to neither the old Gym nor the new one (`check`: gymnasium, raises), "
    "returns its own arrays, and breaks at an action that is not allowed",
    also="pandas==3.1.1 plotly==6.3.0 narwhals==2.29.0",
)
@task_family(level=LEVELS, horizon=60)
def jobs(level: int) -> gym.Env:
    """Give the jobs of one day to machines (a Dict of the jobs and what is allowed)."""
    rng = np.random.default_rng(level)
    lines = [np.stack([rng.permutation(5), rng.integers(1, 20, 5)], axis=1).reshape(-1) for _ in range(6)]
    with tempfile.TemporaryDirectory() as folder:
        day = Path(folder, "day")
        day.write_text("\n".join(["6 5", *(" ".join(map(str, line)) for line in lines)]))
        return Today(import_module("JSSEnv.envs.jss_env").JssEnv({"instance_path": day}))


@comes_from(
    "gymnasium",
    "1.4.0",
    "Taxi-v4",
    varies="which action drives where, rain",
    needed="nothing; a wrapper hides the order of its moves; a horizon below its limit of 200, for speed",
)
@task_family(order=Choice(tuple(range(24))), rain=Uniform(0.5, 1.0), horizon=60)
def taxi(order: int, rain: float) -> gym.Env:
    """Drive people through rain, with four moves in hidden order (what would change nothing is told in `info`)."""
    return Wired(gym.make("Taxi-v4", is_rainy=True, rainy_probability=rain), list(permutations(range(4)))[order])
