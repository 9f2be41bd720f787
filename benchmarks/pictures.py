"""How much of the bare convolutions' own speed collecting keeps, and what a rollout of pictures takes in memory.

collecting   20 tasks x 20 copies are shown pictures of 84 x 84 x 4 by an environment that costs nothing; a policy
             with the small encoder acts, in turn with nothing but the same layers on the same number of pictures:
             share_of_convolutions = median of (seconds of the layers / seconds of collecting), by whether the tasks
             share the weights or have sets of their own
memory       what a process of its own takes at its peak to collect 20 x 20 x 100 pictures of 84 x 84 x 3, in all and
             beyond what it took to collect two steps

    python benchmarks/pictures.py --json benchmarks/results/pictures.json
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from drml.collect.collector import Collector
from drml.core.observation import Part
from drml.core.parallel import one_torch_thread
from drml.core.phases import Phases
from drml.core.rng import Streams
from drml.core.tree import Params, stack_shared
from drml.core.types import ActionSpec, Agent, EnvSpec, Step, Tasks
from drml.policies.encoders.registry import EncoderConfig
from drml.policies.mlp import MLPConfig, mlp_policy

TASKS, COPIES, STEPS, TURNS = 20, 20, 5, 5
GB = 10**9


class Pictures:
    """Environment of pictures that are there already: a step is to point at the next ones."""

    def __init__(self, shape: tuple[int, ...], horizon: int) -> None:
        part = Part("picture", shape)
        self.spec = EnvSpec(part.size, ActionSpec("discrete", 6), horizon, (part,))
        self._shown = (Streams(0)["pictures"].uniform((TASKS, COPIES, part.size)) * 256).to(torch.uint8)
        self._off = torch.zeros((TASKS, COPIES), dtype=torch.bool)

    def reset(self, tasks: Tasks, copies: int, rng: Streams) -> Tensor:
        """Return the pictures."""
        return self._shown

    def step(self, action: Tensor) -> Step:
        """Return the pictures again."""
        off = self._off
        return Step(self._shown, action.to(torch.float32), off, off, off, self._shown)


@torch.no_grad()
@one_torch_thread()
def bare(params: Params, pictures: Tensor, stacked: bool) -> None:
    """Compute the layers of the small encoder and of the policy on top, as plainly as can be written."""
    layers = [(f"encoder.part0.conv{i}", stride) for i, stride in ((0, 4), (1, 2), (2, 1))]
    sets = [{name: value[k] for name, value in params.items()} for k in range(TASKS)] if stacked else [params]
    for own, shown in zip(sets, pictures.chunk(len(sets)), strict=True):
        maps = shown
        for name, stride in layers:
            maps = conv2d(maps, own[f"{name}.weight"], own[f"{name}.bias"], stride).relu_()
        hidden = torch.addmm(own["encoder.linear.bias"], maps.flatten(1), own["encoder.linear.weight"]).relu_()
        for i in range(3):
            hidden = torch.addmm(own[f"layer{i}.bias"], hidden, own[f"layer{i}.weight"])


def collecting() -> dict[str, Any]:
    """Return steps per second, and the share of the bare layers' speed that they are."""
    env = Pictures((84, 84, 4), STEPS)
    policy = mlp_policy(env.spec, MLPConfig(encoder=EncoderConfig("small", 512)))
    shared, tasks = policy.init(Streams(0)), Tasks({}, torch.arange(TASKS))
    collect = Collector(env, STEPS, COPIES, Phases())
    floats = torch.rand((TASKS * COPIES, 4, 84, 84), generator=torch.Generator().manual_seed(0))
    found: dict[str, Any] = {}
    agents = {"shared weights": Agent(shared), "one set per task": Agent(stack_shared(shared, TASKS), stacked=True)}
    for name, agent in agents.items():
        seconds: dict[str, list[float]] = {"collecting": [], "layers": []}
        for turn in range(TURNS + 1):
            start = time.perf_counter()
            collect(policy, agent, tasks, Streams(0))
            middle = time.perf_counter()
            for _ in range(STEPS):
                bare(agent.params, floats, agent.stacked)
            if turn:
                seconds["collecting"].append(middle - start)
                seconds["layers"].append(time.perf_counter() - middle)
        ratios = np.array(seconds["layers"]) / np.array(seconds["collecting"])
        found[name] = {
            "steps_per_second": TASKS * COPIES * STEPS / float(np.median(seconds["collecting"])),
            "share_of_convolutions": float(np.median(ratios)),
            "quartiles": np.quantile(ratios, [0.25, 0.75]).tolist(),
        }
    return found


def peak() -> float:
    """Return the largest memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB


def held_by_a_rollout() -> dict[str, float]:
    """Return the GB of a rollout of pictures, and what this process took for it at its peak."""
    env = Pictures((84, 84, 3), 100)
    policy = mlp_policy(env.spec, MLPConfig((), encoder=EncoderConfig("small", 16)))
    tasks = Tasks({}, torch.arange(TASKS))
    Collector(env, 2, COPIES, Phases())(policy, Agent(policy.init(Streams(0))), tasks, Streams(0))
    before = peak()
    rollout = Collector(env, 100, COPIES, Phases())(policy, Agent(policy.init(Streams(0))), tasks, Streams(0))
    return {"pictures_gb": rollout.obs.numel() / GB, "peak_gb": peak(), "peak_gb_beyond_before": peak() - before}


def main() -> None:
    """Run both, and write one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", default="-", help="file to write, or - for the terminal")
    parser.add_argument("--memory-only", action="store_true", help="print what a rollout takes, in this process")
    asked = parser.parse_args()
    if asked.memory_only:
        print(json.dumps(held_by_a_rollout()))
        return
    load = [os.getloadavg()[0]]
    found: dict[str, Any] = {"collecting": collecting()}
    alone = subprocess.run([sys.executable, __file__, "--memory-only"], check=True, capture_output=True, text=True)
    found["memory"] = json.loads(alone.stdout)
    found |= {"torch": torch.__version__, "load_before_and_after": [*load, os.getloadavg()[0]]}
    text = json.dumps(found, indent=2)
    print(text) if asked.json == "-" else Path(asked.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
