"""MiniGrid and BabyAI: small worlds of cells, seen in part, with a mission; a task is one level, kept over a trial.

    image        the cells ahead, V x V x 3 symbols: kind of thing, colour, state
    direction    one of four
    mission      its words, each one of a vocabulary; left out where all levels have the same
    reward       1 − 0.9 t/T at the end, T the time limit; 0 without success

Every episode of a task begins with the same grid, objects, mission and pose, to the bit, whatever its seed; only what
moves by itself is drawn anew. The time limit is that of the environments (`max_steps`).

    from drml.suites.packages.minigrid import levels
    rooms = levels("MiniGrid-MultiRoom-N4-S5-v1")          # drml train mymodule:rooms rl2

Source: Chevalier-Boisvert et al. 2023, "Minigrid & Miniworld"; Chevalier-Boisvert et al. 2019, "BabyAI".
"""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from drml.core.errors import EnvError
from drml.core.extras import check_extra
from drml.core.lookup import look_up
from drml.core.observation import Part, width_of
from drml.core.types import ActionSpec, EnvSpec
from drml.envs.api import Suite
from drml.envs.foreign.copies import AnyEnv
from drml.envs.foreign.family import GymFamily
from drml.spaces.observations import bytes_note
from drml.suites.packages.levels import LEVEL, Levels, level_tasks

EMPTY = np.array([1, 0, 0], np.uint8)  # as a cell is seen: kind, colour, state
GOAL = 8
LARGEST_SYMBOL = 10  # an agent; colours and states are fewer
NUM_ACTIONS = 7
NUM_MOVES = 3  # turn left, turn right, forward: the first of all actions
VIEW = 7
WORDS = (
    *("a", "after", "and", "at", "avoid", "ball", "behind", "blue", "box", "door", "end", "fetch", "find", "from"),
    *("front", "get", "go", "goal", "green", "grey", "hallway", "in", "key", "lava", "left", "matching", "must"),
    *("near", "next", "object", "of", "on", "open", "opening", "pick", "purple", "put", "reach", "red", "right"),
    *("room", "rooms", "square", "the", "then", "to", "traverse", "unlock", "up", "use", "yellow", "you", "your", ","),
)
"""Vocabulary of the missions; a place after the last word holds number 0, and word i number i + 1."""
NUMBER_OF = {word: number for number, word in enumerate(WORDS, 1)}


@dataclass(frozen=True)
class World:
    """An environment of the package, and the part of it that is seen."""

    env_id: str
    """Name in Gymnasium's registry."""
    words: int = 0
    """Places for the words of a mission; 0 leaves the mission out."""
    num_actions: int = NUM_ACTIONS
    hides_goal: bool = False
    """True where the goal lies in a cell of the level's own, and is seen as an empty cell."""
    options: tuple[tuple[str, int | None], ...] = ()
    """Options of the environment."""


