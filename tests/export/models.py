"""Agents of every kind, small, and graphs of them as functions of arrays in onnxruntime."""

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from drml.act.learned import Learned
from drml.algos.registry import learner_entry
from drml.core.rng import Streams
from drml.core.tree import Params
from drml.core.types import EnvSpec
from drml.export.graph import Graph
from drml.export.onnx import model_of
from drml.policies.actor_critic import MemoryPolicy, input_size
from drml.policies.api import Policy
from drml.policies.memory.registry import MemoryConfig, head_of, memory_of
from drml.policies.mlp import MLPConfig, mlp_policy
from drml.policies.module import ModulePolicy
from drml.run.config import RunConfig
from drml.spaces.actions import Actions, actions
from drml.spaces.interface import Interface

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

OBS, HORIZON, TRIAL = 4, 50, 100
BOX = gym.spaces.Box(np.float32([-2.0, -1.0, 0.0]), np.float32([2.0, 3.0, 0.5]))
DISCRETE = gym.spaces.Discrete(3, start=-1)
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
MEMORIES = ("gru", "lstm", "mingru", "transformer", "none")


@dataclass(frozen=True)
class Agent:
    policy: Policy
    actions: Actions
    params: Params


def agent_of(kind: str, space: gym.Space, trial: int = TRIAL) -> Agent:
    """Return an agent of random weights: `mlp`, `module`, or a memory with a head behind a slash."""
    acted = actions(space, 1.0)
    spec = EnvSpec(OBS, acted.spec, HORIZON)
    if kind == "mlp":
        policy: Policy = mlp_policy(spec, MLPConfig((16, 16)))
    elif kind == "module":
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = nn.Linear(OBS, 16), nn.SiLU(), nn.RMSNorm(16), nn.Linear(16, spec.action.size)
        policy = ModulePolicy(nn.Sequential(*layers), spec)
    else:
        memory, head = kind.split("/")
        recalled = OBS if memory == "lstm" else 0
        config = MemoryConfig(memory, 8, 2, 2, trial, bool(recalled), head, 6)
        held = memory_of(config, input_size(OBS, spec.action, recalled))
        policy = MemoryPolicy(held, head_of(config, 8, OBS, spec.action.size), spec.action, trial, recalled)
    params = {
        name: value + 0.2 * Streams(1)["weights", name].normal(value.shape)
        for name, value in policy.init(Streams(0)["init"]).items()
    }
    return Agent(policy, acted, params)


def learned_of(learner: str, space: gym.Space = BOX, policy: object = None, **changes: object) -> Learned:
    """Return a learner's outcome that nobody trained, with random weights."""
    entry = learner_entry(learner)
    config = RunConfig(
        "navigation-maml-v1", learner, type(entry.default)(**changes) if changes else entry.default,
        policy or (MemoryConfig(size=8) if learner == "rl2" else MLPConfig((8,))),
    )  # fmt: skip
    interface = Interface(gym.spaces.Box(-1.0, 1.0, (OBS,)), space, 1.0, HORIZON)
    blank = Learned(config, interface, {}, {})
    return Learned(config, interface, blank.learner.init(Streams(0)["init"]).shared, {})


class Model:
    """A graph in onnxruntime: arrays by name to arrays by name."""

    def __init__(self, graph: Graph | bytes) -> None:
        self.bytes = graph if isinstance(graph, bytes) else model_of(graph, {})
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(self.bytes, options)
        self.inputs = {given.name: given for given in self.session.get_inputs()}
        self.outputs = [given.name for given in self.session.get_outputs()]

    def __call__(self, **arrays: object) -> dict[str, np.ndarray]:
        given = {name: np.asarray(arrays[name], DTYPES[self.inputs[name].type]) for name in self.inputs}
        return dict(zip(self.outputs, self.session.run(None, given), strict=True))

    def zeros(self, batch: int) -> dict[str, np.ndarray]:
        return {
            name: np.zeros([batch, *given.shape[1:]], DTYPES[given.type])
            for name, given in self.inputs.items()
            if given.shape and given.shape[0] == "batch"
        }


def fed_back(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix("next_"): value for name, value in outputs.items() if name.startswith("next_")}
