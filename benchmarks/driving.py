"""Environment steps per second on highways, with policies that cost nothing; and of highway-env, where it is installed.

    python benchmarks/driving.py --json benchmarks/results/driving.json

20 tasks x 20 copies, 15 other cars. Each turn drives 60 steps with actions that were drawn beforehand, or straight on;
the first turn is not counted, and what is told is the median over turns, with its quartiles.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drml.core.rng import Streams
from drml.envs.api import EnvOptions
from drml.suites.registry import suite
from drml.tasks.samplers.uniform import UniformSampler

SUITES = ("highway-traffic-v1", "highway-convention-v1", "highway-steering-v1")
TASKS, COPIES, STEPS = 20, 20, 60


def rate(steps: int, turns: int, turn: Callable[[], None]) -> dict[str, float]:
    """Return steps per second over turns: the median and its quartiles."""
    rates: list[float] = []
    for _ in range(turns + 1):
        start = time.perf_counter()
        turn()
        rates.append(steps / (time.perf_counter() - start))
    low, middle, high = statistics.quantiles(rates[1:], n=4)
    return {"median": middle, "lower_quartile": low, "upper_quartile": high}


def ours(name: str, turns: int) -> dict[str, Any]:
    """Return the speed of one suite, by policy."""
    family = suite(name)
    tasks = UniformSampler().sample({}, family.tasks, "train", TASKS, Streams(0))
    env, rng = family.make(EnvOptions()), Streams(1)
    env.reset(tasks, COPIES, rng["env"])
    size, shape = family.spec.action.size, (STEPS, TASKS, COPIES)
    if family.spec.action.kind == "discrete":
        drawn = torch.from_numpy(rng["act"].generator().integers(size, size=shape))
        straight = torch.ones_like(drawn)
    else:
        drawn, straight = rng["act"].uniform((*shape, size)) * 2.0 - 1.0, torch.zeros((*shape, size))

    def drive(actions: Tensor) -> None:
        for action in actions:
            env.step(action)

    policies = {"random": drawn, "straight on": straight}
    return {
        policy: rate(drawn[..., None].shape[:3].numel(), turns, lambda a=a: drive(a)) for policy, a in policies.items()
    }


def theirs(turns: int) -> dict[str, float]:
    """Return the speed of one environment of highway-env, driven straight on."""
    import gymnasium as gym
    import highway_env  # noqa: F401  registers the environments

    env = gym.make("highway-fast-v0", config={"vehicles_count": 15}).unwrapped
    env.reset(seed=0)

    def drive() -> None:
        for _ in range(STEPS):
            _, _, terminated, truncated, _ = env.step(1)
            if terminated or truncated:
                env.reset()

    return rate(STEPS, turns, drive)


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", default="-", help="file to write, - for the terminal")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    result: dict[str, Any] = {
        "steps_per_second": {name: ours(name, given.turns) for name in SUITES},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": {"cores": os.cpu_count(), "threads": given.threads, "load": os.getloadavg()[0]},
    }
    if find_spec("highway_env"):
        result["highway-env, one environment"] = theirs(given.turns)
    text = json.dumps(result, indent=1) + "\n"
    if given.json == "-":
        sys.stdout.write(text)
    else:
        Path(given.json).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
