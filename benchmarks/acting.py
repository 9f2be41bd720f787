"""Latency of an agent in the user's own loop, beside the bare forward pass of the same network in torch.

One copy of one task; the three take turns, a call each, in one process on one torch thread: the bare network at a
prepared tensor; `act`, from the environment's observation to its action; `observe`. For memories the bare network is
torch's own cell with a linear layer, which is shown its input ready-made.

    ratio = median of `act` / median of the bare network          microseconds at the 50th and 99th percentile

    python benchmarks/acting.py --json benchmarks/results/acting.json
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from drml.act.learned import Learned
from drml.act.meta_agent import MetaAgent
from drml.algos.registry import AnyPolicyConfig, learner_entry
from drml.core.rng import Streams
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.run.config import RunConfig, learner_of
from drml.suites.registry import suite

SUITE = "half-cheetah-dir-promp-v1"
CASES: dict[str, tuple[str, AnyPolicyConfig]] = {
    "mlp 64x64": ("promp", MLPConfig()),
    "gru 64": ("rl2", MemoryConfig(size=64)),
    "gru 256": ("rl2", MemoryConfig()),
}
WARM_UP, CALLS = 500, 5000


def untrained(learner: str, policy: AnyPolicyConfig) -> MetaAgent:
    """Return an agent of initial weights: how long it takes does not depend on them."""
    config = RunConfig(SUITE, learner, learner_entry(learner).default, policy)
    interface = suite(SUITE).interface()
    shared = learner_of(config, interface.spec).init(Streams(0)["init"]).shared
    return MetaAgent(Learned(config, interface, shared, {}))


def bare_network(policy: AnyPolicyConfig, inputs: int, outputs: int) -> Callable[[], object]:
    """Return a call of the same network at a prepared tensor, by torch's own modules."""
    if isinstance(policy, MLPConfig):
        sizes = (inputs, *policy.hidden)
        layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.Tanh())]
        network, x = nn.Sequential(*layers, nn.Linear(sizes[-1], outputs)), torch.zeros(1, inputs)
        return lambda: network(x)
    seen = inputs + outputs + 3
    cell, head = nn.GRUCell(seen, policy.size), nn.Linear(policy.size, outputs)
    x, hidden = torch.zeros(1, seen), torch.zeros(1, policy.size)
    return lambda: head(cell(x, hidden))


def measured(learner: str, policy: AnyPolicyConfig) -> dict[str, Any]:
    """Return the latencies of one case."""
    meta = untrained(learner, policy)
    agent, spec = meta.start(), meta.learned.interface.spec
    bare = bare_network(policy, spec.obs_size, spec.action.size)
    observation = np.zeros(spec.obs_size, np.float32)
    calls: dict[str, Callable[[], object]] = {
        "bare": bare,
        "act": lambda: agent.act(observation),
        "observe": lambda: agent.observe(0.5, False, False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.no_grad():
        for turn in range(WARM_UP + CALLS):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                if turn >= WARM_UP:
                    seconds[name].append(time.perf_counter() - start)
    found = {
        name: {f"p{q}": round(1e6 * float(np.percentile(values, q)), 1) for q in (50, 99)}
        for name, values in seconds.items()
    }
    return {**found, "ratio": round(found["act"]["p50"] / found["bare"]["p50"], 2)}


def main() -> None:
    """Measure all cases and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the result")
    out = parser.parse_args().json
    torch.set_num_threads(1)
    before = os.getloadavg()
    cases = {name: measured(*case) for name, case in CASES.items()}
    result = {"microseconds": cases, "load_before_and_after": [before, os.getloadavg()], "torch": torch.__version__}
    for name, case in cases.items():
        print(f"{name:10} " + "  ".join(f"{key} {value}" for key, value in case.items()))
    if out:
        out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
