"""What a process per task costs: env steps per second of one suite here and in processes of its own, in one run.

python benchmarks/isolation.py pendulum-varied-v1 --tasks 8 --copies 20
"""

import argparse
import json
import time

import torch

from drml.core.rng import Streams
from drml.envs.api import BatchEnv, Closable, EnvOptions, Isolation, Suite
from drml.executors.isolated.env import isolated
from drml.suites.registry import suite
from drml.tasks.samplers.uniform import UniformSampler


def steps_per_second(env: BatchEnv, chosen: Suite, num_tasks: int, copies: int, seconds: float) -> float:
    """Return env steps per second under actions of zeros; the first round, which builds and imports, is not timed."""
    tasks = UniformSampler().sample({}, chosen.tasks, "train", num_tasks, Streams(0)["tasks"])
    spec = chosen.spec
    action = torch.zeros(num_tasks, copies, spec.action.size)
    action = action[..., 0].long() if spec.action.kind == "discrete" else action
    rounds, start = 0, 0.0
    while rounds < 2 or time.perf_counter() - start < seconds:
        env.reset(tasks, copies, Streams(0)["env", rounds])
        for _ in range(spec.horizon):
            env.step(action)
        rounds += 1
        start = start or time.perf_counter()
    rate = (rounds - 1) * num_tasks * copies * spec.horizon / (time.perf_counter() - start)
    if isinstance(env, Closable):
        env.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    chosen = suite(args.suite)
    sizes = (chosen, args.tasks, args.copies, args.seconds)
    here = steps_per_second(chosen.make(EnvOptions()), *sizes)
    there = steps_per_second(isolated(chosen, Isolation(True)), *sizes)
    print(json.dumps({**vars(args), "here": round(here), "isolated": round(there), "ratio": round(there / here, 3)}))


if __name__ == "__main__":
    main()
