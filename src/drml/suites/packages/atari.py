"""Atari games of the package ale-py: versions of a game, or a joystick wired otherwise, seen as memory or as pictures.

    modes      a task is one of the versions that the cartridge itself has: mode and difficulty
    wiring     a task is a permutation π of some of the joystick's actions, hidden: action i presses π(i)
    ram        the console's 128 bytes
    pictures   the last four of 84 x 84 pixels in grey: each the maximum of two frames, means of the pixels below it

An action is held for 4 frames, with a wiring for 16, or for the 32 of a jump of Q*bert, which is deaf for 152 frames at
first; none is repeated by chance. An episode begins with a few steps without an action, whose number is drawn by its
seed: that is all the chance there is. It ends with the game, or after a fixed number of steps.
The reward is the score. The package ale-py is under the GPL-2.0, and is not needed for anything else.

Source: Machado et al. 2018, "Revisiting the Arcade Learning Environment", for modes and difficulties; Mnih et al. 2015,
"Human-level control through deep reinforcement learning", for what is seen and the steps without an action.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, final

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from drml.core.extras import check_extra
from drml.core.lookup import look_up
from drml.core.observation import LARGEST_BYTE, Part
from drml.core.types import ActionSpec, EnvSpec
from drml.envs.api import Suite
from drml.envs.foreign.copies import AnyEnv
from drml.envs.foreign.family import GymFamily
from drml.spaces.observations import bytes_note
from drml.suites.games.object_memory import permutations
from drml.tasks.distribution import TaskDistribution
from drml.tasks.numbered import Numbered
from drml.tasks.parameter import Choice

MODE, DIFFICULTY, WIRING = "mode", "difficulty", "wiring"
SIDE, STACKED = 84, 4
RAM_SIZE = 128
NOOP = 0
PICTURES = "rgb_array"  # drawn where somebody asks for it


@dataclass(frozen=True)
class Cartridge:
    """A game as it is played here."""

    game: str
    """Name in ale-py."""
    num_actions: int
    """Actions of a policy."""
    max_steps: int
    """Steps after which an episode is cut."""
    modes: tuple[int, ...] = ()
    """Modes that are tasks; none where the joystick's wiring is."""
    difficulties: tuple[int, ...] = ()
    pictures: bool = False
    """True for pictures, False for the console's memory."""
    buttons: tuple[int, ...] = ()
    """Actions of the joystick that are wired otherwise; none where its modes are tasks."""
    frames: int = 4
    """Frames that an action is held for."""
    noops: tuple[int, int] = (0, 7)
    """Fewest and most steps without an action that an episode begins with."""

    @property
    def tasks(self) -> TaskDistribution:
        """Return its tasks."""
        if self.modes:
            return TaskDistribution({MODE: Choice(self.modes), DIFFICULTY: Choice(self.difficulties)})
        num = self.num_actions
        wirings = Numbered(f"wirings of {num} actions", math.factorial(num), (num,), partial(permutations, num))
        return TaskDistribution({WIRING: wirings})


