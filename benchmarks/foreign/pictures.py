"""Environments that are looked at: pictures, boards of symbols, planes of bits."""

from importlib import import_module
from itertools import permutations
from typing import Any

import gymnasium as gym
import numpy as np

from drml import Choice, LogUniform, Uniform, task_family
from foreign.package import comes_from
from foreign.wrappers import LEVELS, Level, Seeded


@comes_from(
    "numberlink",
    "0.1.7",
    "NumberLinkRGB-v0",
    varies="board",
    needed="a horizon",
)
@task_family(level=LEVELS, horizon=60)
def numberlink(level: int) -> gym.Env:
    """Connect the pairs of one board (a small picture)."""
    board = import_module("numberlink").GeneratorConfig(width=5, height=5, colors=3, min_path_length=2, seed=level)
    return gym.make("numberlink:NumberLinkRGB-v0", generator=board)


@comes_from(
    "tetris-gymnasium",
    "0.3.1",
    "Tetris",
    varies="worth of a line, gravity",
    needed="a horizon; seeds: it takes seed 0 for none (`check`: seeding)",
    also="opencv-python-headless==5.0.0.93",
)
@task_family(clear_line=Uniform(1.0, 10.0), gravity=Choice((False, True)), horizon=100)
def tetris(clear_line: float, gravity: bool) -> gym.Env:
    """Play Tetris on a small board, where a line is worth something hidden (a Dict of bytes that are symbols)."""
    game = import_module("tetris_gymnasium.envs.tetris")
    worth = import_module("tetris_gymnasium.mappings.rewards").RewardsMapping(clear_line=clear_line)
    env = game.Tetris(width=6, height=10, gravity=gravity, rewards_mapping=worth)
    return Seeded(env, lambda inner, seed: inner.queue.reset(seed=seed + 1))  # it takes seed 0 for none


@comes_from(
    "gym-sokoban",
    "0.0.6",
    "SokobanEnv",
    varies="room",
    needed="`drml[shimmy]`; rooms are drawn from the global generators at each reset (`check`: seeding, global-"
    "rng): the wrapper of `streets`, which lends them out; a smaller picture, for speed",
    also="gym==0.26.2 gym-notices==0.1.0 imageio==2.38.1 tqdm==4.70.1 requests==2.34.2 urllib3==2.8.0 "
    "idna==3.20 certifi==2026.10.19.post1 charset-normalizer==3.5.3",
)
@task_family(level=LEVELS, horizon=40)
def sokoban(level: int) -> gym.Env:
    """Push the box of one room to its target (old Gym; a picture, of which one pixel in 64 is kept)."""
    room = import_module("gym_sokoban.envs").SokobanEnv(dim_room=(6, 6), num_boxes=1, max_steps=40, reset=False)
    env = Level(import_module("shimmy").GymV21CompatibilityV0(env=room), level)
    small = gym.spaces.Box(0, 255, (12, 12, 3), np.uint8)
    return gym.wrappers.TransformObservation(env, lambda picture: picture[4::8, 4::8], small)


@comes_from(
    "crafter",
    "1.8.3",
    "Env",
    varies="world",
    needed="`drml[shimmy]`; a horizon; each reset draws another world, and creatures go away in the order of "
    "addresses (`check`: determinism): four lines",
    also="gym==0.26.2 gym-notices==0.1.0 imageio==2.38.1 opensimplex==0.4.5.1 ruamel.yaml==0.19.1",
)
@task_family(level=LEVELS, horizon=40)
def crafter(level: int) -> Any:  # noqa: ANN401 — an environment of the old Gym
    """Survive in one world (old Gym, a picture)."""
    package: Any = import_module("crafter")

    class World(package.Env):
        def reset(self) -> Any:  # noqa: ANN401
            self._episode = 0  # the world is drawn from the seed and the number of the episode
            return super().reset()

        def _balance_chunk(self, chunk: Any, objs: Any) -> None:  # noqa: ANN401
            super()._balance_chunk(chunk, sorted(objs, key=lambda one: tuple(one.pos)))  # a set, in order of addresses

    return World(area=(32, 32), size=(27, 27), seed=level)


