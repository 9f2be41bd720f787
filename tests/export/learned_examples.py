"""Agents of every kind, with weights that leave nothing at zero, and what they do in a closed loop by torch itself."""

import numpy as np
import torch
from gymnasium import spaces

from drml.act.learned import Learned
from drml.algos.registry import learner_entry
from drml.core.rng import Streams
from drml.core.types import Agent
from drml.policies.memory.registry import MemoryConfig
from drml.policies.mlp import MLPConfig
from drml.run.config import RunConfig, learner_of
from drml.spaces.interface import Interface

OBS = 3
ACTION_SPACES = {
    "box": spaces.Box(np.float32([-2.0, 0.0]), np.float32([2.0, 7.0])),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
    "one-sided": spaces.Box(np.float32([0.0, 2.0, -np.inf]), np.float32([np.inf, np.inf, -1.0])),
    "whole numbers": spaces.Box(0, 9, (2, 2), np.int64),
    "discrete": spaces.Discrete(3, start=-1),
    "combined": spaces.MultiDiscrete([2, 3]),
}
POLICIES = {
    "mlp tanh": ("promp", MLPConfig(hidden=(8, 5))),
    "mlp relu": ("maml", MLPConfig(hidden=(6,), activation="relu", init_std=0.3)),
    "linear": ("es_maml", MLPConfig(hidden=(), init_std=0.1)),
    "gru": ("rl2", MemoryConfig(size=6)),
    "gru that sees transitions": ("rl2", MemoryConfig(size=6, sees_transitions=True)),
    "two grus": ("rl2", MemoryConfig(size=6, layers=2)),
    "lstm": ("rl2", MemoryConfig(kind="lstm", size=6)),
    "two lstms": ("rl2", MemoryConfig(kind="lstm", size=6, layers=2)),
    "mingru": ("rl2", MemoryConfig(kind="mingru", size=6)),
    "no memory": ("rl2", MemoryConfig(kind="none", size=6)),
    "hypernetwork on a gru": ("rl2", MemoryConfig(size=6, head="hypernetwork", head_hidden=5)),
    "hypernetwork on an lstm": ("rl2", MemoryConfig(kind="lstm", size=6, head="hypernetwork", head_hidden=5)),
    "linear hypernetwork": ("rl2", MemoryConfig(size=6, head="hypernetwork", head_hidden=0)),
}


def learned_of(learner: str, policy: object, action_space: spaces.Space, seed: int = 0) -> Learned:
    """Return an agent, as if it had been trained."""
    interface = Interface(spaces.Box(-np.inf, np.inf, (OBS,), np.float32), action_space, 0.7, 20)
    config = RunConfig("none", learner, learner_entry(learner).default, policy, seed=seed)
    rng = Streams(seed)
    start = learner_of(config, interface.spec).init(rng["init"]).shared
    moved = {name: value + 0.3 * rng["moved", name].normal(value.shape) for name, value in start.items()}
    return Learned(config, interface, moved, {})


def told(learned: Learned, steps: int, rows: int) -> list[dict[str, np.ndarray]]:
    """Return what an agent sees of an imagined world: observations, and what came of each step."""
    rng, found = Streams(5), []
    for t in range(steps):
        obs, reward = (rng[what, t].normal(shape).numpy() for what, shape in (("o", (rows, OBS)), ("r", (rows,))))
        found.append({"observation": obs, "reward": reward, "ended": rng["e", t].uniform((rows,)).numpy() < 0.2})
    return found


@torch.no_grad()
def by_torch(learned: Learned, world: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """Return the actions that torch takes in a world, and their distributions."""
    rows = len(world[0]["reward"])
    policy, agent, outputs = learned.policy, Agent(learned.shared), []
    carry = policy.initial_carry(1, rows)
    for step in world:
        distribution, carry = policy.step(agent.params, torch.from_numpy(step["observation"])[None], carry)
        action = distribution.mode()
        reward, ended = (torch.from_numpy(step[name])[None] for name in ("reward", "ended"))
        carry = policy.remember(carry, action, reward, ended)
        whole = next(iter(distribution.tensors().values())).shape[1:]
        tensors = {f"action_{name}": value[0].expand(whole).numpy() for name, value in distribution.tensors().items()}
        decoded = learned.interface.actions.decode(action.numpy())[0]
        outputs.append({"action": decoded, "policy_action": action[0].numpy(), **tensors})
    return outputs


def furthest(found: list[dict[str, np.ndarray]], expected: list[dict[str, np.ndarray]], of: str) -> float:
    """Return the greatest difference of an output, over all steps."""
    return max(
        float(np.abs(np.asarray(a[of], np.float64) - np.asarray(b[of], np.float64)).max())
        for a, b in zip(found, expected, strict=True)
    )
