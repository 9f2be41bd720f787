"""drml: deep reinforcement meta-learning in Python on PyTorch."""

import importlib
import os

# Torch's OpenMP threads spin after each operation and starve the simulator's own threads; sleeping ones do not.
# libgomp reads this once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

_HOME_OF = {  # what a module of the user's own tasks imports; found when asked for, since torch takes seconds to import
    "task_family": "drml.envs.foreign.family",
    "GymFamily": "drml.envs.foreign.family",
    "TaskDistribution": "drml.tasks.distribution",
    "Uniform": "drml.tasks.parameter",
    "LogUniform": "drml.tasks.parameter",
    "Normal": "drml.tasks.parameter",
    "Dirichlet": "drml.tasks.parameter",
    "Choice": "drml.tasks.parameter",
    "session": "drml.run.session",
}


def __getattr__(name: str):  # noqa: ANN202 — Any; but to import `typing` takes a third of the time to the entrance
    if name not in _HOME_OF:
        raise AttributeError(f"module 'drml' has no attribute '{name}'")
    home = importlib.import_module(_HOME_OF[name])
    return home if home.__name__.endswith(f".{name}") else getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
