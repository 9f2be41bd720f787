"""Differences between an agent and its exports, and the latency of both.

differences  largest difference of mean or logits, and of the action, from the policy in torch: by policy kind and
             batch, one step; over 1,000 steps of one copy whose memory is fed back; and of adapted parameters by loss
latency      one copy, one thread: ONNX Runtime in turn with the bare forward of the same network in torch, written
             down below as `bare_mlp` and `BareGRU` of torch's own layers, without anything of this package; both
             are handed arrays that are ready

    python benchmarks/bridges.py --json benchmarks/results/bridges.json

Rows of other formats go beside those of "onnx" and "torch", under the same names.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from drml import __version__
from drml.core.distribution import Distribution
from drml.core.rng import Streams
from drml.core.tree import Params, stack_shared
from drml.core.types import Advantages, EnvSpec, Rollout
from drml.export.acting import acting_graph
from drml.export.adapting import adaptation_graph
from drml.export.graph import Graph
from drml.export.onnx import model_of
from drml.export.program import program_of
from drml.learning.adapt import INNER_LOSSES, GradientAdaptation, InnerConfig
from drml.policies.actor_critic import MemoryPolicy, input_size
from drml.policies.api import Policy
from drml.policies.memory.registry import MemoryConfig, MemoryKind, head_of, memory_of
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.spaces.actions import Actions, actions

OBS, STEPS, BATCHES, CALLS, WARM = 8, 1000, (1, 3, 257), 5000, 500
SPACES = {"gaussian": gym.spaces.Box(-2.0, 2.0, (3,)), "categorical": gym.spaces.Discrete(4)}
MEMORIES: tuple[MemoryKind, ...] = ("gru", "lstm", "mingru", "transformer", "none")
DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}
Arrays = Mapping[str, Any]


def bare_mlp() -> nn.Module:
    """Return the network of a Gaussian MLP 64 x 64 as torch's own layers."""
    return nn.Sequential(nn.Linear(OBS, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))


class BareGRU(nn.Module):
    """The network of a GRU with a linear head as torch's own layers, on inputs that are concatenated already."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.cell, self.actor = nn.GRUCell(inputs, size), nn.Linear(size, 3)

    def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and the next state."""
        hidden = self.cell(inputs, hidden)
        return self.actor(hidden), hidden


def session_of(graph: Graph) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # small arrays come faster from the process's own heap
    return ort.InferenceSession(model_of(graph, {}), options)


def in_onnx(graph: Graph) -> Callable[[Arrays], dict[str, np.ndarray]]:
    session = session_of(graph)
    names = [output.name for output in session.get_outputs()]
    types = {given.name: DTYPES[given.type] for given in session.get_inputs()}

    def call(arrays: Arrays) -> dict[str, np.ndarray]:
        given = {name: np.asarray(arrays[name], kind) for name, kind in types.items()}
        return dict(zip(names, session.run(None, given), strict=True))

    return call


def in_torch(graph: Graph) -> Callable[[Arrays], dict[str, np.ndarray]]:
    program = program_of(graph).module()
    types = {name: value.dtype for name, value in graph.examples.items()}

    def call(arrays: Arrays) -> dict[str, np.ndarray]:
        given = {name: torch.as_tensor(np.asarray(arrays[name])).to(kind) for name, kind in types.items()}
        with torch.no_grad():
            return {name: value.numpy() for name, value in program(given).items()}

    return call


FORMATS = {"onnx": in_onnx, "torch": in_torch}


def agents() -> dict[str, tuple[Policy, Actions, Params]]:
    """Return random agents of every kind by name."""
    found: dict[str, tuple[Policy, Actions, Params]] = {}
    for name, space in SPACES.items():
        acted = actions(space, 1.0)
        spec = EnvSpec(OBS, acted.spec, 100)
        policies: dict[str, Policy] = {"mlp": mlp_policy(spec, MLPConfig())}
        for kind in MEMORIES:
            for head in ("linear", "hypernetwork"):
                config = MemoryConfig(kind, 64, 1, 4, STEPS, False, head, 16)
                memory = memory_of(config, input_size(spec))
                policies[f"{kind}, {head} head"] = MemoryPolicy(
                    memory, head_of(config, memory.output_size, OBS, spec.action.size), spec.action, STEPS
                )
        for kind, policy in policies.items():
            found[f"{kind}, {name}"] = (policy, acted, weights_of(policy))
    return found


