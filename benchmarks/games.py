"""Environment steps per second in games on grids: alone, and collecting with a GRU.

Each turn resets K tasks, one copy each, and takes one episode of each: with random actions through the environment
alone, and through the collector with a GRU of 64 units and a linear head, which is what RL² does before it learns.
The first turn is not counted. What is told is the median over turns.

    python benchmarks/games.py --json -
    python benchmarks/games.py --suites rule-world-trivial-v1 --tasks 2000 --turns 11
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from drml.collect.collector import Collector
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent, Tasks
from drml.envs.api import BatchEnv, EnvOptions, Suite
from drml.policies.actor_critic import MemoryPolicy, input_size
from drml.policies.memory.registry import MemoryConfig, head_of, memory_of
from drml.suites.registry import suite
from drml.tasks.samplers.stratified import StratifiedSampler

SUITES = (
    *(f"rule-world-{difficulty}-v1" for difficulty in ("trivial", "small", "medium", "high")),
    "meta-frozen-lake-5x5-v1",
    "object-memory-n5-l5-v1",
    "dark-room-dpt-v1",
    "dark-room-ad-v1",
)
MEMORY = MemoryConfig(size=64)


def policy_of(family: Suite) -> MemoryPolicy:
    """Return a GRU of 64 units with a linear head."""
    size, spec = input_size(family.spec), family.spec
    head = head_of(MEMORY, MEMORY.size, spec.obs_size, spec.action.size)
    return MemoryPolicy(memory_of(MEMORY, size), head, spec.action, 2 * spec.horizon)


def act_at_random(env: BatchEnv, tasks: Tasks, turn: int) -> None:
    """Take an episode with actions that were drawn beforehand in three blocks."""
    env.reset(tasks, 1, Streams(turn))
    size = env.spec.action.size
    blocks = torch.from_numpy(Streams(turn)["act"].generator().integers(size, size=(3, len(tasks), 1)))
    for t in range(env.spec.horizon):
        env.step(blocks[t % 3])


def rate(steps: int, turns: int, episode: Callable[[int], object]) -> dict[str, float]:
    """Return steps per second over turns: the median and its quartiles."""
    rates: list[float] = []
    for turn in range(turns + 1):
        start = time.perf_counter()
        episode(turn)
        rates.append(steps / (time.perf_counter() - start))
    low, middle, high = statistics.quantiles(rates[1:], n=4)
    return {"median": middle, "lower_quartile": low, "upper_quartile": high}


def measure(name: str, num_tasks: int, turns: int) -> dict[str, Any]:
    """Return what one suite does."""
    family = suite(name)
    tasks = StratifiedSampler().sample({}, family.tasks, "train", num_tasks, Streams(0))
    policy, env = policy_of(family), family.make(EnvOptions())
    agent, phases = Agent(policy.init(Streams(1))), Phases()
    collect = Collector(env, family.spec.horizon, 1, phases)
    steps = num_tasks * family.spec.horizon
    alone = rate(steps, turns, lambda turn: act_at_random(env, tasks, turn))
    collecting = rate(steps, turns, lambda turn: collect(policy, agent, tasks, Streams(turn)))
    return {"suite": name, "tasks": num_tasks, "env_steps_per_second": alone, "collecting_per_second": collecting}


def main() -> None:
    """Measure and print; with --json also write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", nargs="+", default=list(SUITES))
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", default="", help="a file, or - for benchmarks/results/games.json")
    args = parser.parse_args()
    before = os.getloadavg()
    measured = [measure(name, args.tasks, args.turns) for name in args.suites]
    for one in measured:
        alone, collecting = (one[key]["median"] for key in ("env_steps_per_second", "collecting_per_second"))
        print(f"{one['suite']:26}{alone:12,.0f} env steps/s alone {collecting:12,.0f} with a GRU of 64")
    if args.json:
        path = Path(__file__).parent / "results/games.json" if args.json == "-" else Path(args.json)
        about = {"command": " ".join(sys.argv), "machine": platform.processor() or platform.machine()}
        loads = {"load_before_and_after": [before, os.getloadavg()], "cores": os.cpu_count()}
        path.write_text(json.dumps({**about, **loads, "torch": torch.__version__, "suites": measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