@comes_from(
    "gym-pusht",
    "0.1.8",
    "PushT-v0",
    varies="centre of gravity, damping",
    needed="nothing; a horizon below its limit of 300, for speed",
    also="pymunk==6.11.1 shapely==2.2.0 opencv-python-headless==5.0.0.93",
)
@task_family(sideways=Uniform(-20.0, 20.0), damping=Uniform(0.0, 0.8), horizon=40)
def pushing(sideways: float, damping: float) -> gym.Env:
    """Push a T whose weight lies off its middle, on a table that brakes (a Dict of a picture and two numbers)."""
    kind = {"obs_type": "pixels_agent_pos", "block_cog": (sideways, 45.0), "damping": damping}
    return gym.make("gym_pusht:gym_pusht/PushT-v0", **kind)


class LeftOpen(gym.Wrapper):
    """An environment whose window, the only one of the process, stays open for the others."""

    def close(self) -> None:
        """Leave it open."""


@comes_from(
    "memory-gym",
    "1.0.2",
    "MysteryPath-Grid-v0",
    varies="path",
    needed="each reset draws another path: the wrapper of `streets`; closing one closes the window that all draw on "
    "(training: `Surface is not initialized`): three lines; a horizon, as its limit stands in its options",
)
@task_family(level=LEVELS, horizon=40)
def mystery(level: int) -> gym.Env:
    """Find a path that is not seen (a picture, made grey by Gymnasium's own wrapper: no axis for its colour)."""
    return gym.wrappers.GrayscaleObservation(LeftOpen(Level(gym.make("memory_gym:MysteryPath-Grid-v0"), level)))


class Anew(gym.Wrapper):
    """A game of Doom that is started anew by each reset."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start the game, then reset."""
        self.env.unwrapped.game.close()
        self.env.unwrapped.game.init()
        return self.env.reset(seed=seed, options=options)


@comes_from(
    "vizdoom",
    "1.3.2",
    "VizdoomBasic-v1",
    varies="reward per tick, ticks per action",
    needed="a horizon; a few pixels of a game depend on the last one (`check`: leftover): four lines begin it anew; a "
    "smaller screen, for speed",
)
@task_family(living=Uniform(-2.0, 0.0), ticks=Choice((2, 3, 4, 6, 8)), horizon=30)
def doom(living: float, ticks: int) -> gym.Env:
    """Shoot a monster while a clock of hidden price runs (a Dict of a picture and the game's variables)."""
    resolution = import_module("vizdoom").ScreenResolution.RES_160X120
    env = gym.make("vizdoom.gymnasium_wrapper:VizdoomBasic-v1", frame_skip=ticks, screen_resolution=resolution)
    env.unwrapped.game.set_living_reward(living)
    return Anew(env)


@comes_from(
    "minatar",
    "1.0.15",
    "gym.BaseEnv",
    varies="chance that an action sticks",
    needed="a horizon",
)
@task_family(sticky=Uniform(0.0, 0.5), horizon=60)
def asterix(sticky: float) -> gym.Env:
    """Collect treasures although actions stick (planes of bits)."""
    return import_module("minatar.gym").BaseEnv("asterix", sticky_action_prob=sticky)


@comes_from(
    "highway-env",
    "1.12.1",
    "highway-v0",
    varies="density of traffic, reward of speed",
    needed="a horizon; its own `duration` is 40 s",
    also="pandas==3.1.1",
)
@task_family(density=LogUniform(0.5, 2.0), speed=Uniform(0.0, 1.0), horizon=30)
def overtaking(density: float, speed: float) -> gym.Env:
    """Drive among others, where speed is worth something hidden (four grey pictures, channels first)."""
    grey = {"observation_shape": (64, 32), "stack_size": 4, "weights": [0.3, 0.6, 0.1], "scaling": 1.75}
    config = {"observation": {"type": "GrayscaleObservation", **grey}, "vehicles_density": density}
    return gym.make("highway_env:highway-v0", config=config | {"high_speed_reward": speed, "vehicles_count": 15})


@comes_from(
    "gymnasium-2048",
    "0.1.2",
    "TwentyFortyEight-v0",
    varies="which action moves where",
    needed="a horizon",
)
@task_family(order=Choice(tuple(range(24))), horizon=60)
def tiles(order: int) -> gym.Env:
    """Join tiles by four moves in hidden order (a board of symbols)."""
    env = gym.make("gymnasium_2048:gymnasium_2048/TwentyFortyEight-v0")
    moves = list(permutations(range(4)))[order]
    return gym.wrappers.TransformAction(env, lambda action: moves[int(action)], env.action_space)
