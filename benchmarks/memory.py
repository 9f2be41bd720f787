"""How much of the bare matrix products' speed a memory keeps, acting and learning.

collecting   a GRU of 256 units acts in 480 trials of the 5-armed bandit with 100 pulls, in turn with nothing but the
             same matrix products:  share_of_products = median of (seconds of the products / seconds of collecting)
learning     forward and backward pass over whole sequences, in turn with the same by single steps:
             times_faster = median of (seconds by steps / seconds of the sequence)

    python benchmarks/memory.py --json benchmarks/results/memory.json
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from drml.algos.memory.rl2 import RL2Config
from drml.algos.registry import learner_entry
from drml.collect.collector import Collector
from drml.core.parallel import one_torch_thread
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.types import Agent
from drml.envs.api import EnvOptions
from drml.policies.actor_critic import input_size
from drml.policies.memory.api import Memory
from drml.policies.memory.registry import MemoryConfig, MemoryKind, memory_of
from drml.suites.registry import suite
from drml.tasks.samplers.uniform import UniformSampler

SUITE, TRIALS, SIZE = "bandit-bernoulli-k5-n100-v1", 480, 256
KINDS: tuple[MemoryKind, ...] = ("gru", "lstm", "mingru", "transformer")
TURNS = 7


def in_turn(first: Callable[[], object], second: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Return the seconds of two functions that run in turn, without those of the first turn."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS + 1):
        for function, record in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            function()
            if turn:
                record.append(time.perf_counter() - start)
    return seconds


def ratio(over: list[float], under: list[float]) -> dict[str, Any]:
    """Return the median and the quartiles of the ratios of two functions' seconds, turn by turn."""
    ratios = np.array(over) / np.array(under)
    return {"median": float(np.median(ratios)), "quartiles": np.quantile(ratios, [0.25, 0.75]).tolist()}


def collecting() -> dict[str, Any]:
    """Return how collecting compares with its matrix products."""
    family, config = suite(SUITE), RL2Config(episodes=1)
    policy = learner_entry("rl2").make_policy(family.spec, MemoryConfig("gru", SIZE), config)
    params, phases = policy.init(Streams(0)), Phases()
    tasks = UniformSampler().sample({}, family.tasks, "train", TRIALS, Streams(0)["tasks"])
    collect = Collector(family.make(EnvOptions()), family.spec.horizon, 1, phases)
    length = input_size(family.spec.obs_size, family.spec.action)
    inputs, hidden = torch.randn(TRIALS, length), torch.randn(TRIALS, SIZE)
    from_inputs, from_hidden = (params[f"memory.weight_{part}"].t() for part in ("ih", "hh"))

    @one_torch_thread()
    def products() -> None:
        for _ in range(family.spec.horizon):
            inputs @ from_inputs
            hidden @ from_hidden
            hidden @ params["actor.weight"]

    seconds, bare = in_turn(lambda: collect(policy, Agent(params, {}), tasks, Streams(0)["collect"]), products)
    steps = TRIALS * family.spec.horizon
    return {
        "share_of_products": ratio(bare, seconds),
        "env_steps_per_second": steps / float(np.median(seconds)),
        "phases": {name: spent / (TURNS + 1) for name, spent in phases.seconds.items()},
    }


def learning(kind: MemoryKind, size: int, batch: int, steps: int) -> dict[str, Any]:
    """Return how a pass over whole sequences compares with one by single steps."""
    memory: Memory = memory_of(MemoryConfig(kind, size, context=steps), 16)
    params = {name: value.requires_grad_() for name, value in memory.init(Streams(0)).items()}
    inputs = Streams(1).normal((steps, batch, 16))
    starts = torch.zeros((steps, batch), dtype=torch.bool)
    state = memory.start(batch, inputs)

    def by_steps() -> Tensor:
        now, outputs = state, cast(list[Tensor], [])
        for x, starts_t in zip(inputs, starts, strict=True):
            output, now = memory.step(params, x, now, starts_t)
            outputs.append(output)
        return torch.stack(outputs)

    def learn(form: Callable[[], Tensor]) -> None:
        torch.autograd.grad(form().square().sum(), list(params.values()))

    whole, single = in_turn(
        lambda: learn(lambda: memory.sequence(params, inputs, state, starts)[0]), lambda: learn(by_steps)
    )
    return {
        "kind": kind,
        "size": size,
        "batch": batch,
        "steps": steps,
        "times_faster": ratio(single, whole),
        "sequence_microseconds_per_step": 1e6 * float(np.median(whole)) / steps,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--json", type=Path, help="file to write; standard output without")
    args = parser.parse_args()
    load = os.getloadavg()
    with one_torch_thread():
        result = {
            "collecting": collecting(),
            "learning": [
                learning(kind, size, batch, 100)
                for kind in KINDS
                for size, batch in ((64, 20), (64, 100), (256, 20), (256, 100))
            ],
            "load_before_and_after": [load, os.getloadavg()],
        }
    text = json.dumps(result, indent=1)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
