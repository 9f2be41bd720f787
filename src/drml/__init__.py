"""drml: deep reinforcement meta-learning in Python on PyTorch."""

import os

# Torch's OpenMP threads spin after each operation and starve the simulator's own threads; sleeping ones do not.
# libgomp reads this once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