def weights_of(policy: Policy) -> Params:
    initial = policy.init(Streams(0)["init"])
    return {name: value + 0.05 * Streams(1)[name].normal(value.shape) for name, value in initial.items()}


def difference(call: Callable[[Arrays], Any], agent: tuple[Policy, Actions, Params], batch: int, steps: int) -> float:
    """Return the largest difference of distributions and actions over so many steps, each fed with its own memory."""
    policy, acted, params = agent
    rng = np.random.Generator(np.random.Philox(0))
    carry, worst = policy.initial_carry(1, batch), 0.0
    told: dict[str, Any] = first_inputs(agent, batch)
    for _ in range(steps):
        obs = rng.standard_normal((batch, OBS)).astype(np.float32)
        reward, ended = rng.standard_normal(batch).astype(np.float32), rng.random(batch) < 0.02
        outputs = call(told | {"observation": obs})
        with torch.no_grad():
            distribution, carry = policy.step(params, torch.from_numpy(obs)[None], carry)
        mode = distribution.mode()
        carry = policy.remember(carry, mode, torch.from_numpy(reward)[None], torch.from_numpy(ended)[None])
        pairs = [(outputs["action"], acted.decode(mode.numpy())[0])]
        pairs += [(outputs[f"action_{key}"], value.expand(1, batch, -1)[0]) for key, value in first(distribution)]
        worst = max(worst, *(float(np.abs(np.asarray(a, np.float64) - np.asarray(b)).max()) for a, b in pairs))
        told = {name.removeprefix("next_"): value for name, value in outputs.items() if name.startswith("next_")}
        told |= {"previous_action": mode[0].numpy(), "reward": reward, "ended": ended}
    return worst


def first(distribution: Distribution) -> list[tuple[str, Tensor]]:
    return list(distribution.tensors().items())[:1]


def first_inputs(agent: tuple[Policy, Actions, Params], batch: int) -> dict[str, Any]:
    policy, acted, params = agent
    examples = acting_graph(policy, acted, OBS, params, False).examples
    return {name: np.zeros((batch, *value.shape[1:])) for name, value in examples.items()}


def acting() -> Iterator[tuple[str, Any]]:
    """Yield each agent and its differences in acting, by format and batch."""
    for name, agent in agents().items():
        policy, acted, params = agent
        graph = acting_graph(policy, acted, OBS, params, False)
        row: dict[str, Any] = {}
        for target, make in FORMATS.items():
            call = make(graph)
            row[target] = {f"batch_{batch}": difference(call, agent, batch, 1) for batch in BATCHES}
            row[target][f"steps_{STEPS}"] = difference(call, agent, 1, STEPS)
        print(name, json.dumps(row), flush=True)
        yield name, row


def adapting() -> dict[str, Any]:
    """Return the largest difference of adapted parameters from the learner's own, by inner loss and policy."""
    table: dict[str, Any] = {}
    for loss, function in INNER_LOSSES.items():
        for name, space in SPACES.items():
            spec = EnvSpec(OBS, actions(space, 1.0).spec, 100)
            policy = mlp_policy(spec, MLPConfig())
            params = weights_of(policy)
            adaptation = GradientAdaptation(policy, function, InnerConfig(), 1)
            graph = adaptation_graph(adaptation, OBS, params)
            calls = {target: make(graph) for target, make in FORMATS.items()}
            row = {
                target: {f"steps_{n}": of_adapted(call, adaptation, params, n) for n in (1, 100, 2000)}
                for target, call in calls.items()
            }
            table[f"{loss}, {name}"] = row
            print(loss, name, json.dumps(row), flush=True)
    return table


def of_adapted(call: Callable[[Arrays], Any], adaptation: GradientAdaptation, params: Params, steps: int) -> float:
    rng, shape = np.random.Generator(np.random.Philox(steps)), (1, steps, 1)
    obs = torch.from_numpy(rng.standard_normal((*shape, OBS)).astype(np.float32))
    never, blank = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape)
    elapsed = (torch.arange(steps) % 100).view(shape)
    rest: Any = (never, never, ~never, obs, elapsed, blank, None, {}, {})
    with torch.no_grad():
        new = adaptation.policy.unroll(params, Rollout(obs, blank, blank, *rest))
        noise = adaptation.policy.noise
        drawn = rng.standard_normal((*shape, *noise.shape)) if noise.kind == "normal" else rng.random(shape)
        action = new.sample(torch.from_numpy(drawn.astype(np.float32)))
        log_prob = new.log_prob(action)
    rest = (never, never, ~never, obs, elapsed, log_prob, new, {}, {})
    advantage = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    advantages = Advantages(advantage, torch.full(shape, 1.0 / steps))
    expected = adaptation.apply(stack_shared(params, 1), Rollout(obs, action, blank, *rest), advantages, 0)
    data = {"observations": obs, "actions": action, "advantages": advantage, "weights": advantages.weight}
    data |= {"log_probs": log_prob, "elapsed": elapsed}
    given = {name: value[0, :, 0].numpy() for name, value in data.items()} | {"adapt_step": 0}
    found = call(given | {f"parameter.{name}": value.numpy() for name, value in params.items()})
    return max(float(np.abs(found[f"adapted.{name}"] - value[0].numpy()).max()) for name, value in expected.items())