@final
class Kept(gym.Wrapper[Any, Any, Any, Any]):
    """An environment of MiniGrid that is turned to a level, and shows what a policy can read."""

    def __init__(self, env: AnyEnv, world: World, known: Levels) -> None:
        super().__init__(env)
        self._world, self._known, self._seed = world, known, 0
        self._fresh: tuple[Any, dict[str, Any]] | None = None
        """The level, where it is built and no step was taken in it."""
        self._grid: Any = env.unwrapped
        image: Any = self._grid.observation_space["image"]
        shown: dict[str, Any] = {
            "image": spaces.Box(0, LARGEST_SYMBOL, image.shape, np.uint8),
            "direction": spaces.Discrete(4),
        }
        if world.words:
            shown["mission"] = spaces.MultiDiscrete([len(WORDS) + 1] * world.words)
        self.observation_space = spaces.Dict(shown)
        self.action_space = spaces.Discrete(world.num_actions)

    def turn(self, level: int) -> None:
        """Turn to a level, from the next reset on."""
        self._seed = self._known.seed(level, self._content)
        self._fresh = self._built(self._seed)  # BabyAI's time limit comes with the level

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of the level; the seed is for what is drawn after it has begun."""
        seen, info = self._fresh or self._built(self._seed)
        self._fresh = None
        if seed is not None:
            gym.Env.reset(self._grid, seed=seed)  # the level stays: what moves in it is drawn anew
        return self._shown(seen), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:  # noqa: ANN401 — as Gymnasium has it
        """Act, and say whether that was a success."""
        seen, reward, terminated, truncated, info = self.env.step(action)
        return self._shown(seen), reward, terminated, truncated, {**info, "success": terminated and float(reward) > 0.0}

    def _built(self, seed: int) -> tuple[Any, dict[str, Any]]:
        with redirect_stdout(io.StringIO()):  # BabyAI prints the levels that it draws and does not take
            seen, info = self.env.reset(seed=seed)
        if self._world.hides_goal:
            goal = self._grid.grid.get(*self._corner)
            self._grid.grid.set(*self._corner, None)
            self._grid.place_obj(goal)  # in a free cell, drawn by the level's generator
        return seen, info

    @property
    def _corner(self) -> tuple[int, int]:
        return self._grid.width - 2, self._grid.height - 2

    def _content(self, seed: int) -> bytes:
        """Return all that a level begins with: grid, pose and mission."""
        self._built(seed)
        grid = self._grid
        pose = (*map(int, grid.agent_pos), int(grid.agent_dir))
        return grid.grid.encode().tobytes() + f"{pose} {grid.mission}".encode()

    def _shown(self, seen: Mapping[str, Any]) -> dict[str, Any]:
        image = seen["image"]
        if self._world.hides_goal:
            image = np.where(image[..., :1] == GOAL, EMPTY, image)
        shown = {"image": image, "direction": seen["direction"]}
        return {**shown, "mission": numbers_of(seen["mission"], self._world.words)} if self._world.words else shown


def numbers_of(mission: str, places: int) -> np.ndarray:
    """Return a mission's words as numbers `[places]`, 0 where there is no word any more.

    Raises:
        EnvError: if a word is none of the vocabulary, or there are more words than places.
    """
    words = mission.replace(",", " ,").split()
    if strange := [word for word in words if word not in NUMBER_OF]:
        raise EnvError(f"the mission '{mission}' has the word '{strange[0]}', which is none of the {len(WORDS)} known")
    if len(words) > places:
        raise EnvError(f"the mission '{mission}' has {len(words)} words, more than words={places}")
    numbers = np.zeros(places, np.int64)
    numbers[: len(words)] = [NUMBER_OF[word] for word in words]
    return numbers


def levels(env_id: str, words: int = 0, *, horizon: int = 0) -> GymFamily:
    """Return the family of all levels of an environment of MiniGrid or BabyAI.

    Args:
        env_id: its name in Gymnasium's registry.
        words: places for the words of a mission; 0 leaves the mission out.
        horizon: steps per episode; 0 takes the environment's own limit, where its levels have one and the same.

    Raises:
        InputError: if `minigrid` is not installed, once an environment is built.
    """
    return _family(World(env_id, words), horizon)


def _family(world: World, horizon: int = 0) -> GymFamily:
    tasks = level_tasks(f"levels of {world.env_id}")
    make = partial(_make, world, Levels(tasks), render_mode="rgb_array")  # drawn where somebody asks for it
    return GymFamily(world.env_id, make, tasks, horizon, give=_turn)


def _make(world: World, known: Levels, level: float, render_mode: str | None = None) -> AnyEnv:
    check_extra(f"{world.env_id} (MiniGrid)", "minigrid", "minigrid")
    # the module before the colon is imported first, and registers its environments
    env = gym.make(f"minigrid:{world.env_id}", disable_env_checker=True, render_mode=render_mode, **dict(world.options))
    kept = Kept(env, world, known)
    kept.turn(int(level))
    return kept


def _turn(env: AnyEnv, task: Mapping[str, Any]) -> None:
    env.get_wrapper_attr("turn")(int(task[LEVEL]))


def _suite(name: str, world: World, horizon: int, summary: str, view: int = VIEW, **more: str) -> Suite:
    # The spec is written down, so that listing suites imports nothing; the first environment is held against it.
    places = world.words * (len(WORDS) + 1)
    image = Part("symbols", (view, view, 3), 0, LARGEST_SYMBOL)
    parts = (Part("bits", (4,)), image, *([Part("bits", (places,))] if places else []))  # by name: direction, image, …
    spec = EnvSpec(width_of(parts), ActionSpec("discrete", world.num_actions), horizon, parts)
    mission = f", and the mission: {world.words} places, each with one of {len(WORDS)} words" if places else ""
    definition = {
        "observation": f"{view} x {view} cells ahead as symbols (kind, colour, state), the direction{mission}",
        **more,
        "reward": "1 − 0.9 t/T with the success at step t of T, else 0",
        "success": "the step that is paid, the last one",
        "needs": 'the package minigrid (Apache-2.0): pip install "drml[minigrid]"',
    }
    source = f"{BABYAI if 'BabyAI' in world.env_id else MINIGRID}; {world.env_id} of the package minigrid."
    suite = replace(_family(world), name=name, summary=summary, source=source, spec=spec).suite()
    return replace(suite, definition=definition, bytes_note=bytes_note(tuple((p.kind, p.size) for p in parts)))


MINIGRID = "Chevalier-Boisvert et al. 2023 (Minigrid & Miniworld)"
BABYAI = "Chevalier-Boisvert et al. 2019 (BabyAI)"
HIDDEN_GOAL = World(
    "MiniGrid-Empty-6x6-v0",
    num_actions=NUM_MOVES,
    hides_goal=True,
    options=(("agent_start_pos", None), ("agent_view_size", 5), ("max_steps", 30)),
)
WORLDS = {
    "minigrid-hidden-goal-v1": HIDDEN_GOAL,
    "minigrid-four-rooms-v1": World("MiniGrid-FourRooms-v0", num_actions=NUM_MOVES),
    "minigrid-multi-room-v1": World("MiniGrid-MultiRoom-N2-S4-v0"),
    "minigrid-lava-crossing-v1": World("MiniGrid-LavaCrossingS9N2-v0", num_actions=NUM_MOVES),
    "minigrid-door-key-v1": World("MiniGrid-DoorKey-8x8-v0"),
    "babyai-go-to-local-v1": World("BabyAI-GoToLocal-v0", 5),
    "babyai-pick-up-v1": World("BabyAI-PickupLoc-v0", 9),
    "babyai-put-next-v1": World("BabyAI-PutNextLocal-v0", 9),
}


def environment(name: str, level: int, render_mode: str | None = None) -> AnyEnv:
    """Return the environment of one level of a suite of this file, as agents of the suite see it.

    Raises:
        InputError: if there is no such suite, or `minigrid` is not installed.
    """
    world = look_up("suite", name, WORLDS)
    return _make(world, Levels(level_tasks(f"levels of {world.env_id}")), level, render_mode)


def picture(name: str) -> np.ndarray:
    """Return a picture `[height, width, 3]` uint8 of the first level of a suite of this file.

    Raises:
        InputError: if `minigrid` is not installed.
    """
    env = environment(name, 0, "rgb_array")
    env.reset()
    return np.asarray(env.render(), np.uint8)


SUITES: tuple[Suite, ...] = (
    _suite(
        "minigrid-hidden-goal-v1",
        HIDDEN_GOAL,
        30,
        "A room of 4 x 4 cells whose goal is not shown, to be found, and remembered over the episodes of a trial.",
        view=5,
        level="start, direction and goal, each as likely; the goal is seen as an empty cell, and felt by its reward",
        actions="turn left, turn right, forward",
    ),
    _suite(
        "minigrid-four-rooms-v1",
        WORLDS["minigrid-four-rooms-v1"],
        100,
        "Four rooms with a gap in each of their walls, and a goal somewhere: where it is has to be found.",
        level="the gaps, the goal, and the start",
        actions="turn left, turn right, forward",
    ),
    _suite(
        "minigrid-multi-room-v1",
        WORLDS["minigrid-multi-room-v1"],
        40,
        "Two rooms of at most 4 x 4 cells behind a door, which has to be opened on the way to the goal.",
        level="rooms, door, its colour, and the start",
    ),
    _suite(
        "minigrid-lava-crossing-v1",
        WORLDS["minigrid-lava-crossing-v1"],
        324,
        "Two streams of lava across a room of 7 x 7 cells: gaps lead to the goal, a step into lava ends the episode.",
        level="the streams and their gaps",
        actions="turn left, turn right, forward",
    ),
    _suite(
        "minigrid-door-key-v1",
        WORLDS["minigrid-door-key-v1"],
        640,
        "A key has to be picked up, to open the door in the wall between the start and the goal.",
        level="wall, door, key and start",
    ),
    _suite(
        "babyai-go-to-local-v1",
        WORLDS["babyai-go-to-local-v1"],
        64,
        "One room of 6 x 6 cells with 8 objects, and a mission that names the one to go to.",
        level="objects, start and mission",
    ),
    _suite(
        "babyai-pick-up-v1",
        WORLDS["babyai-pick-up-v1"],
        64,
        "One room with 8 objects: the one to pick up is named by kind, colour, or where it lies at the start.",
        level="objects, start and mission",
    ),
    _suite(
        "babyai-put-next-v1",
        WORLDS["babyai-put-next-v1"],
        128,
        "One room with 8 objects: one of them has to be put down beside another.",
        level="objects, start and mission",
    ),
)
"""Families of levels of MiniGrid and BabyAI."""
