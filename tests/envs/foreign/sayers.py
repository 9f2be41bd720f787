"""Environments that say success in all ways that there are, by a script: what is counted can be written down."""

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from drml.envs.foreign.family import GymFamily
from drml.tasks.distribution import TaskDistribution
from drml.tasks.parameter import Choice

LENGTHS = (2, 3, 4)  # of the episodes of the copies
HORIZON, STEPS = 4, 8

# By kind, what the info of a step holds: t is the step's number within the episode, from 1, and last says whether it
# ends there. At the first step alone there is a success ("early"), at the last alone ("late"), or never.
SAID = {
    "early, bool each step": lambda t, last: {"success": t == 1},
    "early, number each step": lambda t, last: {"success": float(t == 1)},
    "early, numpy each step": lambda t, last: {"is_success": np.float32(t == 1)},
    "early, array each step": lambda t, last: {"is_success": np.array([t == 1])},
    "early, only where true": lambda t, last: {"is_success": 1} if t == 1 else {},
    "early, None elsewhere": lambda t, last: {"success": True if t == 1 else None},
    "late, only at the end": lambda t, last: {"success": np.bool_(True)} if last else {},
    "late, bool each step": lambda t, last: {"success": last, "is_success": not last},  # the first name counts
    "late, second name": lambda t, last: {"success": "of course", "is_success": last},  # a text says nothing
    "never, bool each step": lambda t, last: {"success": False},
    "never, half a success": lambda t, last: {"success": 0.5},
    "never, not a number": lambda t, last: {"success": float("nan")},
    "silent": lambda t, last: {},
}


class Sayer(gym.Env):
    """Episodes of a fixed length. The info of a reset lies: it calls the new episode a success, in the kind's own type,
    since Gymnasium's vector environments put all values of a name into one array of the first one's type."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, kind, length):
        self.said, self.length, self.t = SAID[kind], length, 0

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        told = {**self.said(1, False), **self.said(2, True)}
        return np.zeros(1, np.float32), {key: _one_of(value) for key, value in told.items()} or {"success": True}

    def step(self, action):
        self.t += 1
        last = self.t >= self.length
        return np.full(1, self.t / 9, np.float32), 1.0, last, False, self.said(self.t, last)


def _one_of(value):
    """Return a success of the type of a value."""
    if value is None or isinstance(value, str):
        return value
    return np.ones_like(value) if isinstance(value, np.ndarray) else type(value)(1)


def script(kind):
    """Return what is said of the first `STEPS` steps of each copy, `[STEPS, B]`."""
    rows = []
    for t in range(STEPS):
        now = {length: t % length for length in LENGTHS}
        found = {"early": lambda n, at: at == 0, "late": lambda n, at: at == n - 1}.get(
            kind.split(",")[0], lambda n, at: False
        )
        rows.append([found(length, at) for length, at in now.items()])
    return rows


class Others(VectorEnv):
    """A vector environment of somebody else's, with one of Gymnasium's inside: it cannot reset one copy alone."""

    def __init__(self, inner, listed=False):
        self.inner, self.listed, self.num_envs = inner, listed, inner.num_envs
        self.metadata = inner.metadata
        self.single_observation_space, self.observation_space = inner.single_observation_space, inner.observation_space
        self.single_action_space, self.action_space = inner.single_action_space, inner.action_space

    def reset(self, *, seed=None, options=None):
        return self.inner.reset()

    def step(self, actions):
        *rest, info = self.inner.step(actions)
        if self.listed and "final_info" in info:  # as Gymnasium before 1.0 had it: an array with one info for each
            final = info["final_info"]
            ended = info["_final_info"]
            info["final_info"] = np.full(self.num_envs, None, object)
            for b in np.flatnonzero(ended):
                info["final_info"][b] = {
                    key: value[b] for key, value in final.items() if key[0] != "_" and final[f"_{key}"][b]
                }
        return *rest, info


MODES = {
    "plain": None,
    "sync": SyncVectorEnv,
    **{
        f"{name} {mode.name}": (lambda makes, make=make, mode=mode: make(makes, mode))
        for name, make in {
            "wrapped": lambda makes, mode: VectorWrapper(SyncVectorEnv(makes, autoreset_mode=mode)),
            "async": lambda makes, mode: AsyncVectorEnv(makes, autoreset_mode=mode),
        }.items()
        for mode in AutoresetMode
    },
    "others NEXT_STEP": lambda makes: Others(SyncVectorEnv(makes, autoreset_mode=AutoresetMode.NEXT_STEP)),
    "others SAME_STEP": lambda makes: Others(SyncVectorEnv(makes, autoreset_mode=AutoresetMode.SAME_STEP)),
    "others, listed": lambda makes: Others(SyncVectorEnv(makes, autoreset_mode=AutoresetMode.SAME_STEP), listed=True),
}
"""Vector environments of such copies, by whose they are and how they reset."""


def family(kind, mode):
    """Return a family of one task, whose copies have the `LENGTHS` in turn."""
    tasks, made = TaskDistribution({"x": Choice((1.0,))}, held_out=False), iter(())

    def single(x):
        nonlocal made
        length = next(made, None)
        if length is None:
            made = iter(LENGTHS)
            length = LENGTHS[-1]
        return Sayer(kind, length)

    def several(x, num_envs):
        return MODES[mode]([lambda length=length: Sayer(kind, length) for length in (LENGTHS * num_envs)[:num_envs]])

    return GymFamily("sayers", single if MODES[mode] is None else several, tasks, HORIZON)
