"""drml: deep reinforcement meta-learning in Python on PyTorch."""

import importlib
import os

# Torch's OpenMP threads spin after each operation and starve the simulator's own threads; sleeping ones do not.
# libgomp reads this once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

_HOME_OF = {  # the public names; found when asked for, since torch takes seconds to import
    # train, and look at what came of it
    "train": "drml.use.run",
    "Run": "drml.use.run",
    "session": "drml.run.session",
    # use what was learned
    "load": "drml.act.loading",
    "load_agent": "drml.act.loading",
    "MetaAgent": "drml.act.meta_agent",
    "AdaptiveAgent": "drml.act.adaptive_agent",
    "Curve": "drml.act.curve",
    # what is asked for
    "RunConfig": "drml.run.config",
    "TrainConfig": "drml.loop.config",
    "MAMLConfig": "drml.algos.gradient.maml",
    "ProMPConfig": "drml.algos.gradient.promp",
    "InnerConfig": "drml.learning.adapt",
    "ReptileConfig": "drml.algos.gradient.reptile",
    "ESMAMLConfig": "drml.algos.evolution.es_maml",
    "RL2Config": "drml.algos.memory.rl2",
    "NormaliseConfig": "drml.algos.normalised",
    "MLPConfig": "drml.policies.mlp",
    "ModuleConfig": "drml.policies.made",
    "MemoryConfig": "drml.policies.memory.registry",
    "EncoderConfig": "drml.policies.encoders.registry",
    "SamplerConfig": "drml.tasks.samplers.registry",
    "EnvOptions": "drml.envs.api",
    "Isolation": "drml.envs.api",
    # your own tasks
    "task_family": "drml.envs.foreign.family",
    "GymFamily": "drml.envs.foreign.family",
    "Suite": "drml.envs.api",
    "TaskDistribution": "drml.tasks.distribution",
    "Uniform": "drml.tasks.parameter",
    "LogUniform": "drml.tasks.parameter",
    "Normal": "drml.tasks.parameter",
    "Dirichlet": "drml.tasks.parameter",
    "Choice": "drml.tasks.parameter",
    # what goes wrong, each kind with an exit code of its own
    "DrmlError": "drml.core.errors",
    "InputError": "drml.core.errors",
    "EnvError": "drml.core.errors",
    "CheckpointError": "drml.core.errors",
    "NumericError": "drml.core.errors",
    "ResourceError": "drml.core.errors",
}

__all__ = list(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll] — texts, for `__getattr__`


def __getattr__(name: str):  # noqa: ANN202 — Any; but to import `typing` takes a third of the time to the entrance
    if name not in _HOME_OF:
        raise AttributeError(f"module 'drml' has no attribute '{name}'")
    home = importlib.import_module(_HOME_OF[name])
    return home if home.__name__.endswith(f".{name}") else getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