@final
class Played(gym.Wrapper[Any, Any, Any, Any]):
    """A game that is turned to a task, and begins each episode with a few steps without an action."""

    def __init__(self, env: AnyEnv, cartridge: Cartridge) -> None:
        super().__init__(env)
        self._console: Any = env.unwrapped
        self._buttons = np.array(cartridge.buttons or range(cartridge.num_actions))
        self._wired = self._buttons
        self._fewest, self._most = cartridge.noops
        self.action_space = spaces.Discrete(cartridge.num_actions)
        env.reset(seed=0)  # loads the cartridge anew, with what its memory holds at first

    def turn(self, task: Mapping[str, Any]) -> None:
        """Turn to a task, from the next reset on."""
        if MODE in task:
            self._console.ale.setMode(int(task[MODE]))
            self._console.ale.setDifficulty(int(task[DIFFICULTY]))
        else:
            self._wired = self._buttons[np.asarray(task[WIRING]).astype(np.int64)]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the seed is that of the steps without an action."""
        if seed is not None:
            gym.Env.reset(self._console, seed=seed)
        seen, _ = self.env.reset()
        for _ in range(int(self._console.np_random.integers(self._fewest, self._most + 1))):
            seen, *_ = self.env.step(NOOP)
        return seen, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:  # noqa: ANN401 — as Gymnasium has it
        """Press what the action is wired to."""
        seen, reward, terminated, truncated, _ = self.env.step(int(self._wired[action]))
        return seen, reward, terminated, truncated, {}  # its info counts frames over episodes


def environment(name: str, **task: Any) -> AnyEnv:  # noqa: ANN401 — numbers, or a permutation
    """Return the environment of one task of a suite of this file: `mode=…, difficulty=…`, or `wiring=…`.

    Raises:
        InputError: if there is no such suite, or `ale-py` is not installed.
    """
    return _make(look_up("suite", name, CARTRIDGES), **task)


def _make(cartridge: Cartridge, render_mode: str | None = None, **task: Any) -> AnyEnv:  # noqa: ANN401
    check_extra(f"{cartridge.game} (Atari; ale-py is under the GPL-2.0)", "atari", "ale_py")
    from ale_py import ALEInterface, AtariEnv, LoggerMode

    ALEInterface.setLoggerMode(LoggerMode.Error)  # else it greets
    env: AnyEnv = AtariEnv(
        cartridge.game,
        obs_type="grayscale" if cartridge.pictures else "ram",
        frameskip=1 if cartridge.pictures else cartridge.frames,
        repeat_action_probability=0.0,
        render_mode=render_mode,
    )
    if cartridge.pictures:
        env = gym.wrappers.MaxAndSkipObservation(env, cartridge.frames)
        env = gym.wrappers.TransformObservation(env, small, spaces.Box(0, LARGEST_BYTE, (SIDE, SIDE), np.uint8))
        env = gym.wrappers.FrameStackObservation(env, STACKED)
    played = Played(env, cartridge)
    played.turn(task)
    return gym.wrappers.TimeLimit(played, cartridge.max_steps)


def _make_wired(cartridge: Cartridge, wiring: np.ndarray) -> AnyEnv:
    return _make(cartridge, PICTURES, wiring=wiring)


def _make_version(cartridge: Cartridge, mode: int, difficulty: int) -> AnyEnv:
    return _make(cartridge, PICTURES, mode=mode, difficulty=difficulty)


def _turn(env: AnyEnv, task: Mapping[str, Any]) -> None:
    env.get_wrapper_attr("turn")(task)


def small(picture: np.ndarray) -> np.ndarray:
    """Return a picture in grey as `[84, 84]`, each pixel the mean of those below it."""
    rows, columns = (_means(length) for length in picture.shape)
    return (rows @ picture.astype(np.float32) @ columns.T).round().astype(np.uint8)


@cache
def _means(length: int) -> np.ndarray:
    """Return the matrix `[84, length]` that takes means over equal shares of a row of pixels; rows sum to 1."""
    edges = np.linspace(0.0, length, SIDE + 1)[:, None]
    start, end = np.maximum(edges[:-1], np.arange(length)), np.minimum(edges[1:], np.arange(length) + 1.0)
    return (np.clip(end - start, 0.0, None) * (SIDE / length)).astype(np.float32)


def picture(name: str, after_steps: int = 20) -> np.ndarray:
    """Return a picture `[height, width, 3]` uint8 of the game of a suite, after some steps of chance.

    Raises:
        InputError: if `ale-py` is not installed.
    """
    cartridge = CARTRIDGES[name]
    whole = replace(cartridge, pictures=False)
    task = {MODE: cartridge.modes[0], DIFFICULTY: cartridge.difficulties[0]} if cartridge.modes else {}
    env = _make(whole, "rgb_array", **(task or {WIRING: np.arange(cartridge.num_actions)}))
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(after_steps):
        env.step(env.action_space.sample())
    shown = np.asarray(env.render(), np.uint8)
    env.close()
    return shown


CARTRIDGES = {
    "atari-space-invaders-wiring-v1": Cartridge("space_invaders", 4, 30, buttons=(0, 1, 2, 3), frames=16, noops=(2, 7)),
    "atari-qbert-wiring-v1": Cartridge("qbert", 5, 16, buttons=(0, 2, 3, 4, 5), frames=32, noops=(5, 7)),
    "atari-space-invaders-modes-v1": Cartridge("space_invaders", 6, 500, tuple(range(16)), (0, 1)),
    "atari-asteroids-modes-v1": Cartridge("asteroids", 14, 500, (*range(32), 128), (0, 3)),
    "atari-breakout-modes-v1": Cartridge("breakout", 4, 500, tuple(range(0, 48, 4)), (0, 1)),
    "atari-breakout-modes-pictures-v1": Cartridge("breakout", 4, 500, tuple(range(0, 48, 4)), (0, 1), pictures=True),
}
SUMMARIES = {
    "atari-space-invaders-wiring-v1": "Space Invaders with fire, right and left wired otherwise: one button shoots.",
    "atari-qbert-wiring-v1": "Q*bert with a joystick whose directions are wired otherwise, which has to be found out.",
    "atari-space-invaders-modes-v1": "Space Invaders in 16 modes (moving shields, curved shots) and 2 difficulties.",
    "atari-asteroids-modes-v1": "Asteroids in its 33 modes and 2 difficulties.",
    "atari-breakout-modes-v1": "Breakout in its 12 modes (balls that go through, or stick) and 2 difficulties.",
    "atari-breakout-modes-pictures-v1": "The same Breakout, seen in pictures.",
}


def _suite(name: str) -> Suite:
    # The spec is written down, so that listing suites imports nothing; the first environment is held against it.
    cartridge = CARTRIDGES[name]
    part = Part("picture", (STACKED, SIDE, SIDE) if cartridge.pictures else (RAM_SIZE,))
    spec = EnvSpec(part.width, ActionSpec("discrete", cartridge.num_actions), cartridge.max_steps, (part,))
    seen = "the last 4 pictures of 84 x 84 pixels in grey" if cartridge.pictures else "the console's 128 bytes"
    definition = {
        "observation": f"{seen}, divided by 255",
        "step": f"an action is held for {cartridge.frames} frames; none is repeated by chance",
        "start": "{} to {} steps without an action, each number as likely".format(*cartridge.noops),
        "reward": "the score",
        "needs": 'the package ale-py (GPL-2.0): pip install "drml[atari]"',
    }
    varied = "Machado et al. 2018 (modes and difficulties of the Arcade Learning Environment)"
    wired = "This project; after the Arcade Learning Environment (Machado et al. 2018)"
    family = GymFamily(
        name,
        partial(_make_version if cartridge.modes else _make_wired, cartridge),
        cartridge.tasks,
        summary=SUMMARIES[name],
        source=f"{varied if cartridge.modes else wired}; {cartridge.game} of the package ale-py.",
        spec=spec,
        give=_turn,
    )
    return replace(family.suite(), definition=definition, bytes_note=bytes_note(((part.kind, part.size),)))


SUITES: tuple[Suite, ...] = tuple(_suite(name) for name in CARTRIDGES)
"""Families of Atari games."""