def latency() -> dict[str, Any]:
    """Return the latency of one action of one copy: ONNX Runtime in turn with the bare forward in torch."""
    table: dict[str, Any] = {}
    acted = actions(SPACES["gaussian"], 1.0)
    spec = EnvSpec(OBS, acted.spec, 100)
    policy: Policy = mlp_policy(spec, MLPConfig())
    params = weights_of(policy)
    obs = torch.randn(1, OBS, generator=torch.Generator().manual_seed(0))
    bare = bare_mlp()
    table["mlp 64x64"] = in_turn(feeding(acting_graph(policy, acted, OBS, params, False)), lambda: bare(obs))
    for size in (64, 256):
        memory = memory_of(MemoryConfig("gru", size), input_size(spec))
        policy = MemoryPolicy(memory, head_of(MemoryConfig("gru", size), size, OBS, 3), spec.action, 100)
        params = weights_of(policy)
        cell, inputs, hidden = BareGRU(input_size(spec), size), torch.randn(1, input_size(spec)), torch.zeros(1, size)
        graph = acting_graph(policy, acted, OBS, params, False)
        table[f"gru {size}"] = in_turn(feeding(graph), lambda c=cell, x=inputs, h=hidden: c(x, h))
        table[f"gru {size}, the policy's own step"] = in_turn(feeding(graph), own_step(policy, params))
    return table


def own_step(policy: Policy, params: Params) -> Callable[[], Any]:
    """Return a step of the policy for one copy, with all that the graph does but the units of the action space."""
    obs, carry = torch.zeros(1, 1, OBS), policy.initial_carry(1, 1)
    earned, ended = torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.bool)

    def call() -> None:
        distribution, after = policy.step(params, obs, carry)
        policy.remember(after, distribution.mode(), earned, ended)

    return call


def feeding(graph: Graph) -> Callable[[], Any]:
    """Return one call of a graph in ONNX Runtime for one copy, arrays as a control loop has them."""
    session = session_of(graph)
    arrays = {given.name: np.zeros([1, *given.shape[1:]], DTYPES[given.type]) for given in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    return lambda: session.run(names, arrays)


def in_turn(exported: Callable[[], Any], bare: Callable[[], Any]) -> dict[str, Any]:
    """Return percentiles in microseconds of two calls made in turn, and the ratio of exported to bare."""
    taken: dict[str, list[int]] = {"onnx": [], "bare_torch": []}
    with torch.inference_mode():
        for _ in range(WARM + CALLS):
            for name, call in (("onnx", exported), ("bare_torch", bare)):
                start = time.perf_counter_ns()
                call()
                taken[name].append(time.perf_counter_ns() - start)
    times = {name: np.array(values[WARM:]) / 1e3 for name, values in taken.items()}
    row: dict[str, Any] = {
        name: {f"p{share}_us": float(np.percentile(value, share)) for share in (50, 99)}
        for name, value in times.items()
    }
    return row | {f"ratio_p{p}": row["onnx"][f"p{p}_us"] / row["bare_torch"][f"p{p}_us"] for p in (50, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=["differences", "latency"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"drml": __version__, "torch": torch.__version__, "onnxruntime": ort.__version__}
    result: dict[str, Any] = {"versions": versions, "cpus": os.cpu_count()}

    def keep() -> None:
        if args.json:
            args.json.write_text(json.dumps(result, indent=2) + "\n")

    if args.only != "differences":
        before = os.getloadavg()
        result |= {"latency": latency(), "load_before_and_after_latency": [before, os.getloadavg()]}
        print(json.dumps(result["latency"], indent=2))
    if args.only != "latency":
        result |= {"adapting": adapting(), "acting": {}}
        for name, row in acting():
            result["acting"][name] = row
            keep()
    keep()


if __name__ == "__main__":
    main()
