"""Agents without a training, and a script of events that drives one: in this process, or by name in a fresh one."""

import hashlib
import json
import sys

import numpy as np
from gymnasium import spaces

import drml
from drml.act.learned import Learned
from drml.act.meta_agent import MetaAgent
from drml.algos.registry import learner_entry
from drml.core.errors import InputError
from drml.core.rng import Streams
from drml.run.config import RunConfig, learner_of
from drml.spaces.interface import Interface

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
LEARNERS = {
    "maml": {},
    "fomaml": {},
    "promp": {},
    "reptile": {},
    "es_maml": {"learner_config": drml.ESMAMLConfig(queries=2)},
    **{f"rl2-{kind}": {"policy": drml.MemoryConfig(kind, size=8)} for kind in ("gru", "lstm", "mingru")},
    "rl2-transformer": {"policy": drml.MemoryConfig("transformer", size=8, context=128)},
    "rl2-hypernetwork": {"policy": drml.MemoryConfig(size=8, head="hypernetwork", head_hidden=4)},
}


def meta_agent(name="maml", observation_space=BOX, action_space=BOX, horizon=5):
    """Return an agent of fresh parameters."""
    entry, options = learner_entry(name.split("-")[0]), LEARNERS[name]
    settings = {"learner_config": entry.default, "policy": entry.default_policy} | options
    config = RunConfig("drawn", name.split("-")[0], **settings)
    interface = Interface(observation_space, action_space, 1.0, horizon)
    shared = learner_of(config, interface.spec).init(Streams(1)["init"]).shared
    reached = {"meta_iter": 0, "env_steps": 0, "best_meta_iter": 0, "validations_since_best": 0, "seconds": 0.0}
    facts = {"versions": {"drml": drml.__version__}, "tasks": {"horizon": f"{horizon} steps"}, "reached": reached}
    return MetaAgent(Learned(config, interface, shared, {**facts, "tested": {}}))


def event(agent, number):
    """Let event `number` of a script happen, a function of the number alone; return what came of it, hashed."""
    rng = np.random.default_rng((7, number))
    shape = (agent.num_sessions, agent.num_copies)
    if number % 2 == 0:
        obs = rng.normal(size=(*shape, 2)).astype(np.float32)
        return _hash(agent.act(obs, explore=bool(rng.random() < 0.95)))
    ended = rng.random(shape) < 0.3
    terminated = ended & (rng.random(shape) < 0.5)
    agent.observe(rng.normal(size=shape), terminated, ended, rng.normal(size=(*shape, 2)).astype(np.float32))
    draw, session = rng.random(), int(rng.integers(agent.num_sessions))
    try:
        if draw < 0.15:
            agent.adapt([session])
        elif draw < 0.2:
            agent.take_back([session])
    except InputError:
        pass  # nothing to learn from, or to take back: for both agents
    return _hash(np.array(agent.steps), *agent.agent.params.values(), np.array(agent.change(session).before))


def _hash(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def main(moments, stop):
    """Print what comes of folders, each from the number of its next event on."""
    agents = {folder: (drml.load(folder), start) for folder, start in moments.items()}
    print(json.dumps({f: [event(agent, n) for n in range(start, stop)] for f, (agent, start) in agents.items()}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
