"""How much of a foreign environment's own speed is left when it is stepped through our adapter.

K tasks x B copies of the same environments take turns: through the adapter, and bare, in the loop that a user would
write, with the same actions. Bare plain environments are reset where their episode ends, bare vector ones reset
themselves; the adapter also seeds each episode, tells the last observation from the next first one, and copies.

    share_of_bare = median over turns of (seconds bare / seconds through the adapter)

    python benchmarks/adapter.py --json -
    python benchmarks/adapter.py --families cartpole pendulum --tasks 20 --copies 20
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from drml.core.rng import Streams
from drml.core.types import Tasks
from drml.envs.api import EnvOptions
from drml.envs.foreign.family import GymFamily, task_family
from drml.suites import classic
from drml.tasks.parameter import Uniform
from drml.tasks.samplers.uniform import UniformSampler

MASS = Uniform(0.05, 0.5)


def _pole(mass: float) -> gym.Env:
    env = gym.make("CartPole-v1")
    env.unwrapped.masspole = mass
    return env


@task_family(mass=MASS)
def cartpole_plain(mass: float) -> gym.Env:
    """CartPole as 20 plain environments."""
    return _pole(mass)


@task_family(mass=MASS)
def cartpole_sync(mass: float, num_envs: int) -> VectorEnv:
    """CartPole in Gymnasium's synchronous vector environment."""
    return SyncVectorEnv([lambda: _pole(mass)] * num_envs)


@task_family(mass=MASS)
def cartpole_async(mass: float, num_envs: int) -> VectorEnv:
    """CartPole in Gymnasium's asynchronous vector environment, a process for each copy."""
    return AsyncVectorEnv([lambda: _pole(mass)] * num_envs)


@task_family(gravity=Uniform(8.0, 12.0))
def pendulum_async(gravity: float, num_envs: int) -> VectorEnv:
    """Pendulum in the same: episodes of 200 steps, of which no copy's ends before the others'."""
    return AsyncVectorEnv([lambda: gym.make("Pendulum-v1", g=gravity)] * num_envs)


FAMILIES: dict[str, tuple[GymFamily, str]] = {
    "cartpole": (classic.cartpole, "vector"),
    "cartpole-sync": (cartpole_sync, "vector, synchronous"),
    "cartpole-async": (cartpole_async, "vector, asynchronous, 2 x 4"),
    "pendulum-async": (pendulum_async, "vector, asynchronous, 2 x 4"),
    "cartpole-plain": (cartpole_plain, "plain"),
    "pendulum": (classic.pendulum, "plain"),
    "acrobot": (classic.acrobot, "plain"),
    "mountain-car": (classic.mountain_car, "plain"),
    "lunar-lander": (classic.lunar_lander, "plain"),
}


def bare_loop(family: GymFamily, tasks: Tasks, copies: int, actions: np.ndarray) -> Callable[[], None]:
    """Return the loop over the same environments without the adapter, `actions [T, K, B, ...]`."""
    params = [family.plain(tasks.params, k) for k in range(len(tasks))]
    first = family.make(**params[0], num_envs=copies) if _is_vector(family) else None
    if first is not None:
        envs = [first, *(family.make(**task, num_envs=copies) for task in params[1:])]
        return lambda: _step_vectors(envs, actions)
    plain = [[family.make(**task) for _ in range(copies)] for task in params]
    return lambda: _step_plain(plain, actions)


def _is_vector(family: GymFamily) -> bool:
    return "num_envs" in family.make.__code__.co_varnames[: family.make.__code__.co_argcount]


def _step_vectors(envs: Sequence[VectorEnv], actions: np.ndarray) -> None:
    for env in envs:
        env.reset(seed=0)
    for row in actions:
        for env, action in zip(envs, row, strict=True):
            env.step(action)


def _step_plain(envs: Sequence[Sequence[gym.Env]], actions: np.ndarray) -> None:
    for group in envs:
        for env in group:
            env.reset(seed=0)
    for row in actions:
        for group, rows in zip(envs, row, strict=True):
            for env, action in zip(group, rows, strict=True):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()


def measure(name: str, num_tasks: int, copies: int, steps: int, turns: int) -> dict[str, Any]:
    """Return both speeds of one family, and their ratio."""
    family, kind = FAMILIES[name]
    if name.endswith("-async"):
        num_tasks, copies = 2, 4
    tasks = UniformSampler().sample({}, family.tasks, "train", num_tasks, Streams(0))
    env = family.open(EnvOptions())
    given = _actions(family, steps, num_tasks, copies)
    decode = family.interface.actions.decode
    bare = bare_loop(family, tasks, copies, np.stack([decode(action.numpy()) for action in given]))

    def through() -> None:
        env.reset(tasks, copies, Streams(0))
        for action in given:
            env.step(action)

    through()  # builds
    seconds = np.array([[_seconds(bare), _seconds(through)] for _ in range(turns)])  # [turns, 2]
    env_steps = steps * num_tasks * copies
    return {
        "family": name,
        "kind": kind,
        "tasks": num_tasks,
        "copies": copies,
        "env_steps_per_second": env_steps / float(np.median(seconds[:, 1])),
        "bare_env_steps_per_second": env_steps / float(np.median(seconds[:, 0])),
        "share_of_bare": float(np.median(seconds[:, 0] / seconds[:, 1])),
    }


def _actions(family: GymFamily, steps: int, num_tasks: int, copies: int) -> torch.Tensor:
    spec, shape = family.interface.spec.action, (steps, num_tasks, copies)
    if spec.kind == "continuous":
        return Streams(1).normal((*shape, spec.size))
    return (Streams(1).uniform(shape) * spec.size).long()


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES), metavar="NAME")
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--steps", type=int, default=100, help="steps per turn of each copy")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", metavar="FILE", help="write the result to a file, or to standard output with -")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(name, args.tasks, args.copies, args.steps, args.turns) for name in args.families]
    for row in rows:
        print(
            f"{row['family']:16}{row['kind']:30}{row['env_steps_per_second']:>12,.0f}"
            f"{row['bare_env_steps_per_second']:>12,.0f}{row['share_of_bare']:8.2f}",
            file=sys.stderr,
        )
    result = {"machine": platform.processor(), "gymnasium": version("gymnasium"), "rows": rows}
    if args.json == "-":
        print(json.dumps(result, indent=2))
    elif args.json:
        Path(args.json).write_text(json.dumps(result, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
